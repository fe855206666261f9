"""`retr eval` beyond runs: folders that it searches, pairs, candidates, evidence, images, intervals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from retr.cli import make_app
from retr.retrieval.evaluation.ranking import evaluate
from retr.retrieval.runs import Qrels, Run

MakeModel = Callable[..., Path]


def run(*arguments: object) -> Any:
    """The JSON of a command that succeeds."""
    result = CliRunner().invoke(make_app(), ["eval", *map(str, arguments), "--json", "-q"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def text(*arguments: object) -> list[list[str]]:
    """The words of each line of a command that succeeds."""
    result = CliRunner().invoke(make_app(), ["eval", *map(str, arguments), "-q"])
    assert result.exit_code == 0, result.stderr
    return [line.split() for line in result.stdout.splitlines()]


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    documents = {
        "q1": "a red fish",
        "d1": "red fish swims in cold water",
        "d2": "a blue stone",
        "d3": "cold water falls",
    }
    write(folder / "corpus.jsonl", [{"_id": id, "text": words} for id, words in documents.items()])
    write(folder / "queries.jsonl", [{"_id": "q1", "text": "red fish"}, {"_id": "q2", "text": "blue sky"}])
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n")
    return folder


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_folder_is_indexed_searched_and_scored(beir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.trec"
    found = run("--data", beir, "--mode", "lexical", "--save-run", out, "-m", "mrr", "-m", "recall@5")
    assert found["metrics"] == {"mrr": 0.75, "recall@5": 1.0}
    assert (found["queries"], found["run"]) == (2, str(out))
    assert evaluate(Run.load(out), Qrels.load(beir / "qrels" / "test.tsv"), ["mrr"]).means == {"mrr": 0.75}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beir", "out.trec"]


def test_a_document_with_the_querys_own_id_may_be_left_out(beir: Path) -> None:
    assert run("--data", beir, "--mode", "lexical", "-m", "mrr", "--drop-self")["metrics"] == {"mrr": 1.0}
    assert (
        run("--data", beir, "--mode", "lexical", "-m", "recall@1", "-k", 1, "--drop-self")["metrics"]["recall@1"] == 1
    )


def test_several_modes_are_compared_over_one_index(beir: Path, tmp_path: Path, make_bi: MakeModel) -> None:
    index = tmp_path / "ix"
    options = ["--data", beir, "--index", index, "--encoder", make_bi(), "-m", "recall@4"]
    found = run(*options, "--mode", "lexical", "--mode", "dense", "--save-run", tmp_path / "{mode}.json")
    assert list(found["runs"]) == ["lexical", "dense"]
    assert found["runs"]["dense"]["metrics"] == {"recall@4": 1.0}
    assert Run.load(tmp_path / "dense.json").scores.keys() == {"q1", "q2"}
    again = run("--data", beir, "--index", index, "--mode", "dense", "-m", "recall@4")
    assert again["metrics"] == found["runs"]["dense"]["metrics"]


def test_an_index_and_questions_of_ones_own(beir: Path, tmp_path: Path) -> None:
    run("--data", beir, "--index", tmp_path / "ix", "--encoder", "none", "--mode", "lexical")
    qrels = beir / "qrels" / "test.tsv"
    found = run("--index", tmp_path / "ix", "--queries", beir, "--qrels", qrels, "--mode", "lexical", "-m", "mrr")
    assert found["metrics"] == {"mrr": 0.75}


def test_an_index_that_lacks_documents_is_refused(beir: Path, tmp_path: Path) -> None:
    run("--data", beir, "--index", tmp_path / "ix", "--encoder", "none", "--mode", "lexical")
    with (beir / "corpus.jsonl").open("a") as corpus:
        corpus.write('{"_id": "d9", "text": "new"}\n')
    arguments = ["eval", "--data", str(beir), "--index", str(tmp_path / "ix"), "--mode", "lexical"]
    result = CliRunner().invoke(make_app(), arguments)
    assert result.exit_code == 1
    assert "lacks 1 of the 5 documents" in result.stderr


def test_a_run_is_reranked_with_the_texts_of_the_folder(beir: Path, tmp_path: Path, make_cross: MakeModel) -> None:
    (tmp_path / "first.trec").write_text("q1 Q0 d3 1 2.0 x\nq1 Q0 d1 2 1.0 x\nq2 Q0 d2 1 1.0 x\n")
    options = ["--run", tmp_path / "first.trec", "--data", beir, "-m", "recall@2", "-m", "recall@1"]
    before = run(*options)
    assert before["metrics"] == {"recall@2": 1.0, "recall@1": 0.5}
    saved = tmp_path / "again.json"
    after = run(*options, "--rerank", f"cross={make_cross()}", "--rerank-depth", 2, "--save-run", saved)
    assert after["metrics"]["recall@2"] == 1.0
    assert Run.load(saved).scores["q1"].keys() == {"d1", "d3"}
    assert Run.load(saved).scores["q1"]["d3"] != 2.0


def test_several_runs_are_one_table_by_the_names_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "good.trec").write_text("q Q0 a 1 2.0 x\n")
    (tmp_path / "bad.trec").write_text("q Q0 b 1 2.0 x\n")
    (tmp_path / "qrels").write_text("q 0 a 1\n")
    options = ["--run", tmp_path / "good.trec", "--run", tmp_path / "bad.trec", "--qrels", tmp_path / "qrels"]
    assert text(*options, "-m", "mrr") == [["run", "mrr"], ["good", "1.0000"], ["bad", "0.0000"], ["1", "query"]]
    found = run(*options, "-m", "mrr")["runs"]
    assert {name: table["metrics"]["mrr"] for name, table in found.items()} == {"good": 1.0, "bad": 0.0}


def test_intervals_stand_beside_the_means_when_asked(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("".join(f"q{n} Q0 {'ab'[n % 2]} 1 1.0 x\n" for n in range(40)))
    (tmp_path / "qrels").write_text("".join(f"q{n} 0 a 1\n" for n in range(40)))
    options = ["--run", tmp_path / "run", "--qrels", tmp_path / "qrels", "-m", "mrr", "--ci"]
    found = run(*options, "--seed", 3)["intervals"]
    assert (found["level"], found["seed"]) == (0.95, 3)
    low, high = found["mrr"]
    assert 0.3 < low < 0.4 and 0.6 < high < 0.7
    head, line, _ = text(*options)
    assert head == ["metric", "mean", "95%", "from", "to"] and line[:2] == ["mrr", "0.5000"] and len(line) == 4
    many = text(*options[:2], "--run", tmp_path / "run", *options[2:])
    assert [line[1] for line in many[1:3]] == [f"{tmp_path.name}/run#1", f"{tmp_path.name}/run#2"]


def test_similarity_of_pairs(tmp_path: Path, make_bi: MakeModel) -> None:
    rows = ["the red fish\tred fish\t5", "blue stone\tcold water\t1", "a fish\ta red sky\t2.5", "the sky\tthe sky\t5"]
    (tmp_path / "t.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]))
    options = ["--pairs", tmp_path / "t.tsv", "--encoder", make_bi()]
    found = run(*options, "--per-query")
    assert found["task"] == "sts" and found["pairs"] == 4
    for name, value in found["metrics"].items():
        assert value == pytest.approx(np.mean([values[name] for values in found["per_query"].values()]))
    assert set(run(*options, "--ci", "--similarity", "dot")["intervals"]) == {"level", "seed", "spearman", "pearson"}


def test_classes_of_pairs(tmp_path: Path, make_bi: MakeModel, make_cross: MakeModel) -> None:
    rows = [{"text1": "red fish", "text2": "red fish", "label": 1}, {"text1": "red", "text2": "cold sky", "label": 0}]
    path = write(tmp_path / "t.jsonl", rows)
    found = run("--pairs", path, "--encoder", make_bi())
    assert found["metrics"] == {"auc": 1.0, "ap": 1.0, "f1": 1.0, "accuracy": 1.0}
    assert found["f1_threshold"] == pytest.approx(1.0, abs=1e-6)
    assert run("--pairs", path, "--rerank", f"cross={make_cross()}")["metrics"].keys() == found["metrics"].keys()
    assert ["2", "pairs"] in text("--pairs", path, "--encoder", make_bi())


def test_candidates(tmp_path: Path, make_bi: MakeModel, make_cross: MakeModel) -> None:
    rows = [
        {"_id": "a", "context": "red fish", "candidates": ["cold sky", "red fish"], "label": 1},
        {"_id": "b", "context": "blue", "candidates": ["x", "y"], "label": [1, 1]},
    ]
    path = write(tmp_path / "t.jsonl", rows)
    found = run("--candidates", path, "--encoder", make_bi(), "--per-query")
    assert found["metrics"] == {"r2@1": 1.0, "mrr": 1.0, "map": 1.0}
    assert (found["lists"], found["left_out"], list(found["per_query"])) == (1, 1, ["a"])
    assert run("--candidates", path, "--rerank", f"cross={make_cross()}", "-m", "mrr")["metrics"]["mrr"] >= 0.5


def test_evidence(beir: Path, tmp_path: Path) -> None:
    run("--data", beir, "--index", tmp_path / "ix", "--encoder", "none", "--mode", "lexical")
    rows = [{"query": "red fish", "evidence_list": [{"fact": "swims in cold"}, {"fact": "no such"}]}]
    rows.append({"query": "nobody knows", "evidence_list": []})
    options = ["--evidence", write(tmp_path / "e.jsonl", rows), "--index", tmp_path / "ix", "--mode", "lexical"]
    found = run(*options)
    assert (found["queries"], found["left_out"], found["reachable"]) == (1, 1, 0.5)
    assert found["metrics"]["hits@4"] == 1.0 and found["metrics"]["recall@10"] == 0.5
    assert ["reachable:", "0.5000"] in text(*options)


def test_images_and_their_texts(tmp_path: Path) -> None:
    np.save(tmp_path / "i.npy", np.eye(3, dtype=np.float32))
    np.save(tmp_path / "t.npy", np.repeat(np.eye(3, dtype=np.float32), 2, axis=0))
    options = ["--images", tmp_path / "i.npy", "--captions", tmp_path / "t.npy"]
    found = run(*options, "--per-query", "--ci")
    assert found["metrics"]["rsum"] == 600 and (found["images"], found["texts"]) == (3, 6)
    assert found["per_query"]["image 2"]["text_recall@1"] == 1.0
    assert found["intervals"]["image_recall@1"] == [1.0, 1.0]
    (tmp_path / "of.txt").write_text("1\n1\n0\n0\n2\n2\n")
    turned = run(*options, "--image-of", tmp_path / "of.txt")["metrics"]
    assert turned["image_recall@1"] == pytest.approx(1 / 3)
    assert text(*options, "--per-query")[0][0] == "query"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--run", "r", "--qrels", "q", "--mode", "dense"], "--mode has no meaning with it"),
        (["--run", "r", "--qrels", "q", "--pairs", "p"], "--pairs and --run are different tasks"),
        (["--run", "r"], "No judgements"),
        (["--run", "r", "--qrels", "q", "--rerank", "cross=x"], "give --data BEIR_FOLDER"),
        (["--pairs", "p", "--mode", "dense"], "--mode has no meaning with --pairs"),
        (["--pairs", "p", "-m", "ndcg"], "cannot be chosen"),
        (["--pairs", "p", "--task", "selection"], "--pairs is not for --task selection, but for sts or pairs"),
        (["--pairs", "p", "--task", "stss"], "Did you mean 'sts'"),
        (["--queries", "q"], "all three are needed"),
        (["--data", "d", "--queries", "q"], "has no meaning with it"),
        (["--data", "d", "--mode", "dense", "--mode", "lexical", "--save-run", "x"], "would hold several runs"),
        (["--images", "i"], "go together"),
        (["--run", "r", "--qrels", "q", "--ci", "--seed", "-1"], "seed must be at least 0"),
        (["--run", "r", "--qrels", "q", "-m", "r3@1"], "No metric named 'r3'"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(make_app(), ["eval", *arguments])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1 and said in result.stderr


def test_values_of_each_pair_are_not_there_for_classes(tmp_path: Path, make_bi: MakeModel) -> None:
    rows = [{"text1": "red fish", "text2": "red fish", "label": 1}, {"text1": "red", "text2": "cold sky", "label": 0}]
    arguments = ["eval", "--pairs", str(write(tmp_path / "t.jsonl", rows)), "--encoder", str(make_bi()), "--per-query"]
    result = CliRunner().invoke(make_app(), arguments)
    assert result.exit_code == 1
    assert "--per-query has no meaning here" in result.stderr
