"""The measurement of a GPU runs to its end on a machine without one, in its smallest size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

ROOT = Path(__file__).parents[3]
SMALLEST = "--device cpu --shapes tiny --texts 8 --tokens 12 --repeats 1 --peak-size 64 --batch-sizes 4 --results"


@pytest.mark.slow
def test_the_measurement_runs_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "bench" / "encode_gpu.py"), *SMALLEST.split(), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "RETR_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    [result] = [json.loads(path.read_text()) for path in tmp_path.iterdir()]
    rows = {row[0]: row for row in result["tables"][0]["rows"]}
    ours = rows["tiny, 10 tokens: retr, torch float32, packed"]
    assert float(ours[1].replace(",", "")) > 0
    assert all(float(row[6]) < 1e-5 for row in rows.values())
