"""What reading met: counts, and the first problems with their file and line."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from retr.retrieval.errors import BadInput

KEPT_PROBLEMS = 20

Outcome = Literal["skipped", "repaired", "noted"]


class Rejected(Exception):
    """A row or a file that cannot become a document, and why; the reading loop makes a Problem of it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the input.

    `outcome` says what became of it: the record was "skipped"; it was read with replaced bytes ("repaired"); or
    nothing was lost and it is only worth knowing ("noted": never an error).
    """

    path: str
    line: int | None
    reason: str
    outcome: Outcome = "skipped"

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        return one_line(f"{place}: {self.reason}")


@dataclass(slots=True)
class ReadReport:
    """Filled while documents are read; complete when the stream is at its end.

    `bytes` of `bytes_total` are bytes of the files as they lie on disk (standard input adds nothing to the
    total). `ignored` counts files of folders that no reader takes, by suffix. `problems` and `notes` keep the first 20.
    """

    documents: int = 0
    skipped: int = 0
    repaired: int = 0
    bytes: int = 0
    bytes_total: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)

    def take(self, problem: Problem, on_error: str) -> None:
        """Count and keep a problem; BadInput with its text when `on_error` is "fail" and something would be lost."""
        if problem.outcome == "noted":
            _keep(self.notes, problem)
            return
        if on_error == "fail":
            raise BadInput(
                f"{str(problem).rstrip('.')}. Put the input right, or go on without what is broken: --on-error skip."
            )
        self.skipped += problem.outcome == "skipped"
        self.repaired += problem.outcome == "repaired"
        _keep(self.problems, problem)

    def ignored_text(self) -> str:
        """Such as `3 files ignored (.png 2, .zip 1)`, or an empty string."""
        if not self.ignored:
            return ""
        kinds = ", ".join(f"{suffix or 'no suffix'} {count}" for suffix, count in self.ignored.most_common(8))
        total = sum(self.ignored.values())
        return f"{total} file{'s' if total > 1 else ''} ignored ({kinds})"


def one_line(text: object) -> str:
    """Any text fit for a message: no control characters, nothing that cannot be printed."""
    clean = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", str(text))
    return clean.encode("utf-8", "backslashreplace").decode("utf-8")


def _keep(problems: list[Problem], problem: Problem) -> None:
    if len(problems) < KEPT_PROBLEMS:
        problems.append(problem)
