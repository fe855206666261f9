"""`retr compare`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from retr.cli import make_app

QUERIES = [f"q{number}" for number in range(1, 9)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with qrels, a perfect run, a run that has the answer second, and a copy of the perfect one."""
    monkeypatch.chdir(tmp_path)
    Path("qrels").write_text("".join(f"{qid} 0 d 1\n" for qid in QUERIES))
    good = "".join(f"{qid} Q0 d 1 2.0 x\n" for qid in QUERIES)
    Path("good.trec").write_text(good)
    Path("copy.trec").write_text(good)
    Path("bad.trec").write_text("".join(f"{qid} Q0 e 1 2.0 x\n{qid} Q0 d 2 1.0 x\n" for qid in QUERIES))
    Path("queries.jsonl").write_text(
        "".join(json.dumps({"id": qid, "text": f"what is {qid}?"}) + "\n" for qid in QUERIES)
    )
    return tmp_path


def compare(*words: str) -> Result:
    return CliRunner().invoke(make_app(), ["compare", *words])


def runs(*names: str) -> list[str]:
    return ["--qrels", "qrels", *(word for name in names for word in ("--run", f"{name}.trec"))]


def test_json_holds_each_pair(here: Path) -> None:
    result = compare(*runs("good", "bad"), "-m", "mrr", "--json", "--top", "1")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["systems"], said["baseline"], said["queries"]) == (["good", "bad"], "good", {"mrr": 8})
    assert said["means"] == {"mrr": {"good": 1.0, "bad": 0.5}}
    [pair] = said["pairs"]
    assert (pair["difference"], pair["low"], pair["high"]) == (-0.5, -0.5, -0.5)
    assert pair["p"] == pair["adjusted_p"] == 2 / 2**8
    assert (pair["wins"], pair["ties"], pair["losses"], pair["verdict"]) == (0, 0, 8, "worse")
    assert pair["effect"] is pair["detectable"] is None  # There is no spread to measure them by.
    assert pair["largest"] == {"losses": [{"query": "q1", "before": 1.0, "after": 0.5, "difference": -0.5}], "wins": []}


def test_the_table_says_it_in_words(here: Path) -> None:
    result = compare(*runs("good", "bad", "copy"), "-m", "mrr", "--baseline", "good", "--queries", "queries.jsonl")
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1] == ["mrr", "good", "1.0000"]
    assert lines[2][:7] == ["mrr", "bad", "0.5000", "-0.5000", "-0.5000", "to", "-0.5000"]
    assert lines[2][7:9] == ["0.0078", "0.0156"]
    assert lines[2][-3:] == ["0/0/8", "unknown", "worse"]
    assert lines[3][-3:] == ["0/8/0", "unknown", "unclear"]
    assert "8 queries; randomisation test (100,000 draws, seed 0)" in result.stdout
    assert "Holm's correction over 2 comparisons at 0.05" in result.stdout
    assert "mrr: largest losses of bad against good" in result.stdout
    assert "what is q5?" in result.stdout
    assert "what is q6?" not in result.stdout  # The largest five alone.
    assert "largest wins" not in result.stdout


def test_without_a_metric_it_is_ndcg(here: Path) -> None:
    assert list(json.loads(compare(*runs("good", "bad"), "--json").stdout)["means"]) == ["ndcg@10"]


def test_values_of_eval_give_the_same_as_their_runs(here: Path) -> None:
    for name in ("good", "bad"):
        words = ["eval", "--run", f"{name}.trec", "--qrels", "qrels", "-m", "mrr", "--per-query", "--json"]
        Path(f"{name}.json").write_text(CliRunner().invoke(make_app(), words).stdout)
    of_values = json.loads(compare("--values", "good.json", "--values", "bad.json", "--json").stdout)
    of_both = json.loads(compare(*runs("good"), "--values", "bad.json", "-m", "mrr", "--json").stdout)
    assert of_values == of_both == json.loads(compare(*runs("good", "bad"), "-m", "mrr", "--json").stdout)


