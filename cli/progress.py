"""Progress on standard error: a bar on a terminal, a line every few seconds elsewhere, and one line at the end.

Library functions know nothing of it: a command wraps the stream that it hands on, `collection.add(track(stream, …))`.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

Item = TypeVar("Item")

LINE_SECONDS = 5.0
"""Time between two lines where there is no terminal."""
BAR_SECONDS = 0.1
"""Time between two updates of the bar."""


class Progress:
    """Counts work done. Use as a context manager; leaving it by an exception says how far the work came."""

    def __init__(
        self,
        label: str,
        *,
        total: int | None = None,
        unit: str = "documents",
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label, self.total, self.unit, self.quiet = label, total, unit, quiet
        self.done = 0
        self.counts: dict[str, int] = {}
        self._clock = clock
        self._started = self._shown = clock()
        self._ended = False
        self._bar: Any = None

    def advance(self, n: int = 1) -> None:
        """`n` more are done."""
        self.done += n
        self._show()

    def note(self, **counts: int) -> None:
        """Other numbers worth showing, such as `passages=1200, skipped=3`; each call replaces those it names."""
        self.counts.update(counts)
        self._show()

    def finish(self, *, complete: bool = True) -> None:
        """Take the bar away and write one line of summary."""
        if self._ended:
            return
        self._ended = True
        if self._bar is not None:
            self._bar.stop()
        if not self.quiet and (complete or self.done):
            self._write(self.summary() if complete else f"{self.summary()} (stopped)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(complete=kind is None)

    def status(self) -> str:
        """How it stands now, in words."""
        left = self._seconds_left()
        of = "" if self.total is None else f" of {self.total:,}"
        parts = [f"{self.label}: {self.done:,}{of} {self.unit}", f"{self.rate():,.0f}/s", *self._notes()]
        return ", ".join(parts + ([f"about {duration(left)} left"] if left is not None else []))

    def summary(self) -> str:
        """What was done, in words."""
        parts = [f"{self.label}: {self.done:,} {self.unit} in {duration(self._elapsed())}"]
        if self._elapsed() >= 1:
            parts.append(f"{self.rate():,.0f}/s")
        return ", ".join(parts + self._notes())

    def rate(self) -> float:
        """Units a second since the start."""
        return self.done / max(self._elapsed(), 1e-9)

    def _elapsed(self) -> float:
        return self._clock() - self._started

    def _seconds_left(self) -> float | None:
        if self.total is None or not self.done:
            return None
        return max(self.total - self.done, 0) / self.rate()

    def _notes(self) -> list[str]:
        return [f"{count:,} {name.replace('_', ' ')}" for name, count in self.counts.items()]

    def _show(self) -> None:
        now = self._clock()
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        if self.quiet or self._ended or now - self._shown < (BAR_SECONDS if on_terminal else LINE_SECONDS):
            return
        self._shown = now
        if on_terminal:
            self._draw()
        else:
            self._write(self.status())

    def _draw(self) -> None:
        if self._bar is None:
            self._bar = _make_bar(self.total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=self.done, total=self.total, status=self.status())

    def _write(self, line: str) -> None:
        if sys.stderr is not None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


class Stages:
    """Progress of work in stages, each with its own unit and total; a stage of less than a second leaves no line."""

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        self._label, self._quiet = label, quiet
        self._now: Progress | None = None

    def report(self, unit: str, done: int, total: int) -> None:
        """So much of a stage is done; another unit than last time is the next stage."""
        if self._now is None or self._now.unit != unit:
            self._end(complete=True)
            self._now = Progress(self._label, total=total, unit=unit, quiet=self._quiet)
        self._now.advance(done - self._now.done)

    def _end(self, *, complete: bool) -> None:
        if self._now is not None:
            self._now.quiet = self._quiet or self._now._elapsed() < 1
            self._now.finish(complete=complete)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(complete=kind is None)


def _make_bar(total: int | None) -> Any:
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bar

    from retr.cli.output import err_console

    columns = [SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.fields[status]}", markup=False)]
    bar = Bar(*columns, console=err_console(), transient=True, refresh_per_second=5)
    bar.add_task("", total=total, status="")
    return bar


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s` or `2 h 07 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def track(
    items: Iterable[Item], label: str, *, total: int | None = None, unit: str = "documents", quiet: bool = False
) -> Iterator[Item]:
    """The items themselves, counted as they pass; the last line is written when the stream ends."""
    with Progress(label, total=total, unit=unit, quiet=quiet) as progress:
        for item in items:
            yield item
            progress.advance()
