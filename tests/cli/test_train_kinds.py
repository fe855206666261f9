"""`retr train` of every kind by a recipe, and `retr search` with what came of it, in one process with tiny models."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from retr.cli import make_app

pytest.importorskip("pytorch_lightning")
pytest.importorskip("transformers")

WORDS = ["red fish", "blue stone", "cold water", "the sky", "a stone falls", "fish swims"]
RECIPE = """
kind = "{kind}"
model = "{model}"
out = "out"
{more}
[data]
files = "rows.jsonl"
negatives = "negative"

[objective]
{objective}

[train]
steps = 4
batch_size = 3
learning_rate = 0.001
accelerator = "cpu"

[validation]
metric = "mrr@10"
rows = {{ files = "rows.jsonl", negatives = "negative" }}
"""
LISTWISE, IN_BATCH = 'name = "listwise"\nteacher = false', 'name = "listwise"\nteacher = false\nin_batch = true'
SCORERS = [
    ("cross", "[backbone]\nlayers = 1\ndropout = 0.0", 'name = "bce"'),
    ("cross", '[student]\nhead = "pairwise"', 'name = "ranknet"'),
    ("uni", '[student]\nmask = "arrow"\ncontext_tokens = 12\ncandidate_tokens = 10', IN_BATCH),
    ("uni", "", LISTWISE),
    ("poly", "[student]\ncodes = 4\ncontext_tokens = 12\ncandidate_tokens = 12", IN_BATCH),
]


def retr(*arguments: str) -> Any:
    result = CliRunner().invoke(make_app(), [*arguments, "--json", "--quiet"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    others = [*WORDS[1:], WORDS[0]]
    lines = [
        json.dumps({"query": word, "positive": f"{word} from the sky", "negative": f"{other} in water"})
        for word, other in zip(WORDS, others, strict=True)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize(("kind", "more", "objective"), SCORERS)
def test_a_scorer_is_trained_by_a_recipe_and_reranks_a_search(
    place: Path, make_bi: Callable[..., Path], kind: str, more: str, objective: str
) -> None:
    start = make_bi("bert", seed=2)
    (place / "recipe.toml").write_text(RECIPE.format(kind=kind, model=start, more=more, objective=objective))
    told = retr("train", "recipe.toml")["training"]
    assert told["steps"] == 4 and 0 < told["validation"]["best"] <= 1
    documents = [{"id": str(number), "text": f"{word} stone"} for number, word in enumerate(WORDS)]
    (place / "documents.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    retr("index", "documents.jsonl", "--encoder", "none")
    hits = retr("search", "a red stone", "--rerank", f"{kind}=out", "--explain")["hits"]
    scores = [hit["explain"]["rerank"]["score"] for hit in hits]
    assert len(scores) > 1 and scores == sorted(scores, reverse=True)
    card = (place / "out" / "README.md").read_text()
    assert f"--rerank {kind}=out" in card and "mrr@10" in card


def test_the_help_names_every_kind() -> None:
    from retr.cli.train import train
    from retr.encoders.training.recipe import STUDENTS

    (line,) = [line for line in (train.__doc__ or "").splitlines() if "kind is one of" in line]
    assert line.split(":")[1].strip(" .").split(", ") == list(STUDENTS)
