"""Jobs by a real Ray: a node killed in the middle, the driver killed and started again; every row once, same bytes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.waiting import wait_for

from retr.encoders.bulk import open_vectors

pytest.importorskip("ray", reason="ray is not installed: pip install 'retr[ray]'")
pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
TEXTS, SHARD, SECONDS = 1600, 40, "0.2"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For all processes: Ray on loopback alone, with a token of its own, and the slow encoder in sight."""
    root = Path(__file__).parents[3]
    paths = [str(root / "src"), str(root), str(HERE), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "HOME": str(tmp_path_factory.mktemp("home")),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "LETTERS_SECONDS": SECONDS,
        "LETTERS_TOGETHER": str(tmp_path_factory.mktemp("jobs") / "together"),
    }


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text a line."""
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("".join(f"text number {number}\n" for number in range(TEXTS)))
    return path


def encode(texts: Path, out: Path, environment: dict[str, str], *where: str) -> subprocess.Popen[str]:
    given = [str(texts), "--lines", "--out", str(out), "--encoder", "slow_letters:load=x"]
    command = [sys.executable, "-m", "retr", "encode", *given, "--shard-texts", str(SHARD), "--json", *where]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    found: dict[str, Any] = json.loads(out)
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def finished(folder: Path) -> int:
    return len(list((folder / "shards").glob("*.npy")))


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, texts: Path, environment: dict[str, str]) -> dict[str, bytes]:
    """What `--on local` makes."""
    folder = tmp_path_factory.mktemp("local") / "v"
    said(encode(texts, folder, {**environment, "LETTERS_SECONDS": "0"}))
    ids = Counter(id for block in open_vectors(folder).blocks() for id in block.ids)
    assert len(ids) == TEXTS and set(ids.values()) == {1}
    return files(folder)


@pytest.fixture(scope="module")
def nodes(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The process of nodes.py."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "nodes.py")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.communicate(timeout=120)


@pytest.fixture(scope="module")
def address(nodes: subprocess.Popen[str]) -> str:
    assert nodes.stdout is not None
    found = nodes.stdout.readline().strip()
    assert ":" in found, found
    return found


def test_a_node_killed_in_mid_job_costs_nothing(
    tmp_path: Path,
    texts: Path,
    environment: dict[str, str],
    straight: dict[str, bytes],
    nodes: subprocess.Popen[str],
    address: str,
) -> None:
    assert nodes.stdin is not None and nodes.stdout is not None
    together = Path(environment["LETTERS_TOGETHER"])
    together.mkdir()  # each of the three workers has a shard before any of them is done with one
    job = encode(texts, tmp_path / "v", environment, "--on", "ray", "--ray-address", address)
    wait_for(lambda: finished(tmp_path / "v") >= 4 or job.poll() is not None, 300)
    nodes.stdin.write("kill\n")
    nodes.stdin.flush()
    assert nodes.stdout.readline() == "killed\n"
    assert job.poll() is None, "the job was over before the node was killed"
    done = said(job)
    shutil.rmtree(together)
    assert (done["texts"], done["encoded"], done["workers"]) == (TEXTS, TEXTS, 3)
    assert done["workers_lost"] >= 1
    assert files(tmp_path / "v") == straight


def test_a_job_whose_driver_was_killed_goes_on(
    tmp_path: Path, texts: Path, environment: dict[str, str], straight: dict[str, bytes], address: str
) -> None:
    on = ("--on", "ray", "--ray-address", address)
    job = encode(texts, tmp_path / "v", environment, *on)
    wait_for(lambda: finished(tmp_path / "v") >= 4 or job.poll() is not None, 300)
    job.send_signal(signal.SIGKILL)
    job.communicate(timeout=60)
    assert job.returncode == -signal.SIGKILL, "the job was over before it was killed"
    done = said(encode(texts, tmp_path / "v", {**environment, "LETTERS_SECONDS": "0"}, *on))
    assert done["shards_reused"] >= 4 and done["encoded"] + done["reused"] == TEXTS
    assert files(tmp_path / "v") == straight


def test_a_ray_of_its_own_ends_with_the_command_also_by_sigkill(
    tmp_path: Path, texts: Path, environment: dict[str, str], straight: dict[str, bytes]
) -> None:
    job = encode(texts, tmp_path / "v", environment, "--on", "ray", "--workers", "1", "--worker-cpus", "1")
    wait_for(lambda: finished(tmp_path / "v") >= 2 or job.poll() is not None, 300)
    assert job.poll() is None
    started = psutil.Process(job.pid).children(recursive=True)
    listening = [
        connection.laddr.ip
        for process in started
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening and {ip.removeprefix("::ffff:") for ip in listening} <= {"127.0.0.1", "::1"}
    job.send_signal(signal.SIGKILL)
    job.communicate(timeout=60)
    wait_for(lambda: not [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE], 200)
    said(encode(texts, tmp_path / "v", {**environment, "LETTERS_SECONDS": "0"}))
    assert files(tmp_path / "v") == straight


def test_an_index_filled_by_ray_is_the_one_filled_here(
    tmp_path: Path, texts: Path, environment: dict[str, str], address: str
) -> None:
    documents = tmp_path / "documents.jsonl"
    lines = texts.read_text().splitlines()[:300]
    documents.write_text("".join(json.dumps({"id": str(n), "text": line}) + "\n" for n, line in enumerate(lines)))
    answers = []
    for name, where in (("here", []), ("ray", ["--on", "ray", "--ray-address", address])):
        index = ["--index", str(tmp_path / name)]
        encoder = ["--encoder", "slow_letters:load=x", "--chunk-tokens", "0"]
        for command in (["index", str(documents), *encoder, *where], ["search", "number 123", "--mode", "dense"]):
            done = subprocess.run(
                [sys.executable, "-m", "retr", *command, *index, "--json"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=400,
            )
            assert done.returncode == 0, done.stderr
        answers.append([(hit["id"], hit["score"]) for hit in json.loads(done.stdout)["hits"]])
    assert answers[0] == answers[1] and len(answers[0]) == 10
