"""What must be known to believe a number: machine, system, versions, commit; and where results are written."""

import json
import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
X86_FLAGS = "avx2 fma f16c avx512f avx512bw avx512vl avx512_vnni avx_vnni avx512_bf16 amx_tile amx_int8 amx_bf16"
ARM_FLAGS = "asimd asimddp i8mm bf16 sve"
VERSIONS = """
import importlib.metadata as m, json, platform, sys
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: pass
print(json.dumps(found))
"""


def machine() -> dict[str, Any]:
    """Processor, the flags that decide about speed, cores allowed to this process, memory, system, load."""
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    fields = dict(re.findall(r"^(model name|flags|Features)\s*:\s*(.*)$", cpu, re.MULTILINE))
    present = set((fields.get("flags") or fields.get("Features") or "").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": fields.get("model name") or platform.processor() or platform.machine(),
        "flags": [flag for flag in f"{X86_FLAGS} {ARM_FLAGS}".split() if flag in present],
        "cores": cores,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_1_minute": round(os.getloadavg()[0], 2),
    }


def names_in(requirements: Sequence[str]) -> list[str]:
    """Package names of requirement lines."""
    matches = (re.match(r"[A-Za-z0-9_.-]+", line.strip()) for line in requirements)
    return [match.group() for match in matches if match]


def retr_packages() -> list[str]:
    """retr and what its core declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return ["retr", *names_in(project["dependencies"])]


def peer_packages() -> list[str]:
    """What bench/peers/requirements.txt declares."""
    return names_in((ROOT / "bench" / "peers" / "requirements.txt").read_text().splitlines())


def versions(python: str, names: Sequence[str]) -> dict[str, str]:
    """Versions installed beside an interpreter; what is not installed is left out."""
    found = subprocess.run([python, "-c", VERSIONS, *names], check=True, capture_output=True, text=True).stdout
    return dict(json.loads(found))


def commit() -> dict[str, Any]:
    """The commit checked out, and whether files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()

    return {"commit": git("rev-parse", "HEAD"), "changed_files": len(git("status", "--porcelain").splitlines())}


def plain(value: Any) -> Any:
    """JSON without the folders of this machine: of a path, or a text with a path in it, only the last name is kept."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return Path(value).name if isinstance(value, Path) or (isinstance(value, str) and "/" in value) else value


def record(name: str, result: Mapping[str, Any], *, folder: Path = RESULTS) -> Path:
    """Write one result as `<name>-<date>.json`; the newest of a day replaces the earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    path = folder / f"{name}-{now:%Y-%m-%d}.json"
    whole = {"name": name, "when": f"{now:%Y-%m-%dT%H:%MZ}", **commit(), **result}
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return path
