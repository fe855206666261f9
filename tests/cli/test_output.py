"""JSON for programs, plain text for people."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from retr.cli.output import cell, console, emit_json, print_fields, print_line, print_table, visible, warn


@dataclass(frozen=True)
class Point:
    """Something with fields."""

    x: int


def test_json_is_one_line_in_utf8(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    emit_json({"text": "日本\nß", "n": 1})
    assert capfdbinary.readouterr().out == '{"text":"日本\\nß","n":1}\n'.encode()


def test_json_takes_records_paths_and_numpy_numbers(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    emit_json([Point(1), Path("a/b"), np.float32(0.5), np.arange(2)])
    assert json.loads(capfdbinary.readouterr().out) == [{"x": 1}, "a/b", 0.5, [0, 1]]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float32("nan")])
def test_json_refuses_what_is_no_number(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        emit_json({"score": number})


def test_json_refuses_what_has_no_form() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        emit_json(object())


def test_a_lone_surrogate_survives_as_json_spells_it(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    emit_json("a\udc80")
    assert json.loads(capfdbinary.readouterr().out) == "a\udc80"


def test_control_characters_of_a_document_do_not_reach_the_terminal() -> None:
    assert visible("a\x1b[31mred\x07\x9b\u202etxt\tb\nc") == "a\ufffd[31mred\ufffd\ufffd\ufffdtxt\tb\nc"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "yes"), (False, "no"), (1234567, "1,234,567"), (0.123456, "0.1235"), ("a\nb", "a b")],
)
def test_a_cell_is_written_for_people(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_a_table_in_a_pipe_is_plain_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    print_table(["name", "count"], [["a [bold]b[/bold] :smile:", 5], [long, 1234]])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["name", "count"],
        ["a", "[bold]b[/bold]", ":smile:", "5"],
        [long, "1,234"],
    ]
    assert not any("\x1b" in line for line in lines)


def test_numbers_are_set_right_and_wide_letters_count_twice(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["n", "word", "end"], [[5, "日本", "z"], [1000, "ab", "z"]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("    5 ")
    assert lines[1].index("z") + 2 == lines[2].index("z")


def test_an_empty_table_is_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "count"], [])
    assert capsys.readouterr().out.split() == ["name", "count"]


def test_fields_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields({"documents": 1234, "id": "a", "none": None})
    assert capsys.readouterr().out == "documents  1,234\nid         a\nnone\n"


def test_warnings_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    warn("two\nlines")
    print_line("answer")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("answer\n", "warning: two lines\n")


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert console().no_color


def test_a_narrow_locale_does_not_make_printing_fail() -> None:
    code = "from retr import cli, __version__; import sys; sys.argv = ['retr', '--version']\n"
    code += "try: cli.main()\nexcept SystemExit: print('é日')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=60, check=True)
    assert result.stdout.splitlines()[-1] == b"\\xe9\\u65e5"
