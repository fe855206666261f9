"""The wheel and the sdist hold retr's code and data, and nothing else."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import retr

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PACKAGES = ("retrieval", "encoders", "index", "distill", "cli")
DATA = ("retrieval/sample", "encoders/reading/vocabularies", "cli/serving/page")
KERNELS = {
    "retr/encoders/kernels/_packed.abi3.so",
    "retr/encoders/trainable/images/_tiles.abi3.so",
    "retr/index/late/kernels/_late.abi3.so",
}
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "bench", "*.so"
)

pytest.importorskip("build", reason="needs the package 'build'")
setuptools = pytest.importorskip("setuptools", minversion="77", reason="needs setuptools 77 or newer")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an sdist and the wheel that was built from it, of a copy of this checkout."""
    source = tmp_path_factory.mktemp("source") / "retr"
    out = tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT, source, symlinks=True, ignore=LEFT_OUT)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return out


@pytest.fixture(scope="session")
def wheel_names(built: Path) -> set[str]:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="session")
def sdist_names(built: Path) -> set[str]:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


def expected() -> set[str]:
    """Every module of the checkout and every data file, under the names they are installed by."""
    modules = {path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py")}
    data = {path.relative_to(ROOT) for name in DATA for path in (ROOT / name).rglob("*") if path.is_file()}
    source = ROOT / "src" / "retr"
    top = {path.relative_to(source) for part in ("*.py", "integrations/**/*.py") for path in source.glob(part)}
    return {f"retr/{path.as_posix()}" for path in modules | data | top} | {"retr/py.typed"}


def test_the_wheel_holds_every_module_and_data_file(wheel_names: set[str]) -> None:
    assert expected() - wheel_names == set()


def test_the_wheel_holds_nothing_else(wheel_names: set[str]) -> None:
    prefix = f"retr-{retr.__version__}.dist-info/"
    assert {name for name in wheel_names - expected() if not name.startswith(prefix)} <= KERNELS


def test_the_wheel_brings_the_licence_and_the_notice(wheel_names: set[str]) -> None:
    for name in ("LICENSE", "NOTICE"):
        assert f"retr-{retr.__version__}.dist-info/licenses/{name}" in wheel_names


def test_the_sdist_holds_the_code_and_can_be_built_again(sdist_names: set[str]) -> None:
    assert {f"src/{name}" for name in expected()} - sdist_names == set()
    folders = [ROOT / "encoders" / "kernels", ROOT / "index" / "late" / "kernels"]
    sources = {path.relative_to(ROOT).as_posix() for folder in folders for path in folder.glob("*.[chi]*")}
    assert len(sources) > 10
    assert sources - sdist_names == set()
    assert {"pyproject.toml", "README.md", "LICENSE", "NOTICE"} <= sdist_names


def test_the_wheel_alone_runs(built: Path, tmp_path: Path) -> None:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "import sys; sys.path.insert(0, '.'); sys.argv = ['retr', '--help']; from retr.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Usage: retr" in result.stdout


def test_the_wheel_has_the_kernels_alone_as_binaries_and_is_small(built: Path, wheel_names: set[str]) -> None:
    binary = {name for name in wheel_names if name.endswith((".so", ".pyc", ".onnx", ".safetensors"))}
    assert binary == (KERNELS if shutil.which("g++") else set())
    [wheel] = built.glob("*.whl")
    assert wheel.stat().st_size < 3_000_000
    assert "-abi3-" in wheel.name


def test_without_a_compiler_there_is_a_wheel_without_kernels_that_encodes(built: Path, tmp_path: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path / "dist")]
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    environment = {**os.environ, "CC": "/nonexistent/cc", "CXX": "/nonexistent/c++"}
    source = str(tmp_path / sdist.name.removesuffix(".tar.gz"))
    result = subprocess.run(
        [*command, source], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    [wheel] = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not KERNELS & set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    code = (
        "import sys; sys.path.insert(0, '.'); from retr.encoders import load_encoder; encoder = load_encoder(); "
        "print(encoder.encode_queries(['a']).values.shape, encoder.describe()['runtime'])"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path / "installed", capture_output=True, text=True, check=False
    )
    assert result.stdout.startswith("(1, 384) onnxruntime, int8"), result.stderr
