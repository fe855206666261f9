"""The kernels of FILIP's tiles without Python: under address checks, and for ARM in an emulator, against loops."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = HERE.parents[2] / "encoders" / "trainable" / "images"
SANITIZED = ("g++", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")
ARM = ("aarch64-linux-gnu-g++", "-static")
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64") or ""

needs_sanitizer = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
needs_arm = pytest.mark.skipif(
    not EMULATOR or shutil.which(ARM[0]) is None, reason="no aarch64-linux-gnu-g++ and qemu-aarch64"
)


def run(compiler: tuple[str, ...], out: Path, *before: str) -> list[str]:
    """The kernels that gave the loops' numbers."""
    flags = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-DWITHOUT_PYTHON", f"-I{SOURCES}")
    built = subprocess.run(
        [*compiler, *flags, str(HERE / "tiles_driver.cpp"), "-o", str(out)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    done = subprocess.run([*before, str(out)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


@needs_sanitizer
def test_no_kernel_reads_or_writes_beyond_its_memory(tmp_path: Path) -> None:
    assert "any" in run(SANITIZED, tmp_path / "driver")


@needs_arm
def test_arm_gives_the_same(tmp_path: Path) -> None:
    assert run(ARM, tmp_path / "driver", EMULATOR) == ["any"]