def test_queries_that_a_run_lacks_count_0_and_are_told_of(here: Path) -> None:
    Path("bad.trec").write_text("q1 Q0 d 1 1.0 x\n")
    result = compare(*runs("good", "bad"), "--json")
    assert json.loads(result.stdout)["means"] == {"ndcg@10": {"good": 1.0, "bad": 0.125}}
    assert "Judged queries that the run 'bad' does not hold count 0: 7 of 8." in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([*runs("good", "bad")], 0, None),
        ([*runs("good", "bad"), "--fail-if-worse"], 1, "worse: bad than good in ndcg@10 (-0.3691"),
        ([*runs("bad", "good"), "--fail-if-worse"], 0, None),
        ([*runs("good", "copy"), "--fail-if-worse"], 0, None),
        ([*runs("good", "copy"), "--fail-if-worse", "--margin", "0"], 0, None),
        ([*runs("good", "bad"), "--fail-if-worse", "--margin", "0.4"], 0, None),
        (
            [*runs("good", "bad"), "--fail-if-worse", "--margin", "0.3"],
            1,
            "perhaps worse by more than 0.3: bad than good",
        ),
        ([*runs("bad", "copy", "good"), "--fail-if-worse", "--baseline", "copy"], 1, "worse: bad than copy"),
        ([*runs("good", "bad"), "--fail-if-worse", "--alpha", "0.001"], 0, None),
    ],
)
def test_the_gate_decides_the_exit_code(here: Path, words: list[str], code: int, said: str | None) -> None:
    for more in ([], ["--json"]):
        result = compare(*words, *more)
        assert result.exit_code == code, result.output
        assert result.stdout != ""
        assert result.stderr.count("\n") == (said is not None)
        assert said is None or result.stderr.startswith(said)


def test_json_names_what_the_gate_stopped(here: Path) -> None:
    gate = json.loads(compare(*runs("good", "bad"), "--fail-if-worse", "--json").stdout)["gate"]
    assert gate == {"margin": None, "failed": [["bad", "ndcg@10"]]}
    assert json.loads(compare(*runs("good", "bad"), "--json").stdout)["gate"] is None


@pytest.mark.parametrize("test", ["randomisation", "t", "bootstrap"])
def test_the_same_seed_gives_the_same_answer(here: Path, test: str) -> None:
    words = [*runs("good", "bad"), "--test", test, "--samples", "2000", "--json"]
    Path("bad.trec").write_text("".join(f"{qid} Q0 d 1 1.0 x\n" for qid in QUERIES[:5]))
    first, again, other = (compare(*words, "--seed", seed).stdout for seed in ("1", "1", "2"))
    assert first == again
    assert first != other


@pytest.mark.parametrize("systems", [("good", "bad"), ("good", "bad", "copy")])
def test_the_plot_is_a_png(here: Path, systems: tuple[str, ...]) -> None:
    pytest.importorskip("matplotlib")
    result = compare(*runs(*systems), "-m", "mrr", "-m", "map", "--plot", "p.png")
    assert result.exit_code == 0, result.output
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--run", "good.trec", "--qrels", "qrels"], "two systems or more"),
        (["--run", "good.trec", "--run", "bad.trec"], "--run and --qrels go together"),
        (["--qrels", "qrels", "--values", "a.json", "--values", "b.json"], "--run and --qrels go together"),
        ([*runs("good", "bad"), "--baseline", "god"], "Did you mean 'good'"),
        ([*runs("good", "bad"), "--margin", "0.1"], "with --fail-if-worse"),
        ([*runs("good", "bad"), "--fail-if-worse", "--margin", "-1"], "at least 0"),
        ([*runs("good", "bad", "copy"), "--fail-if-worse"], "needs --baseline"),
        ([*runs("good", "bad"), "--top", "-1"], "--top takes"),
        ([*runs("good", "bad"), "--plot", "p.pdf"], "ends with .png"),
        ([*runs("good", "bad"), "--plot", "nowhere/p.png"], "its folder is not there"),
        ([*runs("good", "bad"), "--test", "sign"], "No test named 'sign'"),
        ([*runs("good", "bad"), "--queries", "other.txt"], "has none of the queries compared"),
    ],
)
def test_a_mistake_is_one_line_and_exit_1(here: Path, words: list[str], said: str) -> None:
    Path("other.txt").write_text("a question of another set\n")
    result = compare(*words)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_a_plot_of_too_many_panels_is_refused_before_anything_is_drawn(here: Path) -> None:
    metrics = [word for k in range(1, 26) for word in ("-m", f"ndcg@{k}")]
    result = compare(*runs("good", "bad"), *metrics, "--plot", "p.png")
    assert result.exit_code == 1
    assert "at most 24 comparisons; these are 25" in result.stderr
    assert not Path("p.png").exists()
