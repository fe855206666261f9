"""`--encoder late=…`, `--late`, `--mode late`, `--rerank late` and `--bits` from the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import MakeModel
from typer.testing import CliRunner

from retr.cli import make_app
from retr.index.late.gpu import placing

RECORDS = [{"id": word, "title": word, "text": f"the {word} {word}"} for word in ("red", "blue", "green", "warm")]
LAYERS = {"Transformer": "base.modules.transformer", "Normalize": "base.modules.normalize"}
LAYERS["MultiVectorMask"] = "multi_vector_encoder.modules.multi_vector_mask"


def retr(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(make_app(), [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def retr_json(*arguments: object) -> Any:
    return json.loads(retr(*arguments, "--json").splitlines()[-1])


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, make_bi: MakeModel) -> Path:
    """A folder with a late model of token states as they are, and an index of each kind."""
    folder = tmp_path_factory.mktemp("late")
    model = folder / "model"
    shutil.copytree(make_bi("bert"), model, ignore=shutil.ignore_patterns("*_*"))
    shutil.copyfile(make_bi("bert") / "sentence_bert_config.json", model / "sentence_bert_config.json")
    named = [("", "Transformer"), ("1_Mask", "MultiVectorMask"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.{LAYERS[kind]}.{kind}"}
        for at, (path, kind) in enumerate(named)
    ]
    for name, content in {
        "modules.json": modules,
        "config_sentence_transformers.json": {"model_type": "MultiVectorEncoder"},
        "1_Mask/config.json": {"module_input_name": "token_embeddings"},
        "2_Normalize/config.json": {"module_input_name": "token_embeddings"},
    }.items():
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(json.dumps(content))
    (folder / "r.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    source, late = folder / "r.jsonl", f"late={model}"
    retr("index", source, "-i", folder / "late", "--encoder", late, "--bits", 2, "-q")
    retr("index", source, "-i", folder / "both", "--encoder", make_bi("bert", seed=3), "--late", late, "-q")
    retr("index", source, "-i", folder / "words", "--encoder", "none", "-q")
    return folder


def test_tokens_answer_as_json_and_for_people(here: Path) -> None:
    found = retr_json("search", "green", "-i", here / "late", "--mode", "late", "--explain", "-k", 2)
    assert found["mode"] == "late" and len(found["hits"]) == 2
    hit = found["hits"][0]
    keys = {"query", "query_span", "token", "span", "field", "place", "similarity"}
    assert all(one.keys() == keys for one in hit["explain"]["late"]["tokens"])
    assert sum(one["similarity"] for one in hit["explain"]["late"]["tokens"]) == pytest.approx(hit["score"], abs=1e-4)
    assert hit["explain"]["late"]["plan"][0]["rows"] == 4
    shown = retr("search", "green", "-i", here / "late", "--mode", "late", "--explain", "-k", 1)
    assert "late: rank 1, score " in shown and "  tokens: g = " in shown and " of no word " in shown
    assert retr_json("search", "green", "-i", here / "late")["hits"][0]["id"] == "green"


def test_stored_tokens_rerank_like_the_model_that_reads_the_texts(here: Path) -> None:
    stored = retr_json("search", "warm blue", "-i", here / "both", "--mode", "dense", "--rerank", "late")["hits"]
    late = f"late={here / 'model'}"
    read = retr_json("search", "warm blue", "-i", here / "both", "--mode", "dense", "--rerank", late)["hits"]
    assert {hit["id"]: hit["score"] for hit in stored} == pytest.approx(
        {hit["id"]: hit["score"] for hit in read}, abs=0.1
    )
    (here / "q.txt").write_text("warm\nblue green\n")
    retr(
        "search", "-i", here / "both", "--queries", here / "q.txt", "--run", here / "out.trec", "--rerank", "late", "-q"
    )
    assert len((here / "out.trec").read_text().splitlines()) == 8


def test_stored_tokens_rerank_what_is_evaluated(here: Path) -> None:
    (here / "asked.jsonl").write_text('{"id": "1", "text": "warm"}\n{"id": "2", "text": "blue green"}')
    (here / "qrels").write_text("1 0 warm 1\n2 0 blue 1\n")
    judged = ["--queries", here / "asked.jsonl", "--qrels", here / "qrels", "--mode", "dense", "-m", "mrr"]
    retr("eval", "-i", here / "both", *judged, "--rerank", "late", "--save-run", here / "reranked.trec", "-q")
    told = [line.split() for line in (here / "reranked.trec").read_text().splitlines()]
    asked = ("search", "-i", here / "both", "--queries", here / "asked.jsonl", "--mode", "dense", "--rerank", "late")
    retr(*asked, "--run", here / "searched.trec", "-q")
    searched = [line.split() for line in (here / "searched.trec").read_text().splitlines()]
    assert [(line[0], line[2]) for line in told] == [(line[0], line[2]) for line in searched] and len(told) == 8


def test_info_and_check_tell_of_tokens(here: Path) -> None:
    facts = retr_json("info", "-i", here / "late")
    assert facts["encoder"] is None and facts["late_encoder"]["spec"] == f"late={here / 'model'}"
    assert facts["settings"]["late"]["bits"] == 2 and facts["tokens"] == sum(one["tokens"] for one in facts["late"])
    assert "x 32 in 8 bits, of 4 passages" in retr("info", "-i", here / "late")
    assert "late" not in retr_json("info", "-i", here / "words")["settings"]
    assert "token vectors; the search finds 1.000" in retr("check", "-i", here / "both")


def test_the_same_command_again_changes_nothing(here: Path) -> None:
    late = f"late={here / 'model'}"
    again = retr_json("index", here / "r.jsonl", "-i", here / "late", "--encoder", late, "--bits", 2, "-q")
    assert (again["unchanged"], again["encoded"]) == (4, 0)
    retr("compact", "-i", here / "late", "--bits", 4, "-q")
    assert retr_json("info", "-i", here / "late")["settings"]["late"]["bits"] == 4


@pytest.mark.parametrize(
    ("command", "part"),
    [
        (["search", "red", "-i", "words", "--mode", "late"], "has no token vectors"),
        (["search", "red", "-i", "words", "--rerank", "late"], "has no token vectors"),
        (["search", "red", "-i", "late", "--mode", "dense"], "Use --mode late"),
        (["search", "red", "-i", "late", "--mode", "late", "--candidates", "0"], "candidates must be"),
        (["compact", "-i", "words", "--bits", "2"], "has no token vectors"),
        (["compact", "-i", "late", "--bits", "3"], "bits must be 8, 4 or 2"),
        (["compact", "-i", "late", "--storage", "int8"], "has no vectors of passages"),
        (["tune", "-i", "late"], "There is nothing to tune"),
        (["index", "r.jsonl", "-i", "late", "--late", "late=other"], "--late none, not late=other"),
        (["index", "r.jsonl", "-i", "late", "--kind", "pq"], "--kind none, not pq"),
        (["index", "r.jsonl", "-i", "new", "--encoder", "late=model", "--kind", "pq"], "are of vectors of passages"),
        (["index", "r.jsonl", "-i", "new", "--encoder", "none", "--bits", "2"], "bits are of token vectors"),
    ],
)
def test_what_does_not_apply_is_one_line(
    here: Path, command: list[str], part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here)
    said = retr(*command, code=1)
    assert part in said and said.count("error:") == 1 and not (here / "new").exists()


def test_a_gpu_finds_the_same_and_what_keeps_it_away_is_said(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["search", "green", "-i", here / "late", "--mode", "late", "--explain", "-k", 2]
    found = retr_json(*command)
    monkeypatch.setattr(placing, "find_spec", lambda name: None)
    said = retr(*command, "--device", "cuda", "--json")
    assert "retr: --device cuda: on the CPU: torch is not installed" in said
    assert json.loads(said.splitlines()[-1])["hits"] == found["hits"]
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(placing, "obstacle", lambda gpus: "")
    monkeypatch.setattr(placing, "device_of", lambda gpu: torch.device("cpu"))
    there = retr_json(*command, "--device", "cuda")
    plans = [hit["explain"]["late"].pop("plan") for hit in there["hits"]]
    assert all(plan[0]["plan"] == "every document scored, on GPU 0" for plan in plans)
    for hit in found["hits"]:
        hit["explain"]["late"].pop("plan")
    assert there["hits"] == found["hits"]
