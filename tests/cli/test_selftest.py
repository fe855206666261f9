"""`retr selftest`: on a sound disk all of it holds; each kind of lie is found out by the trial that looks for it."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from retr.cli import app, trials
from retr.cli.trials import TRIALS, Outcome, TrialSettings
from retr.cli.trials.files import try_files
from retr.cli.trials.kills import try_kills
from retr.cli.trials.readers import try_readers
from retr.cli.trials.tears import try_tears
from retr.retrieval.errors import BadInput

BRIEF = 0.01
"""Seconds: every trial does the least it does."""


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is room for one, so that syncs cost nothing."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 64 << 20:
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory, prefix="retr-test-") as name:
        yield Path(name)


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], TrialSettings]:
    """Settings with a disk of lying_disks.py, which the writers' processes find too."""
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    return lambda name, seconds: TrialSettings(seconds=seconds, disk=f"lying_disks:{name}")


@pytest.mark.slow
def test_on_a_sound_disk_all_of_it_holds_and_nothing_is_left(quick: Path) -> None:
    found = CliRunner().invoke(app, ["selftest", str(quick), "--minutes", str(BRIEF / 60), "--json", "--quiet"])
    told = json.loads(found.stdout)
    assert (found.exit_code, told["held"]) == (0, True), told
    assert [one["name"] for one in told["trials"]] == list(TRIALS)
    assert all(one["tried"] and one["counts"] and not one["problems"] for one in told["trials"])
    counts = {one["name"]: one["counts"] for one in told["trials"]}
    assert counts["kills"]["kills"] >= 4 and counts["full"]["stopped"] >= 1
    assert counts["tears"]["damages"] >= 10 and counts["tears"]["files"] > 5
    assert list(quick.iterdir()) == []


def test_a_disk_that_loses_what_it_has_synced_is_found_out(quick: Path, lying: Any) -> None:
    found = try_files(quick / "t", lying("Forgetful", BRIEF))
    assert not found.held
    assert "holds something else now" in found.problems[0]


def test_a_rename_that_writes_in_place_is_found_out_by_mapped_files(quick: Path, lying: Any) -> None:
    found = try_readers(quick / "t", lying("Copying", BRIEF))
    assert "A mapped file changed when it was replaced." in found.problems


def test_a_rename_in_two_steps_is_found_out_by_kills(quick: Path, lying: Any) -> None:
    assert not try_kills(quick / "t", lying("Copying", 12.0)).held


def test_a_folder_that_forgets_names_is_found_out_by_kills(quick: Path, lying: Any) -> None:
    assert not try_kills(quick / "t", lying("Losing", BRIEF)).held


def test_damage_that_a_check_does_not_see_is_found_out(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retr.cli.trials.tears.check_folder", lambda folder, load: SimpleNamespace(problems=[]))
    found = try_tears(quick / "t", TrialSettings(seconds=BRIEF))
    assert len(found.problems) == 1 and found.problems[0].endswith("and nothing noticed.")


def test_what_did_not_hold_is_told_and_ends_with_exit_code_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "TRIALS", {"files": f"{__name__}:ignored"})
    monkeypatch.setattr(
        trials, "resolve", lambda *_: lambda folder, settings: Outcome("files", "3 files", {}, ["One is gone."])
    )
    found = CliRunner().invoke(app, ["selftest", str(tmp_path), "--quiet"])
    assert found.exit_code == 1
    assert found.stdout.splitlines()[:2] == ["FAILED files    3 files", "                -> One is gone."]
    assert "keep no index here" in found.stdout


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(BadInput, match="seconds is 0"):
        TrialSettings(seconds=0)
