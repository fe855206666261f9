"""Two processes of half of the batch learn what one of the whole batch does: by Lightning, gloo and real processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pytorch_lightning")
load_file = pytest.importorskip("safetensors.torch").load_file

SCRIPT = Path(__file__).with_name("one_process.py")
ROWS, BATCH = 24, 8
INFONCE = {"name": "infonce", "temperature": 0.5, "directions": "both"}
Trained = tuple[list[list[float]], list[Any]]


@pytest.fixture(scope="module")
def model(make_bi: Any) -> Path:
    folder: Path = make_bi(seed=3)
    return folder


@pytest.fixture(scope="module")
def alone(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One process with the whole batch."""
    return trained(tmp_path_factory.mktemp("alone") / "run", model, INFONCE, 1)


def write_rows(folder: Path) -> None:
    """Texts of their own for each row, and unlike numbers of negatives, so that processes hold unlike numbers too."""
    words = ["red", "green", "blue", "black", "white", "brown"]
    lines = []
    for row in range(ROWS):
        texts = [f"{words[(row + n) % 6]} {words[(row * 3 + n) % 5]} thing {row} {n}" for n in range(2 + row % 3)]
        lines.append(
            json.dumps({"query": f"the {words[row % 6]} one, {row}", "positive": texts[0], "negatives": texts[1:]})
        )
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")


def trained(folder: Path, model: Path, objective: dict[str, Any], processes: int) -> Trained:
    """Losses and final weights of each process."""
    folder.mkdir()
    write_rows(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    wanted = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join(path for path in sys.path if path)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "RANK", "WORLD_SIZE")
    }
    command = [sys.executable, str(SCRIPT), str(folder), str(model), json.dumps(objective)]
    done = subprocess.run(
        [*command, str(processes), str(BATCH // processes)],
        env={**environment, **wanted, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    names = [folder / f"rank-{rank}" for rank in range(processes)]
    losses = [json.loads(name.with_suffix(".json").read_text()) for name in names]
    return losses, [load_file(name.with_suffix(".safetensors")) for name in names]


def distance(one: dict[str, Any], other: dict[str, Any], start: dict[str, Any]) -> float:
    """How far apart weights are, as a share of how far they came from the start."""
    assert one.keys() == other.keys() == start.keys()
    apart = sum(float((one[name].double() - other[name].double()).square().sum()) for name in one)
    moved = sum(float((one[name].double() - start[name].double()).square().sum()) for name in one)
    assert moved > 0
    return float((apart / moved) ** 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"grad-cache": {"chunk": 3}}], ids=["direct", "grad-cache"])
def test_two_processes_are_one_of_twice_the_batch(
    more: dict[str, Any], alone: Trained, model: Path, tmp_path: Path
) -> None:
    from retr.encoders.trainable.bi import open_bi

    (whole,), (weights,) = alone
    halves, (first, second) = trained(tmp_path / "run", model, {**INFONCE, **more}, 2)
    means = [sum(step) / 2 for step in zip(*halves, strict=True)]
    assert len(whole) == 3 and whole[-1] != whole[0]
    assert means == pytest.approx(whole, rel=2e-6)
    assert halves[0] != pytest.approx(halves[1], rel=1e-3)  # Each has rows of its own.
    assert all(torch.equal(first[name], second[name]) for name in first)
    start = {name: value.clone() for name, value in open_bi(model).module.state_dict().items()}
    assert distance(weights, first, start) < 1e-4
    saved = load_file(tmp_path / "run" / "out" / "model.safetensors")
    assert all(torch.equal(value, first[f"encoder.{name}"]) for name, value in saved.items())


@pytest.mark.slow
def test_without_gathering_two_processes_are_something_else(alone: Trained, model: Path, tmp_path: Path) -> None:
    halves, _ = trained(tmp_path / "run", model, {**INFONCE, "gather": False}, 2)
    assert sum(half[0] for half in halves) / 2 < alone[0][0][0] - 0.1
