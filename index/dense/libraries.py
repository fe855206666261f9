"""What FAISS's own libraries are told while they are loaded: OpenBLAS which kernels to take, OpenMP how to wait.

The OpenBLAS inside faiss-cpu goes by model numbers: a processor newer than itself may be taken for a Prescott of 2004.
On a Xeon of model 207 it was, at a quarter of the speed. `OPENBLAS_CORETYPE` says what to take instead. And OpenMP's
threads wait for each other in loops: beside two busy processes on two cores, filling an index so took 1.4 times the CPU
that it takes now.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import CDLL, c_char_p
from itertools import takewhile
from pathlib import Path

CORETYPE, WAITING = "OPENBLAS_CORETYPE", "OMP_WAIT_POLICY"
CPUINFO, MAPS = Path("/proc/cpuinfo"), Path("/proc/self/maps")
_AVX512 = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
_AVX2 = {"avx2", "fma"}


@contextmanager
def told(cpuinfo: Path = CPUINFO) -> Iterator[None]:
    """While FAISS is loaded: kernels for this processor, and threads that sleep; what the user has set stays."""
    wanted = {CORETYPE: core_for(*_processor(cpuinfo)), WAITING: "passive"}
    ours = {name: value for name, value in wanted.items() if value is not None and name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def core_for(vendor: str, flags: set[str]) -> str | None:
    """OpenBLAS's name of the kernels for a processor; None where it is left to OpenBLAS."""
    if vendor == "GenuineIntel" and flags >= _AVX512:
        return "SkylakeX"
    if flags >= _AVX2:
        return {"GenuineIntel": "Haswell", "AuthenticAMD": "Zen"}.get(vendor)
    return None


def loaded_core() -> str | None:
    """Which kernels FAISS's OpenBLAS has taken in this process, by its own word; None where that cannot be asked."""
    maps = MAPS.read_text() if MAPS.is_file() else ""
    found = re.search(r"\s(/.*/faiss\w*\.libs/lib\w*openblas[^/\n]*)$", maps, re.MULTILINE)
    if found is None:
        return None
    try:
        asked = CDLL(found[1]).openblas_get_corename
    except (OSError, AttributeError):
        return None
    asked.restype = c_char_p
    return str(asked().decode())


def _processor(cpuinfo: Path) -> tuple[str, set[str]]:
    """Vendor and flags of the first core as Linux tells them; empty elsewhere."""
    facts = {"vendor_id": "", "flags": ""}
    if cpuinfo.is_file():
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            for name, _, value in (line.partition(":") for line in takewhile(str.strip, lines)):
                facts[name.strip()] = value.strip()
    return facts["vendor_id"], set(facts["flags"].split())
