"""Who may import whom, and that the five folders are imported as `retr.*` alone."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAT = ("retrieval", "encoders", "index", "distill", "cli")
HEAVY_FOR_RETRIEVAL = ("torch", "faiss", "tantivy", "onnxruntime", "transformers", "sentence_transformers")


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with the contract of `root`'s pyproject.toml over `root`'s sources."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", code, "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_folders_point_one_way() -> None:
    pytest.importorskip("importlinter")
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("importer", "statement"),
    [
        ("retrieval/records.py", "import retr.index"),
        ("encoders/__init__.py", "import retr.index"),
        ("index/__init__.py", "import retr.encoders"),
        ("index/__init__.py", "import retr.opening"),
        ("distill/__init__.py", "import retr.cli"),
        ("distill/__init__.py", "import retr.integrations"),
        ("integrations/__init__.py", "import retr.cli"),
    ],
)
def test_the_contract_breaks_on_an_import_against_the_arrow(tmp_path: Path, importer: str, statement: str) -> None:
    pytest.importorskip("importlinter")
    (tmp_path / "src").mkdir()
    shutil.copytree(ROOT / "src" / "retr", tmp_path / "src" / "retr", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    file = tmp_path / "src" / "retr" / importer
    file.write_text(f"{file.read_text(encoding='utf-8')}\n{statement}\n", encoding="utf-8")
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    assert "BROKEN" in result.stdout


def test_the_contract_names_every_package() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ][0]
    named = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    assert named == {f"retr.{name}" for name in (*FLAT, "opening", "integrations")}


@pytest.mark.slow
def test_no_flat_name_is_imported() -> None:
    modules = sorted(
        "retr." + path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for name in FLAT
        for path in (ROOT / name).rglob("*.py")
    )
    code = (
        f"import importlib, sys\nfor name in {modules!r}:\n"
        "    try: importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        if (error.name or '').startswith('retr'): raise\n"  # An extra's package may be absent.
        f"print(*(name for name in {FLAT!r} if name in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-P", "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_retrieval_imports_no_engine() -> None:
    modules = sorted(
        "retr." + path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for path in (ROOT / "retrieval").rglob("*.py")
    )
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        f"print(*(name for name in {HEAVY_FOR_RETRIEVAL!r} if name in sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-P", "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_the_links_are_links() -> None:
    for name in FLAT:
        assert os.readlink(ROOT / "src" / "retr" / name) == f"../../{name}"
