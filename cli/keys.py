"""`retr keys`: what a reranker by query likelihood needs of an index's passages, read once."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, QuietOption, StoreOption, home_of

if TYPE_CHECKING:
    from retr.encoders.bulk import BulkReport
    from retr.index.collection import Collection

_DOCUMENTS_AT_ONCE = 256


def keys(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A decoder's folder that learned to tell the query by stop.")
    ],
    out: Annotated[Path | None, typer.Option(help="The folder of keys.", metavar="DIR")] = None,
    index: IndexOption = DEFAULT_INDEX,
    store: StoreOption = None,
    dtype: Annotated[str, typer.Option(help="float16 or float32.")] = "float16",
    device: Annotated[str, typer.Option(help="Where the model runs: cpu, cuda, mps or auto.")] = "",
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Read every passage of an index once for `--rerank ql=DIR`, which then reads the question alone.

    Interrupted, the same command goes on where it stopped; after the index changed, it reads what is new.
    """
    from retr.cli.output import emit_json, print_line
    from retr.cli.progress import Progress
    from retr.encoders.bulk import open_vectors
    from retr.encoders.llm.ql_keys import KIND, keep_keys
    from retr.opening import open
    from retr.retrieval.errors import BadInput

    if out is None:
        raise BadInput("Say where to write: --out FOLDER.")
    if "=" in model and not model.startswith(KIND):
        raise BadInput(f"Keys are kept for the kind ql alone; got {model!r}. Give FOLDER or ql=FOLDER.")
    collection = open(home_of(index, store))
    total = collection.manifest.live_passages
    with Progress("read", total=total, unit="passages", quiet=quiet) as progress:

        def watch(report: "BulkReport") -> None:
            progress.advance(report.encoded + report.reused - progress.done)

        texts, source = _passages(collection), model.removeprefix(KIND)
        done = keep_keys(source, texts, out, dtype=dtype, device=device, watch=watch)  # type: ignore[arg-type]
        progress.total = progress.done
    found = open_vectors(out)
    each = found.dim * (2 if dtype == "float16" else 4)
    if json:
        counts = {"texts": done.texts, "encoded": done.encoded, "reused": done.reused}
        emit_json({"out": out, **counts, "bytes_each": each, "bytes": each * done.texts})
        return
    size = f"{done.texts:,} passages of {each:,} bytes each, {each * done.texts / 1e6:,.1f} MB"
    print_line(f"{out}: {size}. Search with --rerank ql={out}")


def _passages(collection: "Collection") -> Iterator[str]:
    """What a reranker is given of each passage: its document's title, and its text."""
    ids, chunker = collection.ids(), collection.chunker
    for start in range(0, len(ids), _DOCUMENTS_AT_ONCE):
        for document in collection.get(ids[start : start + _DOCUMENTS_AT_ONCE]):
            for passage in chunker.split(document):
                yield f"{document.title} {passage.text}".strip()
