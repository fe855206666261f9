"""Queries to a run: by a search of any kind, or by reranking a run that is there."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from retr.retrieval.errors import Mismatch
from retr.retrieval.evaluation.reading.beir import BeirFolder
from retr.retrieval.protocols import Scorer
from retr.retrieval.records import Document, Hit, Query
from retr.retrieval.rerank import rerank
from retr.retrieval.runs import Run, ranked

Search = Callable[[list[str]], Sequence[Sequence[Hit]]]
"""Texts of queries to the hits of each, best first, such as `lambda texts: collection.search_many(texts, 100)`."""
Watch = Callable[[int], object]
"""Told how many queries are newly done."""

QUERIES_AT_ONCE = 256


def search_run(
    queries: Sequence[Query], search: Search, *, at_once: int = QUERIES_AT_ONCE, watch: Watch = lambda done: None
) -> Run:
    """The hits of every query, in parts of so many. A document found by several passages has its best score."""
    found: dict[str, dict[str, float]] = {}
    for start in range(0, len(queries), at_once):
        part = queries[start : start + at_once]
        for query, hits in zip(part, search([query.text for query in part]), strict=True):
            found[query.id] = {hit.id: hit.score for hit in reversed(hits)}
        watch(len(part))
    return Run(found)


def rerank_run(
    run: Run,
    queries: Iterable[Query],
    documents: Mapping[str, Document],
    scorer: Scorer,
    *,
    depth: int | None = None,
    watch: Watch = lambda done: None,
) -> Run:
    """The run's documents in the scorer's order: the first `depth` of each query (None: all), the rest below them.

    Only `queries` are kept. Mismatch for a document of the run whose text is not among `documents`.
    """
    found: dict[str, dict[str, float]] = {}
    for query in queries:
        scores = run.scores.get(query.id)
        if scores:
            hits = [_hit(id, rank, scores[id], documents) for rank, id in enumerate(ranked(scores), start=1)]
            found[query.id] = {hit.id: hit.score for hit in rerank(query.text, hits, scorer, depth=depth)}
        watch(1)
    return Run(found)


def documents_of(run: Run, data: BeirFolder) -> dict[str, Document]:
    """The documents of a corpus that a run names for the judged queries, by id."""
    wanted = {id for query in data.queries for id in run.scores.get(query.id, {})}
    return {document.id: document for document in data.documents() if document.id in wanted}


def _hit(id: str, rank: int, score: float, documents: Mapping[str, Document]) -> Hit:
    document = documents.get(id)
    if document is None:
        raise Mismatch(f"The run names the document {id!r}, which is not in the corpus. Are they of the same data set?")
    return Hit(id, score, rank, document.title, document.text)
