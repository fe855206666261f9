"""Checks of the machine itself: Python, processor, memory, disk, limits, text encoding."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from retr.cli.diagnosis import Finding
from retr.retrieval.stamps import cache_folder

GIB = 2**30
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
"""Processor features that the libraries under us choose their kernels by."""

ENOUGH_FILES = 1024
"""Files open at once, the usual limit on Linux; macOS starts at 256."""

CPUINFO = Path("/proc/cpuinfo")
MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def python() -> Iterator[Finding]:
    """The interpreter: version and word size."""
    bits = 64 if sys.maxsize > 2**32 else 32
    detail = f"{platform.python_implementation()} {platform.python_version()}, {bits} bit, {sys.executable}"
    if sys.version_info < (3, 11) or bits == 32:
        yield Finding("python", "problem", detail, "Use a 64-bit Python 3.11 or newer.")
    else:
        yield Finding("python", "ok", detail)


def system() -> Iterator[Finding]:
    """The operating system and C library."""
    detail = " ".join(
        part for part in (platform.system(), platform.release(), platform.machine(), *platform.libc_ver()) if part
    )
    if platform.system() == "Windows":
        yield Finding("system", "warning", detail, "retr is tested on Linux and macOS; use WSL for the surest results.")
    else:
        yield Finding("system", "ok", detail)


def processor() -> Iterator[Finding]:
    """The processor's model and the features that matter."""
    model, flags = cpu_facts()
    present = [flag for flag in FLAGS if flag in flags]
    detail = f"{model or 'unknown model'}; {' '.join(present) or 'features unknown'}"
    if flags and platform.machine() in ("x86_64", "AMD64") and "avx2" not in flags:
        yield Finding("processor", "warning", detail, "Without AVX2, encoding and search are several times slower.")
    else:
        yield Finding("processor", "ok", detail)


def cpu_facts() -> tuple[str, frozenset[str]]:
    """Model name and feature flags as Linux lists them; elsewhere what Python knows, and no flags."""
    if not CPUINFO.exists():
        return platform.processor(), frozenset()
    facts: dict[str, str] = {}
    for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    return facts.get("model name", ""), frozenset((facts.get("flags") or facts.get("Features") or "").split())


def cores() -> Iterator[Finding]:
    """Cores that this process may use, by affinity and by container quota."""
    installed = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else installed
    quota = _cpu_quota()
    detail = f"{allowed} of {installed} may be used" + (f", container quota {quota:g}" if quota else "")
    if quota and quota < allowed:
        count = max(1, int(quota))
        yield Finding(
            "cores", "warning", detail, f"Set RETR_THREADS={count}: more threads than the quota slow each other."
        )
    else:
        yield Finding("cores", "ok", detail)


def _cpu_quota() -> float | None:
    try:
        quota, period = (CGROUP / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def memory() -> Iterator[Finding]:
    """Memory that is free now."""
    free = _free_memory()
    if free is None:
        yield Finding("memory", "ok", "not known on this system")
    elif free < GIB:
        yield Finding("memory", "warning", f"{free / GIB:.1f} GiB free", "Close other programs before indexing.")
    else:
        yield Finding("memory", "ok", f"{free / GIB:.1f} GiB free")


def _free_memory() -> int | None:
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    try:
        limit = int((CGROUP / "memory.max").read_text(encoding="ascii"))
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # No container, or `max`.
        return free
    return limit - used if free is None else min(free, limit - used)


def disk() -> Iterator[Finding]:
    """Space in the current folder and for temporary files."""
    for name, folder in (("here", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        detail = f"{free / GIB:.1f} GiB free ({folder})"
        if free < GIB:
            yield Finding(
                f"disk, {name}", "warning", detail, "Free some space: an index is written anew before the old goes."
            )
        else:
            yield Finding(f"disk, {name}", "ok", detail)


def open_files() -> Iterator[Finding]:
    """How many files may be open at once."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    if unlimited or soft >= ENOUGH_FILES:
        yield Finding("open files", "ok", "no limit" if unlimited else f"{soft} at once")
    else:
        yield Finding("open files", "warning", f"{soft} at once", f"Run: ulimit -n {4 * ENOUGH_FILES}")


def encoding() -> Iterator[Finding]:
    """Whether texts and file names are UTF-8."""
    output = getattr(sys.stdout, "encoding", None) or "none"
    names = sys.getfilesystemencoding()
    detail = f"output {output}, file names {names}"
    if any(word.lower().replace("-", "") != "utf8" for word in (output, names)):
        yield Finding(
            "encoding", "warning", detail, "Set a UTF-8 locale, or PYTHONUTF8=1; other letters are escaped till then."
        )
    else:
        yield Finding("encoding", "ok", detail)


def cache() -> Iterator[Finding]:
    """Whether the cache folder can be written."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        detail = f"{folder}: {error.strerror or error}"
        yield Finding(
            "cache", "warning", detail, "Set RETR_CACHE_DIR to a folder you can write; without it each start is slower."
        )
    else:
        yield Finding("cache", "ok", str(folder))
