"""`retr encode` as a process: killed, interrupted, grown, given a full disk; and what it says."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tests.waiting import wait_for

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0"}
COUNTING = '''
"""An encoder that writes down every call before it works, so that a test can count calls over processes."""
import os, time
from pathlib import Path
import numpy as np
from retr.retrieval.embeddings import Vectors

class Letters:
    dim, similarity, fingerprint = 3, "cosine", "letters"

    def __init__(self, source):
        self.seconds = float(source)

    def encode_documents(self, texts):
        with open("calls.txt", "a") as log:
            log.write(f"{len(texts)}\\n")
        time.sleep(self.seconds)
        return Vectors(np.array([[1 + text.count(c) for c in "012"] for text in texts], np.float32))

    encode_queries = encode_documents
'''
TEXTS = 600


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an encoder of the user's own and a file of texts."""
    (tmp_path / "counting.py").write_text(COUNTING)
    write_lines(tmp_path, range(TEXTS))
    return tmp_path


def write_lines(place: Path, numbers: range) -> None:
    (place / "t.txt").write_text("".join(f"text {number}\n" for number in numbers))


def command(place: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    path = os.pathsep.join([str(place), *(path for path in sys.path if path)])
    environment = {**ENVIRONMENT, "PYTHONPATH": path, "RETR_CACHE_DIR": str(place / "cache"), "HOME": str(place)}
    return [sys.executable, "-m", "retr", "encode", *words], environment


def encode(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    line, environment = command(place, *words)
    return subprocess.run(line, cwd=place, env=environment, capture_output=True, text=True, timeout=120)


def slow(out: str, seconds: float = 0.0) -> list[str]:
    return ["t.txt", "--lines", "--out", out, "--encoder", f"counting:Letters={seconds}", "--shard-texts", "30"]


@contextmanager
def started(place: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A run, and its end however the test ends."""
    line, environment = command(place, *words)
    pipe = subprocess.PIPE
    with subprocess.Popen(line, cwd=place, env=environment, stdout=pipe, stderr=pipe, text=True) as run:
        try:
            yield run
        except BaseException:
            run.kill()
            raise


def calls(place: Path) -> list[int]:
    log = place / "calls.txt"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def shards(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "shards").glob("*.npy"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_killed_run_goes_on_and_encodes_less_than_one_shard_twice(place: Path) -> None:
    assert encode(place, *slow("straight")).returncode == 0
    whole, folder, kept = calls(place), place / "v", 0
    assert sum(whole) == TEXTS and len(whole) > 10
    for finished in (3, 8):
        (place / "calls.txt").unlink()
        with started(place, *slow("v", 0.15)) as run:
            # A call has begun, and what was encoded before it is written.
            wait_for(lambda: len(shards(folder)) >= finished and len(calls(place)) == len(shards(folder)) - kept + 1)  # noqa: B023
            run.send_signal(signal.SIGKILL)
        begun, before, kept = calls(place), kept, len(shards(folder))
        assert begun == whole[before : kept + 1]
    (place / "calls.txt").unlink()
    done = encode(place, *slow("v"), "--json")
    assert done.returncode == 0, done.stderr
    assert calls(place) == whole[kept:]
    said = json.loads(done.stdout)
    assert (said["texts"], said["reused"], said["encoded"]) == (TEXTS, sum(whole[:kept]), sum(whole[kept:]))
    assert files(folder) == files(place / "straight")


def test_ctrl_c_ends_it_at_once_and_the_command_goes_on_from_there(place: Path) -> None:
    with started(place, *slow("v", 0.15)) as run:
        wait_for(lambda: len(shards(place / "v")) >= 2)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=60)
    assert (run.returncode, errors.splitlines()[-1]) == (130, "interrupted")
    assert "Traceback" not in errors
    done = encode(place, *slow("v"), "--json")
    assert json.loads(done.stdout)["shards_reused"] >= 2


def test_a_grown_and_edited_source_encodes_what_is_new(place: Path) -> None:
    assert encode(place, *slow("v")).returncode == 0
    lines = (place / "t.txt").read_text().splitlines()
    (place / "t.txt").write_text("\n".join(["a new first line", *lines, "a new last line"]))
    (place / "calls.txt").unlink()
    done = encode(place, *slow("v"), "--json")
    said = json.loads(done.stdout)
    assert (said["texts"], said["encoded"] + said["reused"]) == (TEXTS + 2, TEXTS + 2)
    assert len(calls(place)) <= 3 and sum(calls(place)) == said["encoded"] <= 3 * 120


def test_a_file_is_written_from_shards_that_go_or_stay(place: Path) -> None:
    done = encode(place, *slow("v.npy"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "v.npy: 600 vectors of 3 float32 numbers\n"
    assert np.load(place / "v.npy").shape == (TEXTS, 3)
    assert not (place / "v.npy.shards").exists()
    assert encode(place, *slow("v.parquet"), "--shards", "kept").returncode == 0
    (place / "calls.txt").unlink()
    assert encode(place, *slow("again.npy"), "--shards", "kept").returncode == 0
    assert calls(place) == []
    assert (place / "again.npy").read_bytes() == (place / "v.npy").read_bytes()
    assert (place / "again.ids.parquet").read_bytes() == (place / "v.ids.parquet").read_bytes()


def test_titles_are_read_and_rows_keep_their_ids(place: Path) -> None:
    import pyarrow.parquet as pq

    (place / "d.jsonl").write_text('{"id": "a", "title": "T", "text": "x"}\n{"id": "b", "text": "y"}\n')
    done = encode(place, "d.jsonl", "--out", "d.parquet", "--keep-texts", "--encoder", "counting:Letters=0")
    assert done.returncode == 0, done.stderr
    table = pq.read_table(place / "d.parquet")
    assert (table["id"].to_pylist(), table["text"].to_pylist()) == (["a", "b"], ["T x", "y"])


def test_the_default_model_says_how_many_texts_were_cut(place: Path) -> None:
    (place / "d.jsonl").write_text(json.dumps({"id": "a", "text": "word " * 400}) + '\n{"id": "b", "text": "y"}\n')
    done = encode(place, "d.jsonl", "--out", "v", "--json")
    said = json.loads(done.stdout)
    assert (said["cut"], said["tokens"], said["dim"]) == (1, 256 + 3, 384)
    again = encode(place, "d.jsonl", "--out", "w")
    assert again.stdout == "w: 2 vectors of 384 float32 numbers (1 longer than the 256 tokens that are read)\n"


def test_a_mistyped_source_leaves_nothing_behind(place: Path) -> None:
    done = encode(place, "tt.txt", "--out", "v", "--encoder", "counting:Letters=0")
    assert (done.returncode, (place / "v").exists()) == (1, False)
    assert "Did you mean 't.txt'" in done.stderr


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(place: Path) -> None:
    lead = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    if shutil.which("unshare") is None or subprocess.run([*lead, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here: a full disk cannot be made")
    (place / "disk").mkdir()
    line, environment = command(place, *slow("disk/v"), "--quiet")
    words = " ".join(f"'{word}'" for word in line)
    script = (
        "mount -t tmpfs -o size=72k none disk && "
        f"{{ {words}; echo $?; mount -o remount,size=900k disk && {words} --json; }}"
    )
    done = subprocess.run([*lead, "sh", "-c", script], cwd=place, env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("1\n"), done
    assert done.stderr.count("\n") == 1 and "No space left on device" in done.stderr
    said = json.loads(done.stdout.splitlines()[1])
    assert said["shards_reused"] > 0 and said["texts"] == TEXTS
