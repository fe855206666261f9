"""Runs against judgements: runs from files, runs reranked, or runs made now by searching an index."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from retr.cli.evaluating.asked import Asked, flag
from retr.cli.evaluating.showing import Result, result_of

if TYPE_CHECKING:
    from retr.retrieval.evaluation.reading.beir import BeirFolder
    from retr.retrieval.protocols import Scorer
    from retr.retrieval.records import Query
    from retr.retrieval.runs import Qrels, Run

DEFAULT_METRICS = ("ndcg@10", "mrr@10", "recall@100")
HITS = 100
PLACE = "{mode}"
"""Stands in the name of --save-run for the run's own."""


def results(asked: Asked) -> list[Result]:
    """Each run's metrics."""
    from retr.retrieval.evaluation.ranking import parse_metric

    metrics = asked.metric or DEFAULT_METRICS
    deepest = max((depth or 0 for _, depth in map(parse_metric, metrics)), default=0)
    _check(asked)
    data = _data(asked)
    qrels = _qrels(asked, data)
    found = []
    for name, run in _runs(asked, data, qrels, max(HITS, deepest)):
        kept = run.without_self() if asked.drop_self else run
        facts = {}
        if asked.save_run is not None:
            facts["run"] = str(asked.save_run).replace(PLACE, name)
            kept.save(facts["run"])
        found.append(_scored(name, kept, qrels, metrics, facts))
    return found


def _check(asked: Asked) -> None:
    from retr.retrieval.errors import BadInput

    if asked.data is not None and asked.queries is not None:
        raise BadInput("--data holds queries of its own, so --queries has no meaning with it. Leave one of them out.")
    if asked.run and asked.rerank is None:
        for name in ("index", "encoder", "chunk_tokens", "mode", "k", "rerank_depth", "queries", "save_run"):
            if name in asked.given():
                raise BadInput(f"--run is scored as it is, so {flag(name)} has no meaning with it. Leave it out.")
    if asked.run and asked.rerank is not None and asked.data is None:
        raise BadInput("To rerank a run its texts are needed: give --data BEIR_FOLDER.")
    if not asked.run and asked.data is None and (asked.index is None or asked.qrels is None):
        raise BadInput(
            "--queries FILE is searched for in --index DIR and judged by --qrels FILE: all three are needed."
        )
    several = len(asked.run) > 1 or len(set(asked.mode)) > 1
    if asked.save_run is not None and several and PLACE not in str(asked.save_run):
        raise BadInput(
            f"--save-run {asked.save_run} would hold several runs. Write {PLACE} in its name: out.{PLACE}.trec."
        )


def _data(asked: Asked) -> "BeirFolder | None":
    from retr.retrieval.evaluation.reading.beir import open_beir
    from retr.retrieval.runs import Qrels

    if asked.data is None:
        return None
    return open_beir(asked.data, asked.split or "test", None if asked.qrels is None else Qrels.load(asked.qrels))


def _qrels(asked: Asked, data: "BeirFolder | None") -> "Qrels":
    from retr.retrieval.errors import BadInput
    from retr.retrieval.runs import Qrels

    if data is not None:
        return data.qrels
    if asked.qrels is None:
        raise BadInput("No judgements. Give --qrels FILE, or --data BEIR_FOLDER, which holds some.")
    return Qrels.load(asked.qrels)


def _runs(asked: Asked, data: "BeirFolder | None", qrels: "Qrels", hits: int) -> "Iterator[tuple[str, Run]]":
    if not asked.run:
        yield from _searched(asked, data, qrels, hits if asked.k is None else asked.k)
        return
    from retr.retrieval.evaluation.significance.values import system_names
    from retr.retrieval.runs import Run

    loaded = [(name, Run.load(path)) for name, path in zip(system_names(asked.run), asked.run, strict=True)]
    if asked.rerank is None:
        yield from loaded
        return
    assert data is not None
    scorer = _scorer(asked.rerank)
    for name, run in loaded:
        yield name, _reranked(asked, data, run, scorer)


def _reranked(asked: Asked, data: "BeirFolder", run: "Run", scorer: "Scorer") -> "Run":
    from retr.cli.evaluating.collections import DEFAULT_DEPTH
    from retr.cli.progress import Progress
    from retr.retrieval.evaluation.searching import documents_of, rerank_run

    depth = DEFAULT_DEPTH if asked.rerank_depth is None else asked.rerank_depth
    texts = documents_of(run, data)
    with Progress("reranked", total=len(data.queries), unit="queries", quiet=asked.quiet) as progress:
        return rerank_run(run, data.queries, texts, scorer, depth=depth, watch=progress.advance)


def _scorer(spec: str) -> "Scorer":
    from retr.opening import load_scorer

    return load_scorer(spec)


def _searched(asked: Asked, data: "BeirFolder | None", qrels: "Qrels", k: int) -> "Iterator[tuple[str, Run]]":
    from retr.cli.evaluating.collections import collection_of, reranker, search_settings
    from retr.cli.progress import Progress
    from retr.index.settings import check_k
    from retr.retrieval.evaluation.searching import QUERIES_AT_ONCE, search_run

    settings, k = search_settings(asked), check_k(k) + asked.drop_self
    queries = _queries(asked, data, qrels)
    scorer = reranker(asked)
    with collection_of(asked, data) as collection:
        for one in settings:

            def search(texts: list[str], chosen: Any = one) -> Any:
                return collection.search_many(texts, k, settings=chosen, rerank=scorer)

            label = f"searched, {one.mode}"
            with Progress(label, total=len(queries), unit="queries", quiet=asked.quiet) as progress:
                at_once = QUERIES_AT_ONCE if scorer in (None, "late") else 1
                run = search_run(queries, search, at_once=at_once, watch=progress.advance)
            yield one.mode, run


def _queries(asked: Asked, data: "BeirFolder | None", qrels: "Qrels") -> "tuple[Query, ...]":
    from retr.retrieval.corpus import read_queries
    from retr.retrieval.evaluation.reading.beir import judged_queries

    if data is not None:
        return data.queries
    assert asked.queries is not None
    return judged_queries(read_queries(asked.queries), qrels)


def _scored(name: str, run: "Run", qrels: "Qrels", metrics: Sequence[str], facts: dict[str, str]) -> Result:
    from retr.cli.output import warn
    from retr.retrieval.evaluation.ranking import evaluate

    evaluation = evaluate(run, qrels, metrics)
    if evaluation.missing:
        warn(f"Judged queries that the run does not hold count 0: {len(evaluation.missing)} of {evaluation.queries}.")
    if evaluation.unjudged:
        warn(f"Queries of the run without judgements are left out: {len(evaluation.unjudged)}.")
    counts = {
        "queries": evaluation.queries,
        "missing": len(evaluation.missing),
        "unjudged": len(evaluation.unjudged),
    }
    return result_of(name, evaluation, counts, facts)
