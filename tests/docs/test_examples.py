"""The examples of README.md and docs/*.md run as they stand there.

A ```python block runs in an empty folder of its own. In ```console blocks the lines that start with `$ ` run in order,
one folder a page, so that a page can index in one block and search in the next. Each must end with exit code 0, and the
lines that follow it must stand in what it prints, in that order; `...` stands for anything. What needs a network,
another package or a file of the reader's is in ```text or ```bash blocks, which are not run. A page whose examples need
packages beyond `retr[dev]` names them, `<!-- needs: torch -->`, is skipped by name without them, and counts as slow;
so does one that says `<!-- slow -->`. On a page that says `<!-- one folder -->` python blocks run
among the commands.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.exists()]
SECONDS = 300


@dataclass
class Block:
    """A fenced block: its language, its text and the line it starts at."""

    language: str
    line: int
    text: str


@dataclass
class Step:
    """A command and the lines that its output must hold."""

    command: str
    expected: list[str] = field(default_factory=list)


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for match in re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(match[1], text.count("\n", 0, match.start()) + 1, match[2])


def steps(text: str) -> list[Step]:
    """The commands of a console block; a trailing backslash continues a command."""
    found: list[Step] = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append(Step(line[2:]))
        elif found and line.strip() and line.strip() != "...":
            found[-1].expected.append(line.strip())
    return found


def missing(expected: list[str], output: str) -> str | None:
    """The first expected line that does not come after the ones before it; None when all do."""
    lines = iter(" ".join(line.split()) for line in output.splitlines())
    for wanted in expected:
        pattern = ".*".join(re.escape(" ".join(part.split())) for part in wanted.split("..."))
        if not any(re.fullmatch(pattern, line.strip()) for line in lines):
            return wanted
    return None


def needed(page: Path) -> list[str]:
    """The packages that a page asks for."""
    named = re.search(r"^<!-- needs: (.+) -->$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return named[1].split() if named else []


def conditions(page: Path) -> list[pytest.MarkDecorator]:
    """Pages that need more packages take their time, others say so themselves; what is not installed is named."""
    slow = bool(needed(page)) or "\n<!-- slow -->\n" in page.read_text(encoding="utf-8")
    absent = [name for name in needed(page) if find_spec(name) is None]
    skipped = pytest.mark.skipif(bool(absent), reason=f"{page.name} needs {', '.join(absent)}")
    return [*([pytest.mark.slow] if slow else []), *([skipped] if absent else [])]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A shell's variables in which `retr` and `python` are this checkout's, with an empty cache and no hub."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, arguments in (("retr", "-m retr"), ("python", "")):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n')
        tool.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "RETR_CACHE_DIR": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "120",
    }


def run(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def together(page: Path) -> bool:
    """Whether all blocks of a page run in one folder, in order."""
    return "\n<!-- one folder -->\n" in page.read_text(encoding="utf-8")


def of_language(language: str) -> list[object]:
    return [
        pytest.param(block, id=f"{page.name}:{block.line}", marks=conditions(page))
        for page in PAGES
        if not together(page)
        for block in blocks(page.read_text(encoding="utf-8"))
        if block.language == language
    ]


@pytest.mark.parametrize("block", of_language("python"))
def test_a_python_example_runs(block: Block, tmp_path: Path, environment: dict[str, str]) -> None:
    result = run([sys.executable, "-c", block.text], tmp_path / "here", environment)
    assert result.returncode == 0, result.stdout


def pages_with_commands() -> list[object]:
    def shown(page: Path) -> list[Block]:
        languages = ("console", "python") if together(page) else ("console",)
        return [block for block in blocks(page.read_text(encoding="utf-8")) if block.language in languages]

    found = [(page, shown(page)) for page in PAGES]
    return [pytest.param(page, console, id=page.name, marks=conditions(page)) for page, console in found if console]


@pytest.mark.parametrize(("page", "console"), pages_with_commands())
def test_a_pages_commands_run(page: Path, console: list[Block], tmp_path: Path, environment: dict[str, str]) -> None:
    for block in console:
        if block.language == "python":
            result = run([sys.executable, "-c", block.text], tmp_path / "here", environment)
            assert result.returncode == 0, f"{page.name}:{block.line}\n{result.stdout}"
        for step in steps(block.text) if block.language == "console" else ():
            result = run(["bash", "-o", "pipefail", "-c", step.command], tmp_path / "here", environment)
            where = f"{page.name}:{block.line}: $ {step.command}\n{result.stdout}"
            assert result.returncode == 0, where
            assert missing(step.expected, result.stdout) is None, where


def test_there_is_a_page_to_test() -> None:
    assert ROOT / "README.md" in PAGES


def test_blocks_and_commands_are_found() -> None:
    page = "a\n```console\n$ retr x \\\n    --y\nout\n...\n$ z\n```\n```text\n$ not run\n```\n"
    assert [(block.language, block.line) for block in blocks(page)] == [("console", 2), ("text", 9)]
    first, second = steps(next(blocks(page)).text)
    assert (first.command.split(), first.expected) == (["retr", "x", "--y"], ["out"])
    assert (second.command, second.expected) == ("z", [])


@pytest.mark.parametrize(
    ("expected", "output", "lacks"),
    [
        (["b 2", "c"], "a\n b   2\nc\n", None),
        (["took ... ms"], "took 12 ms", None),
        (["b", "a"], "a\nb\n", "a"),
        (["b"], "bb\n", "b"),
        (["x"], "", "x"),
    ],
)
def test_output_is_compared_line_by_line_in_order(expected: list[str], output: str, lacks: str | None) -> None:
    assert missing(expected, output) == lacks
