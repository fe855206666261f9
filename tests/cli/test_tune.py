"""`retr tune` in real processes: measured, chosen, written, searched; and what it says to bad input."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROWS, DIM = 2_500, 32


def retr(folder: Path, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "retr", *command],
        cwd=folder,
        env={**os.environ, "RETR_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stderr
    return done


def make(folder: Path, rows: int = ROWS) -> None:
    """An index of given vectors in folder/index, and 80 queries like them in folder/queries.npy."""
    from retr.index.collection import Collection
    from retr.index.writing.creation import GivenVectors
    from retr.retrieval.records import Document

    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, DIM))[rng.integers(0, 40, rows + 80)] + rng.normal(size=(rows + 80, DIM))
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    collection = Collection.create(folder / "index", encoder=GivenVectors(DIM))
    collection.add([Document(f"d{row}", f"text {row}") for row in range(rows)], vectors=values[:rows])
    np.save(folder / "queries.npy", values[rows:])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index that tests only read."""
    folder = tmp_path_factory.mktemp("kept")
    make(folder)
    return folder


def digest(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "cache")


def test_the_whole_way_from_measuring_to_a_faster_index(tmp_path: Path) -> None:
    make(tmp_path)
    command = ["tune", "-i", "index", "--kinds", "ivf-sq8,flat", "--recall", "0.9", "--plot", "tune.png", "--json"]
    done = retr(tmp_path, *command)
    found = json.loads(done.stdout)
    assert "ivf-sq8, float32: built in" in done.stderr
    assert beside(tmp_path) == ["index", "queries.npy", "tune.png"]

    chosen = found["chosen"]
    points = found["points"]
    assert next(point for point in points if point["chosen"])["recall"] == chosen["recall"] >= 0.9
    passed = [point for point in points if point["recall"] >= 0.9 and point["held_out_recall"] >= 0.9]
    for point in passed:
        overtaken = any(other["recall"] >= point["recall"] for other in found["rejected"])
        assert point["median_ms"] >= chosen["median_ms"] or overtaken
    assert found["guarantee"]["met"] and found["guarantee"]["queries"] == found["queries"]["checking"] == 125
    assert found["guarantee"]["lower_bound"] <= found["guarantee"]["held_out_recall"]
    assert {"build_seconds", "bytes", "memory_bytes", "cpu_ms", "qps", "p95_ms"} <= set(points[0])
    assert (found["rows"], found["sampled"], found["dim"], found["target"], found["k"]) == (ROWS, 2_250, DIM, 0.9, 10)

    written = found["applied"]
    info = json.loads(retr(tmp_path, "info", "-i", "index", "--json").stdout)
    assert info["settings"]["dense"] == written["settings"]
    assert info["settings"]["dense"]["kind"] == chosen["kind"]
    assert (info["documents"], info["generation"]) == (ROWS, written["generation"])
    assert written["after"]["recall"] >= 0.9
    retr(tmp_path, "check", "-i", "index", "--no-encoder")
    assert (tmp_path / "tune.png").read_bytes().startswith(b"\x89PNG")


def test_a_dry_run_changes_no_byte(kept: Path) -> None:
    before = digest(kept / "index")
    done = retr(kept, "tune", "-i", "index", "--kinds", "ivf-sq8", "--dry-run", "--quiet")
    assert digest(kept / "index") == before
    assert beside(kept) == ["index", "queries.npy"]
    assert done.stderr == ""
    assert "nothing written (--dry-run)" in done.stdout


def test_the_table_shows_the_frontier_the_baseline_and_the_promise(kept: Path) -> None:
    done = retr(kept, "tune", "-i", "index", "--kinds", "ivf-sq8,hnsw", "--dry-run", "--recall", "0.8")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("settings measured: ")
    assert lines[1].split()[:3] == ["kind", "storage", "refine"]
    assert any(line.startswith("flat") for line in lines)
    assert sum(line.rstrip().endswith(" chosen") for line in lines) == 1
    [promise] = [line for line in lines if line.startswith("recall@10 is")]
    assert "on 125 queries that took no part in choosing (target 0.8; with 95% confidence at least" in promise


def test_query_vectors_come_from_a_file(kept: Path) -> None:
    done = retr(
        kept, "tune", "-i", "index", "--queries", "queries.npy", "--kinds", "flat", "--dry-run", "--json", "-k", "3"
    )
    found = json.loads(done.stdout)
    assert found["queries"] == {"source": "given", "choosing": 40, "checking": 40}
    assert (found["sampled"], found["k"], found["applied"]) == (ROWS, 3, None)


def test_query_texts_are_encoded_by_the_indexs_encoder(tmp_path: Path) -> None:
    rows = [json.dumps({"id": str(n), "text": f"symptom {n} goes away with remedy {n * n}"}) for n in range(120)]
    (tmp_path / "documents.jsonl").write_text("\n".join(rows))
    retr(tmp_path, "index", "documents.jsonl", "--quiet")
    (tmp_path / "questions.txt").write_text("".join(f"what helps against symptom {n}?\n" for n in range(24)))
    done = retr(tmp_path, "tune", "--queries", "questions.txt", "--json")
    found = json.loads(done.stdout)
    assert found["queries"] == {"source": "given", "choosing": 12, "checking": 12}
    assert found["chosen"]["kind"] == "flat"
    assert "pq, float32: fewer than 1024 rows" in found["skipped"]
    assert found["applied"]["after"]["recall"] == 1.0


