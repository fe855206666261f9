"""What the project says of itself agrees with itself."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import retr

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_written_the_same_twice() -> None:
    assert PROJECT["version"] == retr.__version__


def test_the_changelog_begins_with_this_version_or_with_what_is_unreleased() -> None:
    first = re.search(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first is not None
    assert first[1] in {retr.__version__, "Unreleased"}


def test_the_core_needs_no_torch() -> None:
    names = {re.split(r"[=<>\[~! ]", line)[0] for line in PROJECT["dependencies"]}
    assert not names & {"torch", "transformers", "sentence-transformers", "onnx", "scipy", "scikit-learn"}


def test_every_extra_is_named_in_the_guides() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    for extra in PROJECT["optional-dependencies"].keys() - {"dev"}:
        assert f"retr[{extra}]" in text, extra


def test_git_keeps_the_five_folders_as_links() -> None:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--stage", "src/retr"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    links = {line.split("\t")[1].rsplit("/", 1)[-1] for line in listed.splitlines() if line.startswith("120000 ")}
    assert links == {"retrieval", "encoders", "index", "distill", "cli"}


def test_no_tracked_file_is_large() -> None:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    large = [
        name
        for name in listed.split("\0")
        if name and (ROOT / name).is_file() and (ROOT / name).stat().st_size > 600_000
    ]
    assert large == []
