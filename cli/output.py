"""What commands print on standard output: one line of JSON for programs, plain text and tables for people."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 100_000
"""Columns assumed where there is no terminal: nothing is wrapped or cut for `grep` and files."""

_HIDDEN = {code: "\ufffd" for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in "\t\n"}
_HIDDEN |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")


def emit_json(value: object) -> None:
    """Write `value` as one line of JSON in UTF-8. Dataclasses become objects; NaN and infinity are a ValueError."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain_value)
    # A lone surrogate has no UTF-8; backslashreplace writes it as \\udcXX, which is how JSON itself spells it.
    line = text.encode("utf-8", "backslashreplace") + b"\n"
    sys.stdout.flush()
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _plain_value(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return value.tolist()
    if hasattr(value, "__fspath__"):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def visible(text: str) -> str:
    """The text with control and direction characters replaced: a document must not steer the reader's terminal."""
    return text.translate(_HIDDEN)


def console() -> "Console":
    """A Rich console on standard output: colours and wrapping on a terminal only, NO_COLOR honoured."""
    return _make_console(stderr=False)


def err_console() -> "Console":
    """The same on standard error."""
    return _make_console(stderr=True)


def _make_console(*, stderr: bool) -> "Console":
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise  # Rich would exit with 1; a reader that went away is the command table's to handle.

    made = Plain(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def warn(line: str) -> None:
    """One line of warning on standard error."""
    sys.stderr.write(f"warning: {visible(' '.join(line.split()))}\n")


def print_line(text: str = "") -> None:
    """Plain text on standard output."""
    sys.stdout.write(visible(text) + "\n")


def cell(value: object) -> str:
    """A value as people read it: thousands separated, four decimals, yes and no, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}"
    return visible(str(value)).replace("\n", " ")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print a table; columns that hold only numbers are set right. Widths count terminal cells, so CJK lines up."""
    from rich.table import Table
    from rich.text import Text

    body = [tuple(row) for row in rows]
    out = console()
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for number, name in enumerate(columns):
        numeric = bool(body) and all(_is_number(row[number]) for row in body)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in body:
        table.add_row(*(Text(cell(value)) for value in row))
    out.print(table)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one a line, values lined up."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        print_line(f"{name:<{width}}  {cell(value)}".rstrip())