def test_the_same_seed_measures_the_same_recalls(kept: Path) -> None:
    def recalls(seed: str) -> dict[Any, Any]:
        command = [
            "tune",
            "-i",
            "index",
            "--kinds",
            "ivf-flat",
            "--dry-run",
            "--json",
            "--seed",
            seed,
            "--sample",
            "1500",
        ]
        found = json.loads(retr(kept, *command).stdout)
        assert (found["sampled"], found["seed"]) == (1_500, int(seed))
        return {point["nprobe"]: (point["recall"], point["held_out_recall"]) for point in found["points"]}

    one, again, other = recalls("1"), recalls("1"), recalls("2")
    both = one.keys() & again.keys()  # How far a kind is followed depends on the time it takes.
    assert len(both) >= 2
    assert {nprobe: one[nprobe] for nprobe in both} == {nprobe: again[nprobe] for nprobe in both}
    assert one != other


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--recall", "1.5"], "recall must be above 0 and at most 1"),
        (["--recall", "nan"], "recall must be above 0"),
        (["-k", "0"], "k must be a whole number"),
        (["--kinds", "pq,hnws"], "Did you mean 'hnsw'?"),
        (["--kinds", ""], "--kinds takes names with commas"),
        (["--kinds", "pq,,hnsw"], "--kinds takes names with commas"),
        (["--storage", "int4"], "No vector storage named 'int4'"),
        (["--sample", "5"], "sample must be a whole number of at least 100"),
        (["--seed", "-1"], "seed must be a whole number of at least 0"),
        (["--plot", "tune.svg"], "Give a name that ends with .png"),
        (["--plot", "gone/tune.png"], "its folder is not there"),
        (["--wait", "-1"], "--wait takes a number of seconds"),
        (["--queries", "gone.npy"], "There is no file 'gone.npy'"),
        (["--queries", "gone.txt"], "gone.txt"),
        (["--queries", "broken.npy"], "is not a .npy file of numbers"),
        (["--queries", "objects.npy"], "is not a .npy file of numbers"),
        (["--queries", "words.npy"], "is not a .npy file of numbers"),
        (["--queries", "wide.npy"], "dim"),
        (["--queries", "line.npy"], "Vectors need a float32 array"),
        (["--queries", "few.npy"], "tuning needs at least 20"),
        (["--queries", "words.txt"], "holds vectors that were given to it and has no encoder"),
        (["--index", "gone"], "gone"),
        (["--index", "small"], "tuning needs at least 100"),
        (["--index", "lexical"], "has no vectors"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_built(faulty: Path, options: list[str], part: str) -> None:
    before = digest(faulty)
    done = retr(faulty, "tune", "-i", "index", *options, code=1)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert part in done.stderr
    after = {path: sha for path, sha in digest(faulty).items() if "/cache/" not in path}
    assert after == {path: sha for path, sha in before.items() if "/cache/" not in path}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index, two that cannot be tuned, and files that are no queries."""
    from retr.index.collection import Collection
    from retr.index.writing.creation import GivenVectors
    from retr.retrieval.records import Document

    folder = tmp_path_factory.mktemp("faulty")
    make(folder, rows=150)
    Collection.create(folder / "lexical", encoder=None).add([Document("a", "one text")])
    small = Collection.create(folder / "small", encoder=GivenVectors(2))
    small.add([Document("a", "one text")], vectors=np.ones((1, 2), np.float32))
    (folder / "broken.npy").write_bytes(b"\x93NUMPY")
    np.save(folder / "objects.npy", np.array([{"a": 1}], dtype=object))
    np.save(folder / "words.npy", np.array([["a", "b"]]))
    np.save(folder / "wide.npy", np.ones((30, DIM + 1), np.float32))
    np.save(folder / "line.npy", np.ones(DIM, np.float32))
    np.save(folder / "few.npy", np.eye(DIM, dtype=np.float32)[:5])
    (folder / "words.txt").write_text("one question\nanother question\n")
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_ended_run_leaves_no_folder_and_the_index_as_it_was(kept: Path, number: signal.Signals) -> None:
    before = digest(kept / "index")
    process = subprocess.Popen(
        [sys.executable, "-m", "retr", "tune", "-i", "index"],
        cwd=kept,
        env={**os.environ, "RETR_CACHE_DIR": str(kept / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A shell that runs tests in the background has them ignore Ctrl-C, and so would what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(600):
        if any("-tune-" in name for name in beside(kept)):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the trial never began")
    process.send_signal(number)
    assert process.wait(timeout=60) == 128 + number
    assert beside(kept) == ["index", "queries.npy"]
    assert digest(kept / "index") == before
