"""`retr train` as a process: a tiny BERT learns, is killed and goes on, and is opened as an encoder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retr.encoders import load_encoder

pytest.importorskip("pytorch_lightning")


ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    "PATH": os.environ["PATH"],
    "OMP_NUM_THREADS": "1",
}
WORDS = ["red fish", "blue stone", "cold water", "the sky", "a stone falls", "fish swims"]
RECIPE = """
model = "{model}"
out = "out"

[data]
files = "rows.jsonl"

[objective]
name = "infonce"
{objective}
[train]
steps = {steps}
batch_size = 2
learning_rate = 0.001
checkpoint_every = {every}
accelerator = "cpu"
"""


def prepare(folder: Path, model: Path, *, steps: int = 5, every: int = 1, objective: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"query": word, "positive": f"{word} from the sky"}) for word in WORDS]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "recipe.toml").write_text(RECIPE.format(model=model, steps=steps, every=every, objective=objective))
    return folder


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "retr", "train", "recipe.toml", *more]
    return subprocess.Popen(
        command, cwd=folder, env={**ENVIRONMENT, "HOME": str(folder), "RETR_CACHE_DIR": str(folder / "cache")},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> str:
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return output


@pytest.fixture
def bert(make_bi: Callable[..., Path]) -> Path:
    return make_bi("bert", seed=2)


def weights(folder: Path) -> bytes:
    return (folder / "out" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_trained_folder_is_an_encoder_that_says_how_it_was_made(bert: Path, tmp_path: Path) -> None:
    folder = prepare(tmp_path / "run", bert, objective="[objective.matryoshka]\ndims = [32, 16]\n")
    told = json.loads(finished(start(folder, "--json", "--seed", "4")))
    assert told["training"]["steps"] == 5 and told["training"]["settings"]["seed"] == 4
    trained, before = load_encoder(f"bi={folder / 'out'}"), load_encoder(f"bi={bert}")
    vectors = [np.asarray(encoder.encode_queries(WORDS).values) for encoder in (trained, before)]
    assert vectors[0].shape == vectors[1].shape and np.abs(vectors[0] - vectors[1]).max() > 1e-3
    assert json.loads((folder / "out" / "retr.json").read_text())["training"]["recipe"]["model"] == str(bert)
    assert sorted(path.name for path in folder.iterdir() if "out" in path.name) == ["out"]


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(bert: Path, tmp_path: Path) -> None:
    steps = 60
    whole, cut = (prepare(tmp_path / name, bert, steps=steps) for name in ("whole", "cut"))
    finished(start(whole))
    process = start(cut)
    states = cut / "out.training" / "states"
    deadline = time.monotonic() + 120
    while not list(states.glob("step-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was done before it could be killed"
    (reached,) = (int(path.name.removeprefix("step-")) for path in list(states.glob("step-*"))[-1:])
    assert 0 < reached < steps and not (cut / "out").exists()
    finished(start(cut))
    assert weights(cut) == weights(whole)
