"""The command table: what is imported when, and how failures end."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

import retr
from retr.cli import COMMANDS, make_app
from retr.cli.failures import PIPE_CLOSED
from retr.retrieval.errors import BadInput
from retr.retrieval.kinds import resolve

HEAVY = ("numpy", "torch", "faiss", "duckdb", "onnxruntime", "transformers", "tantivy", "pyarrow", "tokenizers", "rich")


def run(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "retr", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **settings)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes `retr doctor` raise what it is given."""

    def prepare(error: BaseException) -> None:
        def doctor() -> None:
            """Fail."""
            raise error

        module = ModuleType("failing_command")
        module.doctor = doctor  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "failing_command", module)
        monkeypatch.setitem(COMMANDS, "doctor", "failing_command:doctor")

    return prepare


def test_help_lists_every_command_with_its_short_help() -> None:
    result = CliRunner().invoke(make_app(), ["--help"])
    assert result.exit_code == 0
    for name in COMMANDS:
        line = next(line for line in result.stdout.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    function = resolve(name, COMMANDS, "command")
    assert function.__doc__ and function.__doc__.strip().splitlines()[0].endswith(".")
    result = CliRunner().invoke(make_app(), [name, "--help"])
    assert result.exit_code == 0
    assert f"Usage: retr {name}" in result.stdout.replace("Usage: root", "Usage: retr")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_has_help(name: str) -> None:
    command = make_command(name)
    silent = [param.name for param in command.params if param.name != "help" and not getattr(param, "help", None)]
    assert not silent


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json(name: str) -> None:
    assert any("--json" in param.opts for param in make_command(name).params)


def make_command(name: str) -> Any:
    from typer.main import get_command

    return get_command(make_app()).get_command(None, name)


def test_the_version_is_the_packages() -> None:
    result = CliRunner().invoke(make_app(), ["--version"])
    assert result.stdout == f"retr {retr.__version__}\n"


def test_a_mistyped_command_is_a_usage_error_that_names_the_near_one() -> None:
    result = CliRunner().invoke(make_app(), ["docter"])
    assert result.exit_code == 2
    assert "Did you mean 'doctor'?" in result.stderr


def test_an_unknown_option_is_a_usage_error() -> None:
    assert CliRunner().invoke(make_app(), ["doctor", "--nope"]).exit_code == 2


def test_what_the_user_can_act_on_is_one_line_and_exit_code_1(failing: Callable[[BaseException], None]) -> None:
    failing(BadInput("The id is empty.\nGive one."))
    result = CliRunner().invoke(make_app(), ["doctor"])
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "error: The id is empty. Give one.\n")


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "error: No space left on device: /data/x. Free some space"),
        (errno.EACCES, "error: Permission denied: /data/x. Check the owner"),
        (errno.EROFS, "error: Read-only file system: /data/x. "),
        (errno.ENOTDIR, "error: Not a directory: /data/x. RETR_DEBUG=1 shows"),
    ],
)
def test_a_failure_of_the_system_names_the_path_and_the_remedy(
    failing: Callable[[BaseException], None], number: int, says: str
) -> None:
    failing(OSError(number, os.strerror(number), "/data/x"))
    result = CliRunner().invoke(make_app(), ["doctor"])
    assert result.exit_code == 1
    assert result.stderr.startswith(says)
    assert result.stderr.count("\n") == 1


def test_too_little_memory_is_one_line(failing: Callable[[BaseException], None]) -> None:
    failing(MemoryError())
    result = CliRunner().invoke(make_app(), ["doctor"])
    assert (result.exit_code, result.stderr.split(".")[0]) == (1, "error: Out of memory")


def test_a_package_that_is_gone_sends_the_user_to_doctor(failing: Callable[[BaseException], None]) -> None:
    failing(ModuleNotFoundError("No module named 'faiss'", name="faiss"))
    result = CliRunner().invoke(make_app(), ["doctor"])
    assert result.exit_code == 1
    assert "'faiss' cannot be imported" in result.stderr
    assert "retr doctor" in result.stderr


@pytest.mark.parametrize("defect", [ValueError("ours"), ModuleNotFoundError("x", name="retr.gone")])
def test_a_defect_of_ours_keeps_its_traceback(failing: Callable[[BaseException], None], defect: Exception) -> None:
    failing(defect)
    assert CliRunner().invoke(make_app(), ["doctor"]).exception is defect


def test_an_interrupt_says_so_and_exits_with_130(failing: Callable[[BaseException], None]) -> None:
    failing(KeyboardInterrupt())
    result = CliRunner().invoke(make_app(), ["doctor"])
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


def test_debugging_shows_the_traceback_above_the_line(
    failing: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETR_DEBUG", "1")
    failing(BadInput("No."))
    lines = CliRunner().invoke(make_app(), ["doctor"]).stderr.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "error: No."


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "retr", "models"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("error: No space left on device")


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "retr", "models"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (PIPE_CLOSED, "")


@pytest.mark.parametrize("statement", ["import retr", "import retr.cli"])
def test_importing_loads_nothing_heavy(statement: str) -> None:
    code = f"import sys; {statement}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["index", "--help"], ["eval", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom retr.cli import main\nsys.argv = ['retr', *sys.argv[1:]]\n"
        f"try: main()\nfinally: print('LOADED', *(name for name in {HEAVY!r} if name in sys.modules))"
    )
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.splitlines()[-1].split() == ["LOADED"]


def test_running_a_command_imports_that_commands_module_alone() -> None:
    code = (
        "import sys\nfrom retr.cli import main\nsys.argv = ['retr', 'doctor', '--help']\n"
        "try: main()\nfinally: print(*sorted(name for name in sys.modules if name.startswith('retr.cli.')))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.splitlines()[-1].split() == ["retr.cli.doctor", "retr.cli.failures"]


def test_python_dash_m_is_the_same_program() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"retr {retr.__version__}\n")


def test_the_public_names_are_all_there() -> None:
    assert dir(retr) == sorted(retr.__all__)
    for name in retr.__all__:
        assert getattr(retr, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        retr.opne  # type: ignore[attr-defined]  # noqa: B018


def test_completion_offers_the_commands() -> None:
    environment = {**os.environ, "_RETR_COMPLETE": "complete_bash", "COMP_WORDS": "retr do", "COMP_CWORD": "1"}
    assert run(env=environment).stdout.split() == ["doctor"]


def test_without_any_output_a_command_still_does_its_work(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("red fish")
    line = f"exec {sys.executable} -m retr index a.txt -i index --encoder none --json <&- >&- 2>&-"
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env={"PATH": os.environ["PATH"], "PYTHONPATH": path})
    assert done.returncode == 0
    assert retr.open(tmp_path / "index").ids() == ["a.txt"]
