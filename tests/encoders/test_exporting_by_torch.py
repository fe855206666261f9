"""Architectures that torch writes as ONNX: tiny seeded models of two families, in every precision."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder
from retr.encoders.exporting import export
from retr.encoders.exporting.settings import ExportSettings
from retr.retrieval.errors import Mismatch, NotFound

NEEDED = ("torch", "transformers", "onnx", "onnxscript")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"{', '.join(NEEDED)} are needed"),
    pytest.mark.filterwarnings("ignore"),
]
TEXTS = ["the red fish swims", "", "a", "stone falls from the blue sky in cold water", "zzz " * 40]
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 24, "pad_token_id": 0,
}  # fmt: skip
TOKENS = {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}


def make(folder: Path, family: str) -> Path:
    """The weights of a folder replaced by another architecture's; tokenizer and modules stay."""
    import torch
    from transformers import ElectraConfig, ElectraModel, ModernBertConfig, ModernBertModel

    torch.manual_seed(0)
    words = 100
    if family == "electra":
        model = ElectraModel(ElectraConfig(vocab_size=words, embedding_size=16, **SIZES))
    else:
        model = ModernBertModel(ModernBertConfig(vocab_size=words, local_attention=8, **SIZES, **TOKENS))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("family", ["electra", "modernbert"])
def test_vectors_are_the_originals(folder: Path, tmp_path: Path, family: str, precision: Any) -> None:
    import onnx

    make(folder, family)
    done = export(str(folder), tmp_path / "out", settings=ExportSettings(precision=precision))
    assert done.record.built == "torch"
    assert "torch" in done.record.figures
    one, two = (load_encoder(str(path)) for path in (folder, tmp_path / "out"))
    cosines = (one.encode_documents(TEXTS).values * two.encode_documents(TEXTS).values).sum(axis=1)
    assert cosines.min() > 1 - {"float32": 1e-6, "float16": 1e-3, "int8": 5e-3}[precision]
    assert two.describe()["runtime"] == "onnxruntime"  # type: ignore[attr-defined]
    assert two.network.budget > 0  # type: ignore[attr-defined]
    model = onnx.load(str(tmp_path / "out" / done.record.network))
    kinds = {node.op_type for node in model.graph.node}
    assert ("MatMulInteger" in kinds) == (precision == "int8")
    assert {node.domain for node in model.graph.node} == {""}
    assert "site-packages" not in str(model)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_padding_changes_no_text(folder: Path, tmp_path: Path, precision: Any) -> None:
    import onnxruntime

    done = export(str(make(folder, "modernbert")), tmp_path / "out", settings=ExportSettings(precision=precision))
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / done.record.network))

    def run(ids: list[list[int]], width: int) -> np.ndarray:
        batch, mask = np.zeros((len(ids), width), np.int64), np.zeros((len(ids), width), np.int64)
        for row, text in enumerate(ids):
            batch[row, : len(text)], mask[row, : len(text)] = text, 1
        found: np.ndarray = session.run(None, {"input_ids": batch, "attention_mask": mask})[0]
        return found

    short, long = [1, 9, 8, 7, 2], [1, *range(5, 25), 2]
    np.testing.assert_allclose(run([long, short], 24)[1, :5], run([short], 5)[0], atol=1e-5)


def test_scales_over_a_whole_batch_do_not_pass_the_gate(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The usual dynamic quantisation: one scale for all texts of a run. It is what the gate is for."""
    from retr.encoders.exporting import by_torch

    def usual(graph: Any, kept: Any) -> Any:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        onnx.save(graph, tmp_path / "a.onnx")
        quantize_dynamic(tmp_path / "a.onnx", tmp_path / "b.onnx", weight_type=QuantType.QInt8, per_channel=True)
        return onnx.load(str(tmp_path / "b.onnx"))

    monkeypatch.setitem(by_torch.REWRITES, "int8", usual)
    strict = ExportSettings(precision="int8", torch=False, worst_cosine=0.9, mean_cosine=0.9, overlap=0.0)
    with pytest.raises(Mismatch, match="batch_error"):
        export(str(make(folder, "electra")), tmp_path / "out", settings=strict)


def test_without_onnxscript_the_extra_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retr.encoders.exporting.making.find_spec", lambda name: None if name == "onnxscript" else 1)
    with pytest.raises(NotFound, match=r"onnxscript.*retr\[export\]"):
        export(str(make(folder, "electra")), tmp_path / "out")
    assert not (tmp_path / "out").exists()
