"""Runs and qrels in and out of files: every form read right, every bad line named by file and line."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retr.retrieval.errors import BadInput, Damaged, NotFound
from retr.retrieval.runs import Qrels, Run, ranked

RUN = {"q1": {"d1": 0.5, "d2": 2.0}, "q2": {"d1": -1.0}}
QRELS = {"q1": {"d1": 1, "d2": 0}, "q2": {"d3": 2}}


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_trec_run_is_read_and_its_rank_ignored(tmp_path: Path) -> None:
    path = written(tmp_path / "run.txt", "q1 Q0 d1 1 0.5 x\nq1\tQ0\td2\t2\t2.0\tx\r\n\nq2 Q0 d1 1 -1 x")
    assert Run.load(path).scores == RUN
    assert ranked(Run.load(path).scores["q1"]) == ["d2", "d1"]


def test_a_run_is_saved_best_first_with_full_scores(tmp_path: Path) -> None:
    Run({"q1": {"a": 0.1, "b": 1 / 3, "c": 0.1}}).save(tmp_path / "run.trec", tag="mine")
    assert (tmp_path / "run.trec").read_text() == (
        "q1 Q0 b 1 0.3333333333333333 mine\nq1 Q0 c 2 0.1 mine\nq1 Q0 a 3 0.1 mine\n"
    )


@pytest.mark.parametrize("name", ["run.trec", "run.json"])
def test_a_saved_run_is_loaded_equal(tmp_path: Path, name: str) -> None:
    Run(RUN).save(tmp_path / name)
    assert Run.load(tmp_path / name) == Run(RUN)


@pytest.mark.parametrize("name", ["qrels.txt", "qrels.json"])
def test_saved_qrels_are_loaded_equal(tmp_path: Path, name: str) -> None:
    Qrels(QRELS).save(tmp_path / name)
    assert Qrels.load(tmp_path / name) == Qrels(QRELS)


ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
scores = st.floats(allow_nan=False, allow_infinity=False)


@given(run=st.dictionaries(ids, st.dictionaries(ids, scores, min_size=1), max_size=3))
def test_any_run_survives_a_file(tmp_path_factory: pytest.TempPathFactory, run: dict[str, dict[str, float]]) -> None:
    folder = tmp_path_factory.mktemp("runs")
    Run(run).save(folder / "run.json")
    assert Run.load(folder / "run.json") == Run(run)
    try:
        Run(run).save(folder / "run.trec")
    except BadInput as error:
        assert "white space" in str(error)
    else:
        assert Run.load(folder / "run.trec") == Run(run)


@pytest.mark.parametrize(
    "text",
    [
        "q1 0 d1 1\nq1 0 d2 0\nq2 0 d3 2\n",
        "q1\t0\td1\t1\nq1\t0\td2\t0\nq2\t0\td3\t2\n",
        "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td3\t2\n",
        "q1\td1\t1\nq1\td2\t0\nq2\td3\t2",
        "\ufeffquery-id\tcorpus-id\tscore\r\nq1\td1\t1\r\n\r\nq1\td2\t0\r\nq2\td3\t2\r\n",
        "\n\nq1 0 d1 1\nq1 0 d2 0\nq2 0 d3 2\nq2 0 d3 2\n",
        json.dumps(QRELS),
        "\ufeff\n" + json.dumps(QRELS, indent=1),
    ],
)
def test_qrels_are_read_in_every_form(tmp_path: Path, text: str) -> None:
    assert Qrels.load(written(tmp_path / "qrels", text)) == Qrels(QRELS)


def test_an_id_in_a_table_may_hold_spaces(tmp_path: Path) -> None:
    path = written(tmp_path / "qrels.tsv", "query-id\tcorpus-id\tscore\nmy query\tmy doc\t1\n")
    assert Qrels.load(path).grades == {"my query": {"my doc": 1}}


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_bytes(gzip.compress(b"q1 0 d1 1\nq1 0 d2 0\nq2 0 d3 2\n"))
    assert Qrels.load(path) == Qrels(QRELS)
    path.write_bytes(gzip.compress(json.dumps(RUN).encode()))
    assert Run.load(path) == Run(RUN)


def test_a_broken_gzip_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "run.gz"
    path.write_bytes(gzip.compress("".join(f"q1 Q0 d{each} 1 0.5 x\n" for each in range(500)).encode())[:-12])
    with pytest.raises(Damaged, match="broken gzip"):
        Run.load(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q1 Q0 d1 1 0.5 x\nq1 Q0 d2 1 0.5\n", ":2: expected 6 columns"),
        ("q1 Q0 d1 1 high x\n", ":1: the score 'high' is no number"),
        ("q1 Q0 d1 1 nan x\n", ":1: the score is nan"),
        ("q1 Q0 d1 1 1 x\n\nq1 Q0 d1 2 0 x\n", ":3: the document 'd1' stands twice for the query 'q1'"),
        ("x" * 70000, ":1: the line is longer"),
        ('{"q1": [1]}', "the query 'q1' holds no object"),
        ('{"q1": {"d1": "1"}}', "'1' is no number"),
        ('{"q1": {"d1": true}}', "True is no number"),
        ('{"q1": {"d1": NaN}}', "the score is nan"),
        ('{"q1": {"d1": 1' + "0" * 400 + "}}", "is no number"),
        ('{"q1":\n {"d1" 1}}', ":2: not valid JSON"),
        ('{"a":' * 100000, "not valid JSON"),
    ],
)
def test_a_bad_run_names_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path / "run", text)
    with pytest.raises(BadInput) as caught:
        Run.load(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q1 d1\n", ":1: expected `qid 0 docid grade`"),
        ("q1 0 d1 1\nq1 0 d2 high\n", ":2: the grade 'high' is no whole number"),
        ("q1\td1\thigh\n", ":1: the grade 'high' is no whole number"),
        ("q1 0 d1 1\nq1 0 d1 2\n", ":2: the document 'd1' stands twice"),
        ("q1\t\t1\n", ":1: an id is empty"),
        ('{"q1": {"d1": 0.5}}', "the grade '0.5' is no whole number"),
    ],
)
def test_bad_qrels_name_their_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        Qrels.load(written(tmp_path / "qrels", text))
    assert said in str(caught.value)


def test_an_id_that_is_not_utf_8_names_its_place(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"q1 Q0 d1 1 1 x\nq1 Q0 d\xff 2 1 x\n")
    with pytest.raises(BadInput, match=r"run:2: an id is not valid UTF-8"):
        Run.load(tmp_path / "run")


def test_runs_and_qrels_are_collections_of_query_ids() -> None:
    assert (list(Run(RUN)), len(Run(RUN))) == (["q1", "q2"], 2)
    assert (set(Qrels(QRELS)), len(Qrels(QRELS))) == ({"q1", "q2"}, 2)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"No run file '.*nope'"):
        Run.load(tmp_path / "nope")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder; a qrels file is needed"):
        Qrels.load(tmp_path)


@pytest.mark.parametrize("id", ["two words", "tab\tin", "line\n", "", "\ud800"])
def test_an_id_that_trec_cannot_hold_is_refused_and_the_old_file_kept(tmp_path: Path, id: str) -> None:
    path = written(tmp_path / "run.trec", "old")
    with pytest.raises(BadInput, match=r"Save as \.json"):
        Run({"q": {id: 1.0}}).save(path)
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["run.trec", "run.json"])
def test_a_score_that_is_not_finite_is_not_saved(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="query 'q', document 'd': the score is inf"):
        Run({"q": {"d": float("inf")}}).save(tmp_path / name)


def test_an_id_may_start_with_a_brace(tmp_path: Path) -> None:
    Run({"{": {"{d}": 1.0}}).save(tmp_path / "r")
    assert Run.load(tmp_path / "r").scores == {"{": {"{d}": 1.0}}
    Qrels({'{"q"': {"d": 1}}).save(tmp_path / "q")
    assert Qrels.load(tmp_path / "q").grades == {'{"q"': {"d": 1}}


def test_a_run_may_be_a_table_with_tabs(tmp_path: Path) -> None:
    rows = "q 1\td 1\t1\t2.5\nq 1\td2\t2\t1.5\n"
    for number, head in enumerate(("query-id\tcorpus-id\trank\tscore\n", "")):
        (tmp_path / f"{number}.tsv").write_text(head + rows)
        assert Run.load(tmp_path / f"{number}.tsv").scores == {"q 1": {"d 1": 2.5, "d2": 1.5}}


def test_a_header_further_down_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "r.tsv").write_text("q\td\t1\t2.5\nquery-id\tcorpus-id\trank\tscore\n")
    with pytest.raises(BadInput, match=r"r\.tsv:2: the score 'score' is no number"):
        Run.load(tmp_path / "r.tsv")


def test_a_run_without_self_holds_no_document_with_the_querys_id() -> None:
    run = Run({"a": {"a": 2.0, "b": 1.0}, "b": {"b": 1.0}})
    assert run.without_self() == Run({"a": {"b": 1.0}, "b": {}})
