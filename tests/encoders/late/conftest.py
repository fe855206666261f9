"""Tiny late-interaction models in the three layouts, made of weights alone, so that most tests here need no torch."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders.reading.safetensors_file import floats, read_safetensors

MakeLate = Callable[..., Path]
OUT = 8
MASKED = {
    "skiplist_words": [".", ",", "?", "no such word"],
    "skiplist_tasks": ["document"],
    "keep_only_token_ids": None,
}
MARKERS = {"8": "[unused0]", "9": "[unused1]"}


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture(scope="session")
def make_late(make_bi: Any, tmp_path_factory: pytest.TempPathFactory) -> MakeLate:
    """`make_late("pylate", "bert", top={…}, told={…}, pooling={…})` to a folder."""
    save_file = pytest.importorskip("safetensors.numpy").save_file

    def make(
        layout: str = "sentence-transformers",
        family: str = "bert",
        *,
        top: Mapping[str, Any] | None = None,
        told: Mapping[str, Any] | None = None,
        mask: Mapping[str, Any] | None = None,
        pooling: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        seed: int = 1,
    ) -> Path:
        source = make_bi(family, seed=seed)
        folder = tmp_path_factory.mktemp("late") / "model"
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("1_Pooling", "modules.json"))
        known_markers(folder)
        weight = np.random.default_rng(seed).normal(size=(OUT, 32)).astype(np.float32)
        if layout == "stanford":
            tensors = {
                name: floats(values) for name, values in read_safetensors([folder / "model.safetensors"]).items()
            }
            named = {f"bert.{name}": np.array(values) for name, values in tensors.items()}
            save_file({**named, "linear.weight": weight}, str(folder / "model.safetensors"))
            config = json.loads((folder / "config.json").read_text())
            write(folder / "config.json", {**config, "architectures": ["HF_ColBERT"]})
            write(folder / "artifact.metadata", dict(metadata or {"query_maxlen": 12, "doc_maxlen": 20}))
            (folder / "config_sentence_transformers.json").unlink()
            (folder / "sentence_bert_config.json").unlink()
            return folder
        own = layout == "sentence-transformers"
        kinds = ["Transformer", "Dense", *(["MultiVectorMask", "Normalize"] if own else [])]
        kinds += ["HierarchicalTokenPooling"] if pooling else []
        types = {
            "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
            "Dense": "sentence_transformers.base.modules.dense.Dense" if own else "pylate.models.Dense.Dense",
            "MultiVectorMask": "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
            "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
        }
        pool_type = "sentence_transformers.multi_vector_encoder.modules.token_pooling.HierarchicalTokenPooling"
        modules = [
            {"idx": n, "name": str(n), "path": f"{n}_{kind}" if n else "", "type": types.get(kind, pool_type)}
            for n, kind in enumerate(kinds)
        ]
        write(folder / "modules.json", modules)
        dense = {"in_features": 32, "out_features": OUT, "bias": False}
        dense["activation_function"] = "torch.nn.modules.linear.Identity"  # type: ignore[assignment]
        write(
            folder / "1_Dense" / "config.json", {**dense, **({"module_input_name": "token_embeddings"} if own else {})}
        )
        save_file({"linear.weight": weight}, str(folder / "1_Dense" / "model.safetensors"))
        if own:
            write(folder / "2_MultiVectorMask" / "config.json", {**MASKED, **(mask or {})})
            write(folder / "3_Normalize" / "config.json", {"module_input_name": "token_embeddings"})
        if pooling:
            write(folder / "4_HierarchicalTokenPooling" / "config.json", dict(pooling))
        kind = {"model_type": "MultiVectorEncoder" if own else "ColBERT"}
        write(folder / "config_sentence_transformers.json", {**kind, **(top or {})})
        write(folder / "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": False, **(told or {})})
        return folder

    return make


def known_markers(folder: Path) -> None:
    """Two pieces become ColBERT's markers, which the tokenizer tears apart unless it is told of them."""
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    for old, new in MARKERS.items():
        vocabulary[new] = vocabulary.pop(old)
    write(folder / "tokenizer.json", content)


@pytest.fixture(params=["kernels", "off"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the network runs: in the compiled kernels, or by ONNX Runtime."""
    from retr.encoders.kernels import native

    if request.param == "off":
        monkeypatch.setenv(native.SETTING, "off")
    elif not native.kernels():
        pytest.skip("no kernels were built")
    return str(request.param)
