"""`retr export` as a process: its table, its JSON, and what a `kill` leaves."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "RETR_THREADS": "1"}


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "retr", "export", *map(str, words), "--no-torch"]


def retr(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)


def test_the_table_names_figures_bounds_and_size(make_bi: Any, tmp_path: Path) -> None:
    done = retr(tmp_path, make_bi(), "out", "--precision", "int8")
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "compared mean cosine worst cosine max difference overlap batch error"
    assert [line.split()[0] for line in lines[1:4]] == ["loaded", "file", "bound"]
    assert lines[3] == "bound 0.998 0.995 0.85 0.001"
    assert lines[-1].startswith("out: onnx/model_int8.onnx, int8, ")
    assert "comparing with the original" in done.stderr


def test_json_is_one_line_with_the_figures(make_cross: Any, tmp_path: Path) -> None:
    done = retr(tmp_path, f"cross={make_cross()}", "out", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    said = json.loads(done.stdout)
    assert said["out"] == "out"
    assert said["record"]["kind"] == "cross"
    assert said["record"]["figures"]["file"]["rank_correlation"] > 0.9999
    assert said["bytes"] == (tmp_path / "out" / "onnx" / "model.onnx").stat().st_size
    assert said["record"] == json.loads((tmp_path / "out" / "retr.json").read_text())["export"]


def test_an_export_out_of_bounds_is_one_line_and_no_folder(make_bi: Any, tmp_path: Path) -> None:
    done = retr(tmp_path, make_bi(), "out", "--precision", "float16", "--mean-cosine", "1", "--quiet")
    assert done.returncode == 1
    assert done.stderr.startswith("error: The float16 network is not near enough")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_plain_kill_leaves_nothing(make_bi: Any, tmp_path: Path) -> None:
    with subprocess.Popen(
        command(make_bi(), "out"), cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # "writing model.onnx": the unfinished folder is there
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
