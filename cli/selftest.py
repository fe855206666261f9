"""`retr selftest`: is this disk one that an index is safe on? Tried on the disk itself."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retr.cli.options import JsonOption, QuietOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retr.cli.trials import Outcome


def selftest(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder on the disk to try. Default: the current one.")
    ] = Path(),
    minutes: Annotated[
        float | None, typer.Option(help="About how long. Default: 20 seconds; longer finds rarer faults.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 7,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Try what an index needs of a disk: syncs, renames, locks, mapped files, killed writers, damage, no room.

    Works in a new folder below FOLDER, which is removed at the end. A power cut cannot be tried this way: a disk that
    says it has synced, and has not, shows only when the power goes. The exit code is 1 when something did not hold.
    """
    from tempfile import TemporaryDirectory

    from retr.cli.progress import Progress
    from retr.cli.trials import TRIALS, TrialSettings, run_trials
    from retr.retrieval.errors import BadInput, NotFound

    if minutes is not None and not 0 < minutes < float("inf"):
        raise BadInput(f"--minutes is {minutes:g}; give a number above 0.")
    if not folder.is_dir():
        raise NotFound(f"There is no folder {str(folder)!r}. Make it first, on the disk that is to be tried.")
    settings = TrialSettings(seed=seed) if minutes is None else TrialSettings(seconds=60 * minutes, seed=seed)
    found: list[Outcome] = []
    with (
        TemporaryDirectory(prefix="retr-selftest-", dir=folder, ignore_cleanup_errors=True) as place,
        Progress("tried", total=len(TRIALS), unit="things", quiet=quiet) as progress,
    ):
        for outcome in run_trials(Path(place), settings):
            found.append(outcome)
            progress.advance()
    _say(folder, found, as_json=json)
    if not all(outcome.held for outcome in found):
        raise typer.Exit(1)


def _say(folder: Path, found: "Sequence[Outcome]", *, as_json: bool) -> None:
    from dataclasses import asdict

    from retr.cli.output import emit_json, print_line

    held = all(outcome.held for outcome in found)
    if as_json:
        trials = [{**asdict(outcome), "held": outcome.held} for outcome in found]
        emit_json({"folder": folder.absolute(), "held": held, "file_system": _kind_of(folder), "trials": trials})
        return
    for outcome in found:
        print_line(f"{'held' if outcome.held else 'FAILED':<6} {outcome.name:<8} {outcome.tried}")
        for problem in outcome.problems:
            print_line(f"{'':<6} {'':<8} -> {problem}")
    verdict = "all of it held" if held else "keep no index here before this is understood"
    print_line(f"\n{folder.absolute()} ({_kind_of(folder)}): {verdict}. Not tried: a power cut.")


def _kind_of(folder: Path) -> str:
    """The kind of file system, where the system says."""
    import os

    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return "file system not known"
    kinds = [(line.split()[4], line.split(" - ")[1].split()[0]) for line in mounts.read_text().splitlines()]
    where = os.path.realpath(folder)
    holding = [(point, kind) for point, kind in kinds if where == point or where.startswith(point.rstrip("/") + "/")]
    return max(holding, key=lambda one: len(one[0]))[1] if holding else "file system not known"
