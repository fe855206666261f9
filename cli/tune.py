"""`retr tune`: the fastest index that finds what it must, measured on the index's own vectors."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, QuietOption, WaitOption, checked_wait

if TYPE_CHECKING:
    from retr.index.collection import Collection
    from retr.index.tuning.applying import Applied
    from retr.index.tuning.points import Point
    from retr.index.tuning.running import Tuning
    from retr.retrieval.embeddings import Vectors

_COLUMNS = (
    "kind", "storage", "refine", "nprobe", "ef", "recall", "held out", "ms", "p95 ms", "CPU ms", "queries/s",
    "build s", "MB", "MB in memory", "",
)  # fmt: skip


def tune(
    index: IndexOption = DEFAULT_INDEX,
    recall: Annotated[float, typer.Option(help="Share of the exact top k that must be found.")] = 0.95,
    k: Annotated[int, typer.Option("-k", "--k", help="Hits a query.")] = 10,
    queries: Annotated[
        Path | None,
        typer.Option(help="Real queries: texts as in `retr search --queries`, or vectors as .npy.", metavar="FILE"),
    ] = None,
    kinds: Annotated[
        str | None, typer.Option(help="Kinds to measure, such as pq,hnsw. Default: all.", metavar="KIND,...")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Storages to measure: float32,float16,int8,binary. Default: as now.", metavar="NAME,..."),
    ] = None,
    sample: Annotated[int, typer.Option(help="Index at most so many vectors for the trial.")] = 200_000,
    plot: Annotated[Path | None, typer.Option(help="Draw recall against time into this PNG.", metavar="FILE")] = None,
    apply: Annotated[
        bool, typer.Option("--apply/--dry-run", help="Rebuild the index with the choice, or only measure.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Draws the sample and halves the queries.")] = 0,
    wait: WaitOption = 60.0,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Measure kinds of vector index on this index's own vectors, and rebuild it with the fastest that finds enough.

    Half of the queries choose, the other half check what was chosen. The rebuilt index holds the living documents
    alone and cannot be rolled back, as after `retr compact`; a storage smaller than the present one loses precision.
    """
    from retr.cli.failures import end_in_order
    from retr.cli.output import emit_json, print_line
    from retr.index.tuning.applying import apply as write
    from retr.index.tuning.plotting import draw
    from retr.index.tuning.running import tune as measure
    from retr.index.tuning.settings import KINDS, TuneSettings
    from retr.opening import open
    from retr.retrieval.plotting import check_plot

    settings = TuneSettings(
        recall=recall,
        k=k,
        kinds=_names(kinds, "--kinds") or KINDS,
        storages=_names(storage, "--storage"),
        sample=sample,
        seed=seed,
    )
    if plot is not None:
        check_plot(plot)
    patience, report = checked_wait(wait), _reporter(quiet)
    end_in_order()
    collection = open(index)
    tuning = measure(collection, settings, queries=_questions(collection, queries), report=report)
    if plot is not None:
        draw(tuning, plot)
    if not json:
        _show(tuning)
    applied = write(collection, tuning, wait_seconds=patience, report=report) if apply else None
    if json:
        done = None if applied is None else applied.describe()
        emit_json({"index": index, **tuning.describe(), "applied": done, "plot": plot})
    elif applied is not None:
        _show_applied(applied, k)
    else:
        print_line("nothing written (--dry-run)")


def _names(text: str | None, flag: str) -> Any:
    """The names between commas; none given is an empty tuple, which the settings check by name."""
    from retr.retrieval.errors import BadInput

    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise BadInput(f"{flag} takes names with commas between them, such as pq,hnsw; got {text!r}.")
    return names


def _reporter(quiet: bool) -> Callable[[str], None]:
    def report(line: str) -> None:
        if not quiet and sys.stderr is not None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    return report


