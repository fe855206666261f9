"""Checks of the compiled libraries: loaded in a process of their own, so that a crash there is a finding here."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from retr.cli.diagnosis import Finding

TIMEOUT_SECONDS = 60
OLD_CORE = "Prescott"
"""What an OpenBLAS takes a processor for that it does not know."""

PROBE = """
import json, os, re
found = {}
from retr.index.dense import engine, libraries
found["faiss"] = engine.faiss().get_compile_options().split()
found["blas"] = libraries.loaded_core()
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
    if found["blas"] == OLD_CORE:
        yield Finding(
            "faiss kernels",
            "warning",
            f"OpenBLAS took its kernels for {OLD_CORE}, a processor of 2004",
            "Filling indexes takes several times as long: set OPENBLAS_CORETYPE=Haswell, where there is AVX2.",
        )
    else:
        yield Finding("faiss kernels", "ok", f"OpenBLAS, {found['blas']}" if found["blas"] else "not OpenBLAS's own")
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
