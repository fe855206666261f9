"""The index that `retr eval` searches: the one given, one made and kept, or one made for the moment."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retr.cli.evaluating.asked import Asked
    from retr.index.answering import RerankBy
    from retr.index.collection import Collection
    from retr.index.settings import SearchSettings
    from retr.retrieval.evaluation.reading.beir import BeirFolder

DEFAULT_MODE = "hybrid"
DEFAULT_DEPTH = 50


def search_settings(asked: "Asked", **more: str) -> "list[SearchSettings]":
    """The settings of each mode that was asked for."""
    from retr.index.settings import SearchSettings

    depth = DEFAULT_DEPTH if asked.rerank_depth is None else asked.rerank_depth
    return [
        SearchSettings(mode=mode, rerank_depth=depth, **more)  # type: ignore[arg-type]  # checked by SearchSettings
        for mode in dict.fromkeys(asked.mode or (DEFAULT_MODE,))
    ]


def reranker(asked: "Asked") -> "RerankBy | None":
    """The second stage of a search: a scorer, or `late`, the token vectors that the index holds."""
    from retr.opening import load_reranker

    return None if asked.rerank is None else load_reranker(asked.rerank)


@contextmanager
def collection_of(asked: "Asked", data: "BeirFolder | None") -> "Iterator[Collection]":
    """The index of `--index`, filled from the data folder if there is none yet; without it a temporary one."""
    from retr.index.disk.manifest import holds_index
    from retr.retrieval.errors import NotFound

    if asked.index is None:
        if data is None:
            raise NotFound("No index to search. Give --index DIR, or --data BEIR_FOLDER to make one for the moment.")
        with tempfile.TemporaryDirectory(prefix="retr-eval-") as folder:
            yield _filled(asked, data, Path(folder) / "index")
    elif holds_index(asked.index):
        yield _as_asked(asked, data)
    elif data is None:
        raise NotFound(f"No index at {str(asked.index)!r}. Make one with: retr index SOURCE --index {asked.index}")
    else:
        yield _filled(asked, data, asked.index)


def _filled(asked: "Asked", data: "BeirFolder", folder: Path) -> "Collection":
    from itertools import chain, islice

    from retr.cli.making import Asked as Making
    from retr.cli.making import opened
    from retr.cli.output import warn
    from retr.cli.progress import track
    from retr.retrieval.evaluation.reading.beir import CorpusReport

    words_only = asked.encoder is None and set(asked.mode) == {"lexical"} and asked.index is None
    encoder = "none" if words_only else asked.encoder
    report = CorpusReport()
    documents = track(data.documents(report), "indexed", quiet=asked.quiet)
    first = list(islice(documents, 1))  # Read before an index is made, so that a wrong folder leaves nothing behind.
    collection = opened(folder, Making(encoder, asked.chunk_tokens))
    collection.add(chain(first, documents))
    if report.skipped:
        warn(f"Documents without a text, which nothing can find: {report.skipped:,}, the first {report.problems[0]}.")
    return collection


def _as_asked(asked: "Asked", data: "BeirFolder | None") -> "Collection":
    from retr.cli.making import Asked as Making
    from retr.cli.making import opened
    from retr.cli.output import warn
    from retr.retrieval.errors import Mismatch

    assert asked.index is not None
    collection = opened(asked.index, Making(asked.encoder, asked.chunk_tokens))
    if data is None:
        return collection
    there = set(collection.ids())
    wanted = {document.id for document in data.documents()}
    lacking = len(wanted - there)
    if lacking:
        raise Mismatch(
            f"The index {str(asked.index)!r} lacks {lacking:,} of the {len(wanted):,} documents of the corpus. "
            f"Name another --index, or complete it with: retr index {data.folder} --index {asked.index}"
        )
    if len(there) > len(wanted):
        warn(
            f"The index holds {len(there) - len(wanted):,} documents that are not in the corpus; they are searched too."
        )
    return collection
