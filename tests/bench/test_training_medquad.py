"""The parts of the MedQuAD benches that keep what is measured on out of training, and that compare over the seeds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retr.retrieval.records import Document, Query
from retr.retrieval.runs import Qrels

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    yield


def small_set() -> Any:
    """Two diseases to train on, one of them a type of the held-out one; an answer that dev shares with train."""
    from training_medquad_data import MedQuad

    diseases = {"q1": "beta thalassemia", "q2": "gout", "q3": "thalassemia", "q4": "ataxia", "q5": "gout"}
    kinds = {"q1": "symptoms", "q2": "symptoms", "q3": "symptoms", "q4": "causes", "q5": "causes"}
    return MedQuad(
        Path("nowhere"),
        {f"a{number}": Document(f"a{number}", f"answer {number}") for number in range(1, 6)},
        {id: Query(id, f"What are the {kinds[id]} of {diseases[id]} ?") for id in diseases},
        {id: (diseases[id], kinds[id]) for id in diseases},
        {
            "train": Qrels({"q1": {"a1": 1}, "q2": {"a2": 1, "a4": 1}, "q5": {"a5": 1}}),
            "dev": Qrels({"q4": {"a4": 1}}),
            "test": Qrels({"q3": {"a3": 1}}),
        },
    )


def write_rows(folder: Path, row: dict[str, Any]) -> None:
    from training_medquad_data import NEGATIVES

    for name in NEGATIVES:
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")


def test_names_are_related_where_one_holds_all_words_of_the_other() -> None:
    from training_medquad_data import related, words

    assert words("Graves' disease (TYPE 2)") == "graves disease type 2"
    assert related("graves disease", "graves disease type 2")
    assert related("beta thalassemia", "thalassemia")
    assert not related("thalassemia", "thalassemias")
    assert not related("graves disease", "disease type 2")
    assert not related("", "gout")


def test_diseases_and_answers_that_are_held_out_are_not_trained_on() -> None:
    assert small_set().clean_pairs() == [("q2", "a2"), ("q5", "a5")]


def test_no_negative_answers_a_question_of_the_same_disease_and_type(tmp_path: Path) -> None:
    from training_medquad_data import _write_rows, read_rows

    found = [("a2", "its own"), ("a5", "another type"), ("a1", "another disease")]
    mined = {"query": "q", "query_id": "q2", "positive": "p", "positive_id": "a9"}
    mined |= {"negative_ids": [id for id, _ in found], "negatives": [text for _, text in found]}
    assert _write_rows(small_set(), [mined], tmp_path / "rows.jsonl", 2) == 1
    (row,) = read_rows(tmp_path / "rows.jsonl")
    assert sorted(row["negative_ids"]) == ["a1", "a5"]
    assert _write_rows(small_set(), [mined], tmp_path / "rows.jsonl", 3) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": "What are the CAUSES of ataxia?"}, "question q2 is held out"),
        ({"negatives": ["answer 1", "Answer 3."]}, "answer of q2 is held out"),
        ({"query_id": "q1"}, "Diseases of the rows are held out"),
    ],
)
def test_the_check_ends_the_run_over_what_is_held_out(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    from training_medquad_data import check

    sound = {"query": "a question", "query_id": "q2", "positive": "answer 2", "negatives": ["answer 5"]}
    write_rows(tmp_path, sound)
    assert check(small_set(), tmp_path) == {"rows": 3, "diseases": 1, "held_out_diseases": 2, "in_both": 0}
    write_rows(tmp_path, sound | change)
    with pytest.raises(SystemExit, match=message):
        check(small_set(), tmp_path)


def test_a_question_counts_with_its_mean_over_the_seeds() -> None:
    from training_medquad_tables import averaged, differences

    start = {"ndcg@10": {"a": 0.0, "b": 0.5, "c": 0.25}}
    seeds = [{"ndcg@10": {"a": 0.5, "b": 0.5, "c": 0.25}}, {"ndcg@10": {"a": 1.0, "b": 1.0, "c": 0.75}}]
    both = averaged(seeds)
    assert both == {"ndcg@10": {"a": 0.75, "b": 0.75, "c": 0.5}}
    found = differences({"start": start, "pairs": both}, [("pairs", "start"), ("hard", "start")])
    assert list(found) == [("pairs", "start")]
    assert found["pairs", "start"].difference == pytest.approx((0.75 + 0.25 + 0.25) / 3)
    assert found["pairs", "start"].wins == 3
