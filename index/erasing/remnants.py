"""What in an index folder is more than its living documents: files of no generation, old generations, dead rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from retr.index.dense.ann import ANN, open_ann
from retr.index.disk.leases import unread
from retr.index.disk.manifest import CURRENT, Manifest, generations_in, manifest_name, read_current, read_manifest
from retr.index.disk.pins import FOLDER as SNAPSHOTS
from retr.index.disk.pins import pins_in
from retr.index.disk.segments import DOCUMENTS
from retr.index.disk.verify import problems
from retr.index.lexical.postings import passages_in
from retr.index.snapshot import Snapshot
from retr.retrieval.errors import RetrError

_OURS = ("segments/", "lexical/", "deletes/", "manifest-")
_LOCKS = (".tantivy-writer.lock", ".tantivy-meta.lock")


def files_in(folder: Path) -> list[Path]:
    """Every file below the folder, by name; those that a writer removes meanwhile may be among them."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def structural(folder: Path, gone: frozenset[str]) -> Iterator[str]:
    """What the folder's structure says against erasure, a sentence each; `gone` are ids that must be in no file."""
    live = read_current(folder)
    yield from _kept(folder, live)
    yield from _unnamed(folder)
    yield from _dead_rows(folder, live)
    for path in files_in(folder):
        if path.suffix == ".parquet":
            yield from _ids(folder, path, gone)


def _kept(folder: Path, live: Manifest) -> Iterator[str]:
    names = pins_in(folder)
    for generation in generations_in(folder):
        if generation == live.generation:
            continue
        pinned = [repr(pin.name) for pin in names if pin.generation == generation]
        with unread(folder / manifest_name(generation)) as free:
            why = [f"snapshot {', '.join(pinned)} names it"] if pinned else []
            why += [] if free else ["a reader has it open"]
        reason = " and ".join(why) or "it was not cleared away"
        yield f"Generation {generation} is still there, with all that it holds: {reason}."


def _unnamed(folder: Path) -> Iterator[str]:
    """Files where only the index writes, that no generation names."""
    named = {CURRENT, "LOCK"}
    for generation in generations_in(folder):
        name = manifest_name(generation)
        try:
            named |= {name, *read_manifest(folder, name).files()}
        except RetrError as error:
            yield str(error)
    for path in files_in(folder):
        name = path.relative_to(folder).as_posix()
        ours = name.startswith(_OURS) or path.suffix == ".tmp"
        empty = path.name in _LOCKS or name.startswith(f"{SNAPSHOTS}/")
        if ours and name not in named and not empty:
            yield f"{name!r} belongs to no generation."


def _dead_rows(folder: Path, live: Manifest) -> Iterator[str]:
    damaged = list(problems(folder, live))
    yield from damaged
    if damaged:
        return
    try:
        snapshot = Snapshot(folder, live)
    except RetrError as error:
        yield str(error)
        return
    dead = int(np.count_nonzero(~snapshot.live))
    if dead:
        yield f"The segments of generation {live.generation} still hold {dead} deleted documents."
    ids = [id for _, id in snapshot.all_ids()]
    if not len(ids) == len(set(ids)) == live.live_documents:
        yield f"{len(set(ids))} ids belong to {len(ids)} documents; the manifest says {live.live_documents}."
    if not dead and live.next_row != live.live_passages:
        yield f"The segments hold {live.next_row} passages; {live.live_passages} live."
    if live.lexical_folder:
        passages, deleted = passages_in(folder / live.lexical_folder)
        if deleted or passages != live.live_passages:
            yield (
                f"{live.lexical_folder!r} holds {passages} passages, {deleted} of them deleted; "
                f"{live.live_passages} live."
            )
    yield from _graphs(snapshot)
    yield from _tokens(snapshot)


def _tokens(snapshot: Snapshot) -> Iterator[str]:
    """Files of token vectors hold those of as many passages as there are rows, and no more."""
    for segment in snapshot.segments:
        try:
            if segment.late is None and snapshot.manifest.late is not None:
                yield f"The segment {segment.facts.name} has no token vectors."
        except RetrError as error:
            yield str(error)


def _graphs(snapshot: Snapshot) -> Iterator[str]:
    """FAISS files hold codes, in which no vector's bytes are found: they must hold as many as there are rows."""
    for segment in snapshot.segments:
        facts = segment.facts
        if ANN in facts.files and snapshot.manifest.dim is not None:
            try:
                open_ann(segment.path / ANN, str(facts.dense["kind"]), facts.rows, snapshot.manifest.dim).get(1)
            except RetrError as error:
                yield str(error)


def _ids(folder: Path, path: Path, gone: frozenset[str]) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    name = path.relative_to(folder).as_posix()
    try:
        column = pq.read_table(path, columns=["id"], use_threads=False).column("id")
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, pa.ArrowException):
        # Not a whole file of documents; its bytes are searched all the same.
        if path.name == DOCUMENTS:
            yield f"{name!r} cannot be read as Parquet."
        return
    found = column.filter(pc.is_in(column, value_set=pa.array(sorted(gone), pa.string()))).to_pylist()
    if found:
        yield f"{name!r} holds {len(found)} rows with ids of deleted documents, such as {found[0]!r}."


def lexical_folders(folder: Path) -> list[Path]:
    """Every folder of postings, those of no generation too."""
    return sorted(path.parent for path in folder.rglob("meta.json"))


def terms_in(path: Path, terms: Sequence[str]) -> list[bool]:
    """Whether each term stands in the dictionaries of a folder of postings, be it for deleted passages alone."""
    searcher = _opened(path).searcher()
    return [searcher.doc_freq("body", term) > 0 for term in terms]


def unused_terms(path: Path) -> Callable[[Iterable[str]], list[str]]:
    """What tells those terms that no living passage of a folder of postings has."""
    index = _opened(path)
    schema, searcher = index.schema, index.searcher()

    def used(term: str) -> bool:
        query = tantivy.Query.term_query(schema, "body", term, "basic")
        return bool(searcher.search(query, 1, count=False).hits)

    return lambda terms: [term for term in terms if not used(term)]


def _opened(path: Path) -> Any:
    return tantivy.Index.open(str(path))
