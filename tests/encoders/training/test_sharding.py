"""Weights and optimisers spread over processes: the same training, the same states, the same model in the end."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pytorch_lightning")
load_file = pytest.importorskip("safetensors.torch").load_file

from retr.encoders import load_encoder  # noqa: E402

SCRIPT = Path(__file__).with_name("sharded_process.py")
WORDS = ["red fish", "blue stone", "cold water", "the sky", "a stone falls", "fish swims"]


def start(folder: Path, model: Path, strategy: str, fails_at: int = 0) -> int:
    """Two processes on one machine; the first one's exit code."""
    folder.mkdir(exist_ok=True)
    lines = [
        json.dumps({"query": word, "positive": f"{word} {other}", "negative": f"{other} in water"})
        for word in WORDS
        for other in WORDS[:3]
    ]
    (folder.parent / "rows.jsonl").write_text("\n".join(lines) + "\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    unwanted = ("LOCAL_RANK", "RANK", "WORLD_SIZE")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, str(SCRIPT), str(folder), str(model), strategy, str(fails_at)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 or fails_at, done.stderr[-4000:]
    return done.returncode


def weights(folder: Path) -> dict[str, Any]:
    files = sorted((folder / "out").rglob("*.safetensors"))
    assert len(files) == 3  # the encoder's, the pooling's, the projection's
    return {f"{file.parent.name}/{name}": value for file in files for name, value in load_file(file).items()}


@pytest.mark.slow
def test_sharded_training_is_that_of_whole_copies_and_goes_on_exactly(make_bi: Any, tmp_path: Path) -> None:
    model = make_bi("bert", seed=3)
    copies, sharded, cut = (tmp_path / name for name in ("copies", "sharded", "cut"))
    start(copies, model, "ddp")
    start(sharded, model, "fsdp_on_cpu")
    one, other = weights(copies), weights(sharded)
    assert one.keys() == other.keys()
    # A key's bias moves all logits of a row alike and learns nothing: AdamW makes a step of what rounding leaves there.
    for name in [name for name in one if not name.endswith("key.bias")]:
        torch.testing.assert_close(other[name], one[name], atol=2e-5, rtol=1e-4)
    records = [json.loads((folder / "out" / "retr.json").read_text())["training"] for folder in (copies, sharded)]
    assert records[0]["validation"] == records[1]["validation"] and records[1]["steps"] == 6
    vectors = [load_encoder(str(folder / "out")).encode_documents(WORDS).values for folder in (copies, sharded)]
    np.testing.assert_allclose(*vectors, atol=1e-4)
    assert start(cut, model, "fsdp_on_cpu", fails_at=6) != 0
    assert [path.name for path in (cut / "out.training" / "states").iterdir()] == ["step-000000004"]
    start(cut, model, "fsdp_on_cpu")
    again = weights(cut)
    assert all(torch.equal(value, again[name]) for name, value in other.items())
