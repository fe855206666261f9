"""The kernels without Python: under address checks, and for ARM in an emulator, against the numpy twin's bits."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.late.kernels.arrays import LEVELS, Tokens
from retr.index.late.kernels.reference import Numpy
from retr.retrieval.embeddings import TokenVectors

HERE = Path(__file__).parent
KERNELS = HERE.parents[2] / "index" / "late" / "kernels"
SANITIZED = ("g++", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")
ARM = ("aarch64-linux-gnu-g++", "-static")
EMULATOR = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64") or ""
CENTROIDS, LENGTHS = 21, (1, 2, 3, 4, 5, 66, 7)

needs_sanitizer = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
needs_arm = pytest.mark.skipif(
    not EMULATOR or shutil.which(ARM[0]) is None, reason="no aarch64-linux-gnu-g++ and qemu-aarch64"
)
shapes = pytest.mark.parametrize("bits", [8, 4, 2])
sizes = pytest.mark.parametrize(("count", "dim"), [(1, 8), (32, 128), (33, 96), (17, 20)])


def build(compiler: tuple[str, ...], out: Path) -> Path:
    sources = [str(HERE / "kernels_driver.cpp"), *(str(path) for path in sorted(KERNELS.glob("*.cpp")))]
    command = [*compiler, "-std=c++17", "-O1", "-Wno-psabi", "-DWITHOUT_PYTHON", f"-I{KERNELS}", *sources]
    done = subprocess.run([*command, "-o", str(out)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(SANITIZED, tmp_path_factory.mktemp("sanitized") / "driver")


@pytest.fixture(scope="module")
def for_arm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ARM, tmp_path_factory.mktemp("arm") / "driver")


def check(command: list[str], bits: int, count: int, dim: int, folder: Path) -> list[str]:
    """The kernels that ran, each of which gave the twin's numbers."""
    rng = np.random.default_rng(bits * count + dim)
    total, documents, tables = sum(LENGTHS), len(LENGTHS), 1 if bits == 8 else 8
    query = rng.integers(-127, 128, (count, dim)).astype(np.int8)
    rows = rng.integers(0, 256, (CENTROIDS, dim), dtype=np.uint8)
    codes = None if bits == 8 else rng.integers(0, CENTROIDS * tables, total).astype(np.uint16)
    offsets = np.cumsum([0, *LENGTHS]).astype(np.int64)
    residuals = rng.integers(0, 256, (total, dim * bits // 8), dtype=np.uint8)
    tokens = Tokens(codes, residuals, offsets, rng.integers(0, 256, (tables, LEVELS)).astype(np.uint8), bits)
    chosen = rng.permutation(documents).astype(np.int64)
    floats, query_floats = (rng.normal(size=(n, dim)).astype(np.float32) for n in (total, count))
    given = [np.array([count, dim, bits, CENTROIDS, documents, tokens.shift]), query, rows, codes, residuals, offsets]
    with (folder / "in").open("wb") as file:
        for values in [*given, tokens.levels, chosen, query_floats, floats]:
            data = b"" if values is None else np.ascontiguousarray(values).tobytes()
            file.write(struct.pack("<q", len(data)) + data)
    done = subprocess.run(
        [*command, str(folder / "in"), str(folder / "out")], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    twin, names = Numpy(), done.stdout.split()
    products = twin.products(query, rows)
    bases, table = twin.tables(query, products, 2, 99)
    zeros = Tokens(np.zeros(total, np.uint16), residuals, offsets, tokens.levels, bits)
    scanned = twin.scan(count, tokens if codes is not None else zeros, table, chosen)
    best = twin.best(scanned, 255 * count, documents // 2 + 1)
    whole: list[NDArray[np.generic]] = [
        products,
        bases,
        table,
        twin.scores(query, tokens, bases, chosen),
        scanned,
        best,
    ]
    expected = b"".join(np.ascontiguousarray(one).tobytes() for one in whole)
    found = (folder / "out").read_bytes()
    each = len(expected) + 8 * documents
    assert len(found) == each * len(names)
    exact = twin.floats(query_floats, TokenVectors(floats, offsets))
    for place, name in enumerate(names):
        ours = found[place * each : (place + 1) * each]
        assert ours[: len(expected)] == expected, name
        np.testing.assert_allclose(np.frombuffer(ours[len(expected) :]), exact, rtol=1e-4, atol=1e-4)
    return names


@needs_sanitizer
@shapes
@sizes
def test_no_kernel_reads_or_writes_beyond_its_memory(
    sanitized: Path, bits: int, count: int, dim: int, tmp_path: Path
) -> None:
    assert check([str(sanitized)], bits, count, dim, tmp_path)[-1] == "scalar"


@needs_arm
@shapes
@sizes
def test_arm_gives_the_same_bits(for_arm: Path, bits: int, count: int, dim: int, tmp_path: Path) -> None:
    names = check([EMULATOR, str(for_arm)], bits, count, dim, tmp_path)
    assert names == ["neon-dot", "neon", "scalar"]
