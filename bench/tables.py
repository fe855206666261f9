"""A table that is printed, recorded in the JSON, and pasted into the docs: the same cells each time."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Table:
    """Column names and rows of ready-made cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """First column to the left, numbers to the right, padded so that it is readable as plain text too."""
        widths = [max(3, *(len(row[at]) for row in [self.columns, *self.rows])) for at in range(len(self.columns))]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        return "\n".join(_line(row, widths) for row in [self.columns, rule, *self.rows])

    def json(self) -> dict[str, Any]:
        """As recorded."""
        return asdict(self)

    @classmethod
    def read(cls, recorded: Mapping[str, Any]) -> "Table":
        """From a recorded result."""
        return cls(recorded["columns"], recorded["rows"])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(padded)} |"


def number(value: float | None, digits: int = 1) -> str:
    """Fixed digits, thousands separated; a dash for what was not measured."""
    return "-" if value is None else f"{value:,.{digits}f}"
