"""Counting on standard error."""

import pytest

from retr.cli import progress as module
from retr.cli.progress import LINE_SECONDS, Progress, duration, track


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_stream_passes_unchanged_and_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(iter("abc"), "indexing")) == ["a", "b", "c"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("indexing: 3 documents in 0.0 s")


def test_the_stream_is_read_as_it_is_asked_for() -> None:
    taken: list[int] = []
    stream = track((taken.append(n) or n for n in range(10)), "reading", quiet=True)
    next(stream)
    assert taken == [0]


def test_quiet_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([1, 2], "indexing", quiet=True)) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_pipe_gets_a_line_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress("indexing", total=100, clock=clock) as progress:
        progress.advance(10)
        assert capsys.readouterr().err == ""
        clock.now += LINE_SECONDS
        progress.advance(10)
        assert capsys.readouterr().err == "indexing: 20 of 100 documents, 4/s, about 20 s left\n"
        progress.note(passages=40, skipped=1)
        assert capsys.readouterr().err == ""
        clock.now += LINE_SECONDS
        progress.advance(80)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "indexing: 100 of 100 documents, 10/s, 40 passages, 1 skipped, about 0.0 s left",
        "indexing: 100 documents in 10 s, 10/s, 40 passages, 1 skipped",
    ]


def test_without_a_total_no_time_left_is_claimed() -> None:
    clock = Clock()
    progress = Progress("reading", unit="rows", quiet=True, clock=clock)
    clock.now += 2
    progress.advance(4000)
    assert progress.status() == "reading: 4,000 rows, 2,000/s"


def test_nothing_done_is_no_division_by_zero() -> None:
    progress = Progress("reading", total=0, quiet=True, clock=Clock())
    assert progress.status() == "reading: 0 of 0 documents, 0/s"


def test_a_failure_says_how_far_the_work_came(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="mine"), Progress("indexing", clock=Clock()) as progress:
        progress.advance(3)
        raise ValueError("mine")
    assert capsys.readouterr().err == "indexing: 3 documents in 0.0 s (stopped)\n"


def test_the_summary_is_written_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("indexing", clock=Clock()) as progress:
        progress.finish()
    assert capsys.readouterr().err.count("\n") == 1


def test_a_terminal_gets_a_bar_that_is_taken_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    clock = Clock()
    with Progress("indexing [x]", total=10, clock=clock) as progress:
        for _ in range(5):
            clock.now += 2 * module.BAR_SECONDS
            progress.advance()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "indexing [x]: 5 of 10 documents, 5/s, about 1.0 s left" in captured.err
    assert captured.err.endswith("indexing [x]: 5 documents in 1.0 s, 5/s\n")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_durations_read_well(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown
