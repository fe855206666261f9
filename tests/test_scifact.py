"""SciFact through the command line: the figures that others publish for the same weights, texts and judgements."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DATA = os.environ.get("RETR_DATA", "")
pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA, reason="set RETR_DATA to the folder of the evaluation corpora"),
]

DENSE, BM25 = 0.6451, 0.679
"""nDCG@10 of all-MiniLM-L6-v2 in float32 (MTEB) and of BM25 (Anserini, flat), as published."""


def retr(folder: Path, *command: str) -> Any:
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PATH": os.environ["PATH"],
        "RETR_CACHE_DIR": str(folder / "cache"),
    }
    line = [sys.executable, "-m", "retr", *command, "--json"]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def scifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the 5,183 abstracts indexed in .retr, one vector a text, as the published figures are made."""
    folder = tmp_path_factory.mktemp("scifact")
    said = retr(folder, "index", str(Path(DATA) / "scifact"), "--chunk-tokens", "0", "-q")
    assert said["documents"] == 5183
    return folder


def ndcg(folder: Path, name: str, *options: str) -> float:
    corpus = Path(DATA) / "scifact"
    qrels = str(corpus / "qrels" / "test.tsv")
    run = f"{name}.trec"
    retr(folder, "search", "--queries", str(corpus), "--qrels", qrels, "--run", run, "-q", *options)
    said = retr(folder, "eval", "--run", run, "--qrels", qrels, "--metric", "ndcg@10")
    assert said["queries"] == 300
    return float(said["metrics"]["ndcg@10"])


def test_dense_is_what_sentence_transformers_gives(scifact: Path) -> None:
    assert ndcg(scifact, "dense", "--mode", "dense") == pytest.approx(DENSE, abs=0.005)


def test_words_are_what_bm25_gives(scifact: Path) -> None:
    assert ndcg(scifact, "lexical", "--mode", "lexical") == pytest.approx(BM25, abs=0.01)


def test_hybrid_is_above_both(scifact: Path) -> None:
    hybrid = ndcg(scifact, "hybrid", "--mode", "hybrid")
    assert hybrid > ndcg(scifact, "dense", "--mode", "dense") + 0.01
    assert hybrid > ndcg(scifact, "lexical", "--mode", "lexical") + 0.01
