"""Values by query from files, and the names that files give to systems."""

import json
from pathlib import Path

import pytest

from retr.retrieval.errors import BadInput, Mismatch, NotFound, RetrError
from retr.retrieval.evaluation.significance.values import chosen, read_values, system_names


@pytest.mark.parametrize(
    "content",
    [
        {"m": {"q1": 1, "q2": 0.5}},
        {"metrics": {"m": 0.75}, "per_query": {"m": {"q1": 1, "q2": 0.5}}},
        {"metrics": {"m": 0.75}, "per_query": {"q1": {"m": 1}, "q2": {"m": 0.5}}, "queries": 2},
        {"per_query": {"m": {"q1": 1.0, "q2": 0.5}}},
    ],
)
def test_values_are_read_in_every_accepted_form(content: object, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(json.dumps(content))
    assert read_values(tmp_path / "v.json") == {"m": {"q1": 1.0, "q2": 0.5}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "holds no values by metric"),
        ("{}", "holds no values by metric"),
        ('{"m": 3}', "'m' is no object of values by id"),
        ('{"m": {"q1": "x"}}', "has 'x' for 'q1'"),
        ('{"m": {"q1": true}}', "has 'True' for 'q1'"),
        ('{"m": {"q1": NaN}}', "has 'nan' for 'q1'"),
        ('{"metrics": {"m": 1}, "per_query": {"q1": {"m": null}}}', "has 'None' for 'q1'"),
        ('{"runs": {"a": {}, "b": {}}}', "holds several runs"),
        ('{"metrics": {"m": 1}, "per_query": {"q1": 1}}', "'q1' is no object"),
    ],
)
def test_another_form_is_refused_with_the_place(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(BadInput, match=said):
        read_values(tmp_path / "v.json")


def test_a_query_without_a_metric_is_not_among_its_values(tmp_path: Path) -> None:
    content = {"metrics": {"m": 1.0, "n": 1.0}, "per_query": {"q1": {"m": 1.0}, "q2": {"m": 1.0, "n": 1.0}}}
    (tmp_path / "v.json").write_text(json.dumps(content))
    assert read_values(tmp_path / "v.json") == {"m": {"q1": 1.0, "q2": 1.0}, "n": {"q2": 1.0}}


def test_no_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No values file"):
        read_values(tmp_path / "v.json")
    with pytest.raises(RetrError, match="is a folder"):
        read_values(tmp_path)


def test_the_metrics_in_common_are_chosen() -> None:
    a, b = {"m": {"q": 1.0}, "n": {"q": 1.0}}, {"n": {"q": 0.0}, "o": {"q": 0.0}}
    assert chosen({"a": a, "b": b}, []) == {"a": {"n": {"q": 1.0}}, "b": {"n": {"q": 0.0}}}
    with pytest.raises(NotFound, match="No metric in the values of 'b' named 'm'"):
        chosen({"a": a, "b": b}, ["m"])
    with pytest.raises(Mismatch, match="no metric in common"):
        chosen({"a": {"m": {}}, "b": {"o": {}}}, [])


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["base.trec", "new.trec.gz", "plain"], ["base", "new", "plain"]),
        (["bm25-k1.2.trec"], ["bm25-k1.2"]),
        (["/x/seed1/run.trec", "/x/seed2/run.trec", "/x/other.trec"], ["seed1/run", "seed2/run", "other"]),
        (["/x/a/r.trec", "/y/a/r.trec"], ["a/r#1", "a/r#2"]),
        (["/x/a.trec", "/x/a.json"], ["x/a#1", "x/a#2"]),
    ],
)
def test_names_are_short_and_all_different(paths: list[str], names: list[str]) -> None:
    assert system_names([Path(path) for path in paths]) == names
