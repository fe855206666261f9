"""Pairs of texts with a score (sentence similarity) or a class (pair classification), from tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retr.retrieval.errors import BadInput
from retr.retrieval.evaluation.reading.rows import Row, column, found_column, read_rows

TEXTS = (
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question", "answer"),
    ("query", "text"),
    ("query", "passage"),
    ("query", "document"),
    ("query", "answer"),
    ("query", "code"),
)
SCORES = ("score", "similarity", "relatedness_score")
LABELS = ("label", "is_duplicate", "gold")
_CLASSES = {"0": 0, "1": 1, "false": 0, "true": 1}

PairTask = Literal["sts", "pairs"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Texts and what people said of each pair: a score for `sts`, 0 or 1 for `pairs`. A pair's id is its number."""

    task: PairTask
    left: tuple[str, ...]
    right: tuple[str, ...]
    values: tuple[float, ...]

    def __len__(self) -> int:
        """How many pairs."""
        return len(self.values)

    @property
    def ids(self) -> tuple[str, ...]:
        """From 1 on, in the order of the files."""
        return tuple(str(number) for number in range(1, len(self) + 1))


def read_pairs(
    paths: Sequence[str | Path], *, task: PairTask | None = None, columns: Sequence[str] | None = None
) -> Pairs:
    """The pairs of all files together, with one meaning: a column of scores makes them `sts`, one of labels `pairs`.

    `columns` names the two texts and the value where they have no usual names (`TEXTS`, `SCORES`, `LABELS`); then the
    task is needed too. BadInput names file and line of a missing text, or of a value that is none.
    """
    if not paths:
        raise BadInput("No file of pairs was given.")
    if columns is not None and (len(columns) != 3 or task is None):
        raise BadInput(
            "The columns of pairs are three, two texts and the value, and the task must be given: sts, pairs."
        )
    left: list[str] = []
    right: list[str] = []
    values: list[float] = []
    for path in paths:
        rows = read_rows(path)
        one, other, value, found = _columns(rows, task, columns)
        if task is not None and found != task:
            raise rows[0].refuse(f"the column {value!r} makes these pairs {found!r}, not {task!r} as asked, or before.")
        task = found
        for row in rows:
            left.append(row.text(one))
            right.append(row.text(other))
            values.append(_score(row, value) if task == "sts" else _label(row, value))
    assert task is not None
    return Pairs(task, tuple(left), tuple(right), tuple(values))


def _columns(
    rows: Sequence[Row], task: PairTask | None, columns: Sequence[str] | None
) -> tuple[str, str, str, PairTask]:
    if columns is not None:
        for name in columns:
            column(rows, (name,), "column of that name")
        assert task is not None
        return columns[0], columns[1], columns[2], task
    one, other = _texts(rows)
    score = found_column(rows, SCORES) if task != "pairs" else None
    if score is not None:
        return one, other, score, "sts"
    if task == "sts":
        return one, other, column(rows, SCORES, "column of scores"), "sts"
    return one, other, column(rows, LABELS if task else (*SCORES, *LABELS), "score or label"), "pairs"


def _texts(rows: Sequence[Row]) -> tuple[str, str]:
    there = rows[0].cells
    for one, other in TEXTS:
        if one in there and other in there:
            return one, other
    usual = ", ".join("/".join(names) for names in TEXTS[:5])
    raise rows[0].refuse(
        f"no two columns of texts ({usual}, …); the row has {', '.join(map(str, there))}. Name them with --columns."
    )


def _score(row: Row, name: str) -> float:
    value = row.cells.get(name)
    try:
        score = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        score = math.nan
    if not math.isfinite(score):
        raise row.refuse(f"{name!r} is {str(value)[:40]!r}; a finite number is needed.")
    return score


def _label(row: Row, name: str) -> float:
    text = str(row.cells.get(name)).strip().lower()
    if text not in _CLASSES:
        raise row.refuse(f"{name!r} is {text[:40]!r}; a class is 0 or 1. Scores are a task of their own: sts.")
    return _CLASSES[text]
