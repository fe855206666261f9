"""The kind dse on the command line, first stage and second, in a process that cannot import torch."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "sentence_transformers", "pytorch_lightning"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from retr.cli import main
main()
"""


@pytest.fixture
def folder(make_bi: Any, tmp_path: Path) -> Path:
    """A folder of two layers, its head drawn."""
    save_file = pytest.importorskip("safetensors.numpy").save_file
    made = Path(shutil.copytree(make_bi("bert", seed=1), tmp_path / "dse"))
    rng = np.random.default_rng(1)
    sizes: dict[str, tuple[int, ...]] = {"first.weight": (6, 256), "first.bias": (6,), "last.weight": (1, 6)}
    sizes |= {"last.bias": (1,)}
    drawn = {f"head.{name}": rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}
    save_file(drawn, str(made / "dse.safetensors"))
    (made / "retr.json").write_text(json.dumps({"dse": {"kind": "dse", "layers": 2, "hidden": 6}}))
    return made


def retr(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "RETR_CACHE_DIR": str(here / "cache")}
    command = [sys.executable, "-c", BLOCKED, *words]
    return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_both_stages_run_without_torch(folder: Path, tmp_path: Path) -> None:
    texts = ["the red fish swims", "a stone falls", "cold water", "blue sky"]
    (tmp_path / "d.jsonl").write_text(
        "".join(json.dumps({"id": str(n), "text": t}) + "\n" for n, t in enumerate(texts))
    )
    made = retr(tmp_path, "index", "d.jsonl", "--index", "ix", "--encoder", "dse=dse")
    assert made.returncode == 0, made.stderr
    found = retr(tmp_path, "search", "red fish", "--index", "ix", "--mode", "dense", "--rerank", "dse=dse", "--json")
    assert found.returncode == 0, found.stderr
    from retr.encoders import load_scorer

    scores = load_scorer(f"dse={folder}").score("red fish", texts)
    hits = json.loads(found.stdout)["hits"]
    assert [int(hit["id"]) for hit in hits] == np.argsort(-scores).tolist()
    assert [hit["score"] for hit in hits] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=1e-5)
