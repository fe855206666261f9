"""`retr eval`: score a run against relevance judgements."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.options import JsonOption

if TYPE_CHECKING:
    from retr.retrieval.evaluation.ranking import Evaluation

DEFAULT_METRICS = ("ndcg@10", "mrr@10", "recall@100")


def evaluate(
    run: Annotated[Path, typer.Option("--run", help="What was found: a TREC run or JSON, gzipped or not.")],
    qrels: Annotated[Path, typer.Option("--qrels", help="What is relevant: TREC qrels, a BEIR table or JSON.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", "-m", help=f"Such as ndcg@10; may be repeated. Without it: {', '.join(DEFAULT_METRICS)}."
        ),
    ] = None,
    per_query: Annotated[bool, typer.Option("--per-query", help="Show every query's own values too.")] = False,
    json: JsonOption = False,
) -> None:
    """Score a run against relevance judgements, with trec_eval's numbers.

    Metrics: ndcg, map, mrr, recall, precision, hits, judged; `@k` cuts the ranking. The mean is over all judged
    queries: one that the run does not hold counts 0, and one without judgements is left out.
    """
    from retr.cli.output import emit_json, warn
    from retr.retrieval.evaluation.ranking import evaluate as score
    from retr.retrieval.runs import Qrels, Run

    evaluation = score(Run.load(run), Qrels.load(qrels), metric or DEFAULT_METRICS)
    if evaluation.missing:
        warn(f"Judged queries that the run does not hold count 0: {len(evaluation.missing)} of {evaluation.queries}.")
    if evaluation.unjudged:
        warn(f"Queries of the run without judgements are left out: {len(evaluation.unjudged)}.")
    if json:
        emit_json(_answer(evaluation, per_query=per_query))
    else:
        _print(evaluation, per_query=per_query)


def _answer(evaluation: "Evaluation", *, per_query: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "metrics": dict(evaluation.means),
        "queries": evaluation.queries,
        "missing": len(evaluation.missing),
        "unjudged": len(evaluation.unjudged),
    }
    return answer | {"per_query": _by_query(evaluation)} if per_query else answer


def _print(evaluation: "Evaluation", *, per_query: bool) -> None:
    from retr.cli.output import print_line, print_table

    if per_query:
        rows = [[qid, *values.values()] for qid, values in _by_query(evaluation).items()]
        print_table(["query", *evaluation.means], [*rows, ["all", *evaluation.means.values()]])
    else:
        print_table(["metric", "mean"], list(evaluation.means.items()))
    print_line(f"{evaluation.queries} {'query' if evaluation.queries == 1 else 'queries'}")


def _by_query(evaluation: "Evaluation") -> dict[str, dict[str, float]]:
    first = next(iter(evaluation.per_query.values()))
    return {qid: {name: values[qid] for name, values in evaluation.per_query.items()} for qid in first}
