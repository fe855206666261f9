"""Checks of the compiled libraries: loaded in a process of their own, so that a crash there is a finding here."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from retr.cli.diagnosis import Finding

TIMEOUT_SECONDS = 60

PROBE = """
import json, os, re
found = {}
import faiss
found["faiss"] = faiss.get_compile_options().split()
import onnxruntime
found["onnxruntime"] = onnxruntime.get_available_providers()
import duckdb, pyarrow, tantivy, tokenizers
maps = "/proc/self/maps"
lines = open(maps).read().splitlines() if os.path.exists(maps) else []
found["openmp"] = sorted({l.split()[-1] for l in lines if re.search(r"/lib(gomp|omp|iomp5)[-.][^/]*$", l)})
print(json.dumps(found))
"""


def libraries() -> Iterator[Finding]:
    """FAISS and onnxruntime load, with which options; how many OpenMP runtimes they bring into one process."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding(
            "libraries", "problem", f"not loaded in {TIMEOUT_SECONDS} s", "Is the disk very slow, or the machine busy?"
        )
        return
    if probe.returncode:
        last = (probe.stderr.strip().splitlines() or [f"the process ended with {probe.returncode}"])[-1]
        yield Finding("libraries", "problem", last, "Reinstall that package: pip install --force-reinstall PACKAGE")
        return
    yield from judge(json.loads(probe.stdout.splitlines()[-1]))


def judge(found: dict[str, Any]) -> Iterator[Finding]:
    """The probe's facts as findings."""
    yield Finding("faiss build", "ok", " ".join(found["faiss"]))
    yield Finding("onnxruntime providers", "ok", " ".join(found["onnxruntime"]))
    runtimes = found["openmp"]
    names = [path.rsplit("/", 1)[-1] for path in runtimes]
    if len(names) > 1:
        detail = f"{len(names)} OpenMP runtimes in one process: {', '.join(names)}"
        yield Finding(
            "openmp", "warning", detail, "They fight over cores: set OMP_NUM_THREADS=1, or use packages of one source."
        )
    else:
        yield Finding("openmp", "ok", names[0] if names else "none seen")
