"""`retr eval`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retr.cli import make_app

RUN = "q1 Q0 a 1 3.0 x\nq1 Q0 b 2 2.0 x\nq3 Q0 a 1 1.0 x\n"
QRELS = "q1 0 b 1\nq2 0 a 1\n"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    (tmp_path / "run").write_text(RUN)
    (tmp_path / "qrels").write_text(QRELS)
    return ["eval", "--run", str(tmp_path / "run"), "--qrels", str(tmp_path / "qrels")]


def test_json_holds_the_means(files: list[str]) -> None:
    result = CliRunner().invoke(make_app(), [*files, "--metric", "mrr@10", "-m", "recall@1", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "metrics": {"mrr@10": 0.25, "recall@1": 0.0},
        "queries": 2,
        "missing": 1,
        "unjudged": 1,
    }


def test_what_was_left_out_or_counted_zero_is_said(files: list[str]) -> None:
    result = CliRunner().invoke(make_app(), [*files, "--json"])
    assert "Judged queries that the run does not hold count 0: 1 of 2." in result.stderr
    assert "Queries of the run without judgements are left out: 1." in result.stderr


def test_json_holds_each_query_when_asked(files: list[str]) -> None:
    result = CliRunner().invoke(make_app(), [*files, "-m", "mrr", "--per-query", "--json"])
    assert json.loads(result.stdout)["per_query"] == {"q1": {"mrr": 0.5}, "q2": {"mrr": 0.0}}


def test_the_table_shows_the_same(files: list[str]) -> None:
    result = CliRunner().invoke(make_app(), [*files, "-m", "mrr"])
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines() if line] == [
        ["metric", "mean"],
        ["mrr", "0.2500"],
        ["2", "queries"],
    ]


def test_the_table_of_queries_ends_with_their_mean(files: list[str]) -> None:
    result = CliRunner().invoke(make_app(), [*files, "-m", "mrr", "-m", "hits@1", "--per-query"])
    assert [line.split() for line in result.stdout.splitlines() if line] == [
        ["query", "mrr", "hits@1"],
        ["q1", "0.5000", "0.0000"],
        ["q2", "0.0000", "0.0000"],
        ["all", "0.2500", "0.0000"],
        ["2", "queries"],
    ]


def test_without_a_metric_three_are_shown(files: list[str]) -> None:
    result = CliRunner().invoke(make_app(), [*files, "--json"])
    assert list(json.loads(result.stdout)["metrics"]) == ["ndcg@10", "mrr@10", "recall@100"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--metric", "ndgc@10"], "Did you mean 'ndcg'"),
        (["--run", "nowhere.trec"], "No run file 'nowhere.trec'"),
        (["--qrels", "nowhere.tsv"], "No qrels file 'nowhere.tsv'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_1(files: list[str], arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(make_app(), [*files, *arguments])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: ")
    assert said in result.stderr


def test_a_bad_line_is_named_by_file_and_line(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "qrels").write_text("q1 0 b 1\nq2 0 a\tmany\n")
    result = CliRunner().invoke(make_app(), files)
    assert result.exit_code == 1
    assert f"{tmp_path / 'qrels'}:2: the grade 'many'" in result.stderr


def test_something_to_evaluate_must_be_given() -> None:
    result = CliRunner().invoke(make_app(), ["eval"])
    assert result.exit_code == 1
    assert "Nothing to evaluate. Give --run RUN --qrels FILE" in result.stderr
