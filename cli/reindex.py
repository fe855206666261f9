"""`retr reindex`: another encoder for an index, made beside it and then put in its place."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.options import (
    DEFAULT_INDEX,
    DimOption,
    IndexOption,
    JsonOption,
    KindOption,
    QuietOption,
    StorageOption,
    WaitOption,
    checked_wait,
)

if TYPE_CHECKING:
    from retr.index.collection import Collection
    from retr.index.dense.settings import DenseSettings
    from retr.index.reindexing.overlap import Overlap
    from retr.index.reindexing.shadow import Shadow, Swap
    from retr.index.writing.writer import AddReport


def reindex(
    encoder: Annotated[str | None, typer.Option(help="The new encoder; anything that `retr index` takes.")] = None,
    index: IndexOption = DEFAULT_INDEX,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Only fill the shadow and compare; the index goes on as it is.")
    ] = False,
    swap: Annotated[bool, typer.Option("--swap", help="Put the shadow that is there in the index's place.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Remove the shadow that is there.")] = False,
    queries: Annotated[
        Path | None, typer.Option(help="Queries to compare on: JSONL, TSV, lines, a BEIR folder. Default: sampled.")
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="Best documents of each query that are compared.")] = 10,
    kind: KindOption = None,
    storage: StorageOption = None,
    dim: DimOption = None,
    wait: WaitOption = 0.0,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Encode all documents anew with another encoder, while the index goes on answering, and switch over.

    The new vectors come into a shadow beside the old ones, which an interrupted run finds again. Then it says how many
    of each query's best documents stay, and switches in one step. What was live stays as a snapshot to go back to.
    """
    from retr.cli.progress import Stages
    from retr.index.reindexing.shadow import Shadow, drop_shadow
    from retr.opening import load_encoder, open
    from retr.retrieval.errors import BadInput

    _check_call(encoder, shadow=shadow, swap=swap, drop=drop)
    seconds, texts = checked_wait(wait), _queries(queries)
    if drop:
        drop_shadow(index)
        _said({"dropped": True}, f"{index}: the shadow is removed", as_json=json)
        return
    live = open(index)
    if k < 1:
        raise BadInput(f"-k is {k}; give a whole number of at least 1.")
    with Stages("reindex", quiet=quiet) as stages:
        if encoder is None:
            work = Shadow.resume(live, load_encoder)
        else:
            dense = _dense(live, kind=kind, storage=storage, dim=dim)
            work = Shadow.begin(live, load_encoder(encoder), spec=encoder, dense=dense)
        filled = work.fill(report=stages.report)
        compared = _compared(work, texts, k)
        swapped = None if shadow else work.swap(wait_seconds=seconds, report=stages.report)
    _report(index, work, filled, compared, swapped, as_json=json)


def _check_call(encoder: str | None, *, shadow: bool, swap: bool, drop: bool) -> None:
    from retr.retrieval.errors import BadInput

    if drop + swap + shadow > 1:
        raise BadInput("Give one of --shadow, --swap and --drop.")
    if (encoder is None) != (swap or drop):
        raise BadInput("Give --encoder ENCODER, to begin or go on; or --swap or --drop, for the shadow that is there.")


def _queries(path: Path | None) -> list[str] | None:
    from retr.retrieval.corpus import read_queries

    return None if path is None else [query.text for query in read_queries(path)]


def _dense(live: "Collection", kind: str | None, storage: str | None, dim: int | None) -> "DenseSettings | None":
    from dataclasses import replace

    from retr.index.reindexing.shadow import kept_settings

    asked: dict[str, Any] = {"kind": kind, "storage": storage, "dim": dim}
    given = {name: value for name, value in asked.items() if value is not None}
    return replace(kept_settings(live.manifest.dense), **given) if given else None


def _compared(work: "Shadow", texts: list[str] | None, k: int) -> "Overlap | None":
    from retr.index.reindexing.overlap import overlap, sampled_queries

    if texts is not None:
        return overlap(work.live, work.shadow, texts, k, "given")
    return overlap(work.live, work.shadow, sampled_queries(work.live), k, "sampled")


def _report(
    index: Path,
    work: "Shadow",
    filled: "AddReport",
    compared: "Overlap | None",
    swapped: "Swap | None",
    *,
    as_json: bool,
) -> None:
    from dataclasses import asdict

    table = {
        "documents": len(work.live),
        "encoded_passages": filled.encoded,
        "unchanged": filled.unchanged,
        "overlap": None if compared is None else asdict(compared),
        "swapped": None if swapped is None else {"generation": swapped.generation, "snapshot": swapped.snapshot},
    }
    lines = [f"{index}: {len(work.live):,} documents, {filled.encoded:,} passages encoded"]
    if compared is not None:
        whose = "given queries" if compared.source == "given" else "titles and first words of its own documents"
        lines.append(
            f"overlap@{compared.k}: {compared.mean:.3f} of the best documents stay, over {compared.queries:,} {whose}"
        )
    if swapped is None:
        lines.append(f"not live yet; switch with: retr reindex --swap --index {index}")
    else:
        lines.append(f"live as generation {swapped.generation}; back with: retr rollback --to {swapped.snapshot}")
    _said(table, "\n".join(lines), as_json=as_json)


def _said(table: Mapping[str, object], text: str, *, as_json: bool) -> None:
    from retr.cli.output import emit_json, print_line

    if as_json:
        emit_json(table)
        return
    for line in text.split("\n"):
        print_line(line)