def _questions(collection: "Collection", path: Path | None) -> "Vectors | None":
    import numpy as np

    from retr.retrieval.embeddings import Vectors
    from retr.retrieval.errors import BadInput, NotFound

    if path is None:
        return None
    if path.suffix != ".npy":
        from retr.retrieval.corpus import read_queries

        texts = list(dict.fromkeys(query.text for query in read_queries(path)))
        vectors = collection.encoder.encode_queries(texts)
        if not isinstance(vectors, Vectors):
            raise BadInput("The index's encoder gives one vector a token; only single vectors are tuned.")
        return vectors
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}. Give a .npy file of query vectors.")
    try:
        return Vectors(np.ascontiguousarray(np.load(path, allow_pickle=False), np.float32))
    except (ValueError, EOFError, TypeError) as error:
        raise BadInput(f"{str(path)!r} is not a .npy file of numbers [queries, dim] ({error}).") from None


def _show(tuning: "Tuning") -> None:
    from retr.cli.output import print_line, print_table

    k, choice = tuning.settings.k, tuning.choice
    kinds = len({(point.candidate.kind, point.candidate.storage) for point in tuning.points})
    print_line(
        f"settings measured: {len(tuning.points)}, kinds: {kinds}, on {tuning.sampled:,} of {tuning.rows:,} vectors; "
        f"recall@{k} is the share of the exact answers"
    )
    print_table(_COLUMNS, [_row(tuning, point) for point in _worth_showing(tuning)])
    for line in tuning.skipped:
        print_line(f"not measured: {line}")
    for point in choice.rejected:
        print_line(
            f"rejected: {point.candidate.name}: recall {point.recall:.4f} on the choosing queries, but "
            f"{point.held_out:.4f} on the checking ones"
        )
    if choice.fallback:
        print_line("no other setting met the target on both halves of the queries; exact search does")
    print_line(f"chosen: {tuning.candidate_of(choice.point).name}")
    print_line(
        f"recall@{k} is {choice.point.held_out:.4f} on {len(tuning.checking):,} queries that took no part in choosing "
        f"(target {tuning.settings.recall:g}; with 95% confidence at least {choice.lower:.4f})"
    )


def _worth_showing(tuning: "Tuning") -> "list[Point]":
    """The frontier near the target, what was chosen, and each kind's fastest that meets the target: by rising time."""
    shown = {id(point) for point in [tuning.choice.point, *tuning.choice.rejected, tuning.exact]}
    shown |= {id(point) for point in tuning.interesting} & {id(point) for point in tuning.frontier}
    points = sorted(tuning.points, key=lambda point: point.speed.median_ms)
    first = {
        (point.candidate.kind, point.candidate.storage): id(point)
        for point in reversed(points)
        if point.recall >= tuning.settings.recall
    }
    return [point for point in points if id(point) in shown | set(first.values())]


def _row(tuning: "Tuning", point: "Point") -> tuple[object, ...]:
    candidate, build, speed = point.candidate, point.build, point.speed
    mark = "chosen" if point is tuning.choice.point else "frontier" if point in tuning.frontier else ""
    return (
        *(candidate.kind, candidate.storage, candidate.refine, candidate.nprobe, candidate.ef),
        *(point.recall, point.held_out, round(speed.median_ms, 4), round(speed.p95_ms, 4), round(speed.cpu_ms, 4)),
        *(round(speed.qps), f"{build.seconds:.1f}", f"{build.bytes / 1e6:.1f}", f"{build.memory / 1e6:.1f}", mark),
    )


def _show_applied(applied: "Applied", k: int) -> None:
    from retr.cli.output import print_line

    for name in applied.undone:
        print_line(f"undone: {name} missed the target on the whole index")
    before, after = applied.before, applied.after
    print_line(f"written: {applied.name}; generation {applied.generation}")
    print_line(f"the whole index, {after.queries:,} queries, each alone: recall@{k} and median time")
    print_line(f"  before  {before.recall:.4f}  {before.median_ms:.3f} ms")
    print_line(f"  now     {after.recall:.4f}  {after.median_ms:.3f} ms")
