"""`retr adapt` as a process: documents in, an encoder and a verdict out, and the index switched over."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("pytorch_lightning")
pytest.importorskip("sentencex")

ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    "PATH": os.environ["PATH"],
    "OMP_NUM_THREADS": "1",
    "RETR_THREADS": "1",
}
WORDS = ["the", "red", "blue", "fish", "swims", "in", "cold", "water", "a", "stone", "falls", "from", "sky"]
TRAINED = "--steps 120 --batch-size 16 --learning-rate 1e-3 --negatives 2 --depth 8 --accelerator cpu"
HARDLY = "--steps 1 --batch-size 4 --learning-rate 1e-12 --negatives 2 --depth 8 --accelerator cpu"


def retr(folder: Path, words: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "retr", *words.split()],
        cwd=folder, env={**ENVIRONMENT, "HOME": str(folder), "RETR_CACHE_DIR": str(folder / "cache")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout if code == 0 or not done.stderr else done.stdout + done.stderr


@pytest.fixture
def folder(tmp_path: Path, make_bi: Callable[..., Path]) -> Path:
    """A folder with `model`, `docs.jsonl`, and queries that share a code with the one document that answers them."""
    random = Random(3)
    codes = [f"{one}{two}" for one in "bcdfghkmnp" for two in "nopqrstuvwxyz"]

    def sentence(code: str) -> str:
        return f"the {' '.join(random.sample(WORDS, 3))} {code}."

    lines = [{"id": f"d{at}", "text": f"{sentence(code)} {sentence(code)}"} for at, code in enumerate(codes)]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "queries.tsv").write_text("".join(f"q{at}\t{sentence(code)}\n" for at, code in enumerate(codes)))
    (tmp_path / "qrels.tsv").write_text("".join(f"q{at}\t0\td{at}\t1\n" for at in range(len(codes))))
    (tmp_path / "model").symlink_to(make_bi(seed=2))
    return tmp_path


@pytest.mark.slow
def test_an_index_is_switched_over_where_the_encoder_is_better_and_can_be_rolled_back(folder: Path) -> None:
    retr(folder, "index docs.jsonl --encoder bi=model --index ix --quiet")
    command = f"adapt --index ix --queries queries.tsv --qrels qrels.tsv --out new {TRAINED}"
    made: dict[str, Any] = json.loads(retr(folder, f"{command} --json"))
    assert made["evaluation"] == "judged" and made["judged"]["queries"] == 130
    assert made["judged"]["difference"]["low"] > 0 and made["judged"]["difference"]["p"] <= 0.05
    assert made["recommended"] and made["next"] == "retr reindex --encoder bi=new --index ix --shadow"
    before = json.loads(retr(folder, "info --index ix --json"))["encoder"]["fingerprint"]
    shown = retr(folder, f"{command} --reindex")
    assert "the switch is recommended" in shown and "back with: retr rollback --to before-reindex-" in shown
    now = json.loads(retr(folder, "info --index ix --json"))["encoder"]
    assert now["fingerprint"] != before and now["spec"].startswith("bi=")
    assert "already" in retr(folder, f"{command} --reindex")
    retr(folder, shown.split("back with: retr ")[1].strip())
    assert json.loads(retr(folder, "info --index ix --json"))["encoder"]["fingerprint"] == before


@pytest.mark.slow
def test_an_encoder_that_is_no_better_is_not_recommended_and_switches_nothing(folder: Path) -> None:
    retr(folder, "index docs.jsonl --encoder bi=model --index ix --quiet")
    command = f"adapt --corpus docs.jsonl --index ix --out new --reindex {HARDLY}"
    fail = retr(folder, f"{command} --fail-if-not-better", code=1)
    assert "ndcg@10 (pseudo)" in fail and "keep the encoder you have" in fail and "next:" not in fail
    assert "no users' questions" in fail
    made = json.loads(retr(folder, f"{command} --json"))
    assert (made["evaluation"], made["recommended"], made["switched"], made["next"]) == ("pseudo", False, None, None)
    assert json.loads(retr(folder, "info --index ix --json"))["encoder"]["spec"] == "bi=model"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--corpus docs.jsonl --teacher cross=nobody", "nobody"),
        ("--corpus one.jsonl", "1 documents give 0 held-out questions"),
        ("--corpus bad.jsonl", "bad.jsonl:1"),
    ],
)
def test_what_is_wrong_with_the_input_is_one_line(words: str, says: str, folder: Path) -> None:
    (folder / "one.jsonl").write_text(json.dumps({"id": "a", "text": "One short sentence."}) + "\n")
    (folder / "bad.jsonl").write_text("{]\n")
    said = retr(folder, f"adapt {words} --encoder model --out new --quiet {HARDLY}", code=1)
    assert said.count("\n") == 1 and said.startswith("error: ") and says in said
    assert not (folder / "new").exists()
