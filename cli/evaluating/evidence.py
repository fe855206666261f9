"""Questions with evidence: which facts the passages of an index bring, by the published protocol and the usual one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from retr.cli.evaluating.asked import Asked, no_metric
from retr.cli.evaluating.showing import Result, result_of

if TYPE_CHECKING:
    from retr.index.answering import RerankBy
    from retr.index.collection import Collection
    from retr.index.settings import SearchSettings
    from retr.retrieval.evaluation.reading.evidence import Question


def results(asked: Asked) -> list[Result]:
    """Each mode's figures; the facts that no passage holds whole are told as `reachable`."""
    from retr.cli.evaluating.collections import collection_of, reranker, search_settings
    from retr.cli.output import warn
    from retr.retrieval.evaluation.evidence import evaluate_evidence, reachable
    from retr.retrieval.evaluation.reading.evidence import read_evidence

    no_metric(asked, "MultiHop-RAG's metrics and the usual ones beside them")
    assert asked.evidence is not None
    questions = read_evidence(asked.evidence)
    settings = search_settings(asked, group="passage")
    scorer = reranker(asked)
    facts = {question.id: question.facts for question in questions}
    asking = [question for question in questions if question.facts]
    found = []
    with collection_of(asked, None) as collection:
        most = reachable(facts, _passages(collection))
        for one in settings:
            hits = _found(asked, collection, asking, one, scorer)
            evaluation = evaluate_evidence(hits, facts)
            counts = {"queries": evaluation.queries, "left_out": len(evaluation.unjudged)}
            found.append(result_of(one.mode, evaluation, counts, {"task": "evidence", "reachable": most}))
    if len(asking) < len(questions):
        warn(f"Questions without a fact are left out: {len(questions) - len(asking)} of {len(questions)}.")
    return found


def _found(
    asked: Asked,
    collection: "Collection",
    questions: "list[Question]",
    settings: "SearchSettings",
    scorer: "RerankBy | None",
) -> dict[str, list[str]]:
    from retr.cli.progress import Progress
    from retr.index.settings import check_k
    from retr.retrieval.evaluation.evidence import DEPTH
    from retr.retrieval.evaluation.searching import QUERIES_AT_ONCE

    k, at_once = check_k(DEPTH if asked.k is None else asked.k), QUERIES_AT_ONCE if scorer in (None, "late") else 1
    texts: dict[str, list[str]] = {}
    with Progress("searched", total=len(questions), unit="queries", quiet=asked.quiet) as progress:
        for start in range(0, len(questions), at_once):
            part = questions[start : start + at_once]
            many = collection.search_many([one.text for one in part], k, settings=settings, rerank=scorer)
            for question, hits in zip(part, many, strict=True):
                texts[question.id] = [f"{hit.title}\n{hit.text}" for hit in hits]
            progress.advance(len(part))
    return texts


def _passages(collection: "Collection") -> Iterator[str]:
    """The passages as the index cut them, with their titles, since those are found with them."""
    chunker = collection.chunker
    ids = collection.ids()
    for start in range(0, len(ids), 1000):
        for document in collection.get(ids[start : start + 1000]):
            for passage in chunker.split(document):
                yield f"{document.title}\n{passage.text}"
