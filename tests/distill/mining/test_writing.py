"""What is written: rows, the file that says how they came about, the picture; the same bytes for the same inputs."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.distill.mining import Mining, MiningSettings, mine
from retr.distill.mining.judging import EncoderScorer
from retr.distill.mining.plotting import draw
from retr.distill.mining.writing import BINS, write
from retr.index.collection import Collection
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.plotting import check_plot
from retr.retrieval.records import Query
from retr.retrieval.runs import Qrels

Make = Callable[..., Collection]


@pytest.fixture
def many(make_index: Make) -> tuple[Collection, list[Query], Qrels]:
    """Ninety texts a degree apart, and sixty queries whose relevant text lies two degrees from them."""
    collection = make_index({f"d{n}": f"lies at {n}" for n in range(90)})
    queries = [Query(f"q{n}", f"what is near {n}") for n in range(60)]
    return collection, queries, Qrels({f"q{n}": {f"d{n + 2}": 1} for n in range(60)})


def mined(many: tuple[Collection, list[Query], Qrels], **changes: Any) -> Mining:
    collection, queries, qrels = many
    settings = MiningSettings(**{"mode": "dense", "depth": 40, "negatives": 3, "margin": "auto", **changes})
    return mine(collection, queries, qrels, settings, scorer=EncoderScorer(collection.encoder))


def test_rows_are_as_training_reads_them(many: tuple[Collection, list[Query], Qrels], tmp_path: Path) -> None:
    out = tmp_path / "n.jsonl"
    about = write(mined(many, margin=0.01), out, queries=many[1], qrels=many[2])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == about["counts"]["rows"] == 60
    first = rows[0]
    assert list(first) == ["query", "query_id", "positive", "positive_id", "negatives", "negative_ids", "scores"]
    assert (first["query"], first["positive"], first["positive_id"]) == ("what is near 0", "lies at 2", "d2")
    # cos 2° is .99939; less .01 is .98939, which is between cos 8° and cos 9°.
    assert first["negative_ids"] == ["d9", "d10", "d11"]
    assert first["negatives"] == ["lies at 9", "lies at 10", "lies at 11"]
    expected = np.cos(np.radians([9, 10, 11]))
    assert first["scores"]["negatives"] == pytest.approx(expected, abs=1e-6)
    assert first["scores"]["positive"] == pytest.approx(np.cos(np.radians(2)), abs=1e-6)


def test_the_file_beside_says_how(many: tuple[Collection, list[Query], Qrels], tmp_path: Path) -> None:
    out = tmp_path / "n.jsonl"
    mining = mined(many)
    about = write(mining, out, queries=many[1], qrels=many[2])
    assert json.loads((tmp_path / "n.json").read_text()) == json.loads(json.dumps(about))
    assert about["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert mining.choice is not None
    assert about["bounds"]["margin"] == about["choice"]["margin"] == mining.choice.margin
    drawn = about["histogram"]
    assert (len(drawn["edges"]), len(drawn["candidates"])) == (BINS + 1, BINS)
    assert sum(drawn["candidates"]) == about["counts"]["candidates"]
    assert sum(drawn["positives"]) == about["choice"]["positives"] == 240
    assert sorted(path.name for path in tmp_path.glob("*n.*")) == ["n.json", "n.jsonl"]


@pytest.mark.parametrize("sample", ["top", "uniform", "weighted"])
def test_the_same_inputs_give_the_same_bytes(
    many: tuple[Collection, list[Query], Qrels], tmp_path: Path, sample: Any
) -> None:
    files = []
    for name in ("a", "b"):
        write(mined(many, sample=sample), tmp_path / f"{name}.jsonl", queries=many[1], qrels=many[2])
        files.append([(tmp_path / f"{name}{suffix}").read_bytes() for suffix in (".jsonl", ".json")])
    assert files[0] == files[1]


def test_scores_kept_from_the_measuring_change_nothing(many: tuple[Collection, list[Query], Qrels]) -> None:
    whole, part = mined(many, margin=0.02), mined(many, margin=0.02, measured=7)
    assert list(whole) == list(part) == list(whole)
    assert whole.counts == part.counts


def test_a_row_does_not_hang_on_the_other_queries(many: tuple[Collection, list[Query], Qrels]) -> None:
    collection, queries, qrels = many
    settings = MiningSettings(mode="dense", depth=40, sample="uniform")
    whole = {row.query.id: row for row in mine(collection, queries, qrels, settings)}
    [alone] = mine(collection, queries[7:8], qrels, settings)
    assert whole["q7"] == alone


def test_without_a_scorer_no_scores_are_written(many: tuple[Collection, list[Query], Qrels], tmp_path: Path) -> None:
    collection, queries, qrels = many
    mining = mine(collection, queries, qrels, MiningSettings(mode="dense"))
    about = write(mining, tmp_path / "n.jsonl", queries=queries, qrels=qrels)
    assert "scores" not in json.loads((tmp_path / "n.jsonl").read_text().splitlines()[0])
    assert about["scorer"] is about["histogram"] is about["choice"] is None
    with pytest.raises(BadInput, match="no scores to draw"):
        draw(mining, tmp_path / "h.png")


def test_an_older_file_stays_when_mining_fails(many: tuple[Collection, list[Query], Qrels], tmp_path: Path) -> None:
    out = tmp_path / "n.jsonl"
    out.write_text("older\n")
    mining = mined(many, margin=0.01, measured=1)
    mining.scorer.score = lambda query, texts: np.full(len(texts), np.nan, np.float32)  # type: ignore[union-attr]
    with pytest.raises(BadInput, match="NaN"):
        write(mining, out, queries=many[1], qrels=many[2])
    assert out.read_text() == "older\n"
    assert [path.name for path in tmp_path.glob("*n.*")] == ["n.jsonl"]


@pytest.mark.parametrize("bounds", [{}, {"margin": 0.01}, {"margin": None, "relative_margin": 0.05}])
def test_the_histogram_is_drawn(
    many: tuple[Collection, list[Query], Qrels], tmp_path: Path, bounds: dict[str, Any]
) -> None:
    pytest.importorskip("matplotlib")
    mining = mined(many, **bounds)
    for name in ("a.png", "b.png"):
        check_plot(tmp_path / name)
        draw(mining, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_places_where_nothing_can_be_written_are_refused_first(
    many: tuple[Collection, list[Query], Qrels], tmp_path: Path
) -> None:
    for name, error, says in (
        ("n.json", BadInput, "ends with .jsonl"),
        ("no/n.jsonl", NotFound, "no folder"),
    ):
        with pytest.raises(error, match=says):
            write(mined(many, margin=0.01), tmp_path / name, queries=many[1], qrels=many[2])
    (tmp_path / "d.json").mkdir()
    with pytest.raises(BadInput, match="is a folder"):
        write(mined(many, margin=0.01), tmp_path / "d.jsonl", queries=many[1], qrels=many[2])
