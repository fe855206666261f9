"""Results of `retr eval`, the same for every task, and how they are shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retr.retrieval.evaluation.bootstrap import Interval, IntervalSettings
    from retr.retrieval.evaluation.ranking import Evaluation

PerQuery = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Result:
    """One system's figures.

    `counts` says over how many what (the first names the unit); `per_query[metric][id]` is empty where the figures are
    of all examples together; `facts` are other things to know, such as thresholds. `intervals` computes the intervals.
    """

    name: str
    metrics: Mapping[str, float]
    counts: Mapping[str, int]
    per_query: PerQuery
    intervals: "Callable[[IntervalSettings], Mapping[str, Interval]]"
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """How results are shown: each query too, with intervals, as JSON."""

    per_query: bool
    intervals: "IntervalSettings | None"
    json: bool


def result_of(
    name: str, evaluation: "Evaluation", counts: Mapping[str, int], facts: Mapping[str, Any] | None = None
) -> Result:
    """A result whose metrics are means over queries."""
    from retr.retrieval.evaluation.bootstrap import mean_intervals

    per_query = evaluation.per_query
    return Result(
        name, evaluation.means, counts, per_query, lambda settings: mean_intervals(per_query, settings), facts or {}
    )


def show(results: Sequence[Result], shape: Shape) -> None:
    """Print one result, or a table of several."""
    from retr.cli.output import emit_json
    from retr.retrieval.errors import BadInput

    if shape.per_query and not all(result.per_query for result in results):
        raise BadInput("--per-query has no meaning here: these figures are of all examples together. Leave it out.")
    if shape.json:
        tables = {result.name: _json(result, shape) for result in results}
        emit_json(next(iter(tables.values())) if len(results) == 1 else {"runs": tables})
    elif len(results) == 1:
        _show_one(results[0], shape)
    else:
        _show_many(results, shape)


def by_query(per_query: PerQuery) -> dict[str, dict[str, float]]:
    """The values by query and then metric; a query has only the metrics that are defined for it."""
    table: dict[str, dict[str, float]] = {}
    for name, values in per_query.items():
        for id, value in values.items():
            table.setdefault(id, {})[name] = value
    return table


def _json(result: Result, shape: Shape) -> dict[str, Any]:
    table: dict[str, Any] = {"metrics": dict(result.metrics), **result.counts, **result.facts}
    if shape.intervals is not None:
        found = result.intervals(shape.intervals)
        settings = {"level": 1 - shape.intervals.alpha, "seed": shape.intervals.seed}
        table["intervals"] = {**settings, **{name: list(ends) for name, ends in found.items()}}
    return table | {"per_query": by_query(result.per_query)} if shape.per_query else table


def _show_one(result: Result, shape: Shape) -> None:
    from retr.cli.output import print_line, print_table

    if shape.per_query:
        _show_queries(result)
    if shape.intervals is not None:
        found = result.intervals(shape.intervals)
        print_table(
            ["metric", "mean", "95% from", "to"],
            [[name, value, *found.get(name, (None, None))] for name, value in result.metrics.items()],
        )
    elif not shape.per_query:
        print_table(["metric", "mean"], list(result.metrics.items()))
    print_line(_counted(result.counts))
    for line in _facts(result):
        print_line(line)


def _show_queries(result: Result) -> None:
    from retr.cli.output import print_table

    columns = list(result.metrics)
    rows = [[id, *(values.get(name) for name in columns)] for id, values in by_query(result.per_query).items()]
    print_table(["query", *columns], [*rows, ["all", *result.metrics.values()]])


def _facts(result: Result) -> list[str]:
    from retr.cli.output import cell

    return [f"{name.replace('_', ' ')}: {cell(value)}" for name, value in result.facts.items() if name != "task"]


def _show_many(results: Sequence[Result], shape: Shape) -> None:
    from retr.cli.output import print_line, print_table

    columns = list(results[0].metrics)
    if shape.intervals is None:
        print_table(["run", *columns], [[result.name, *result.metrics.values()] for result in results])
    else:
        found = [result.intervals(shape.intervals) for result in results]
        print_table(
            ["metric", "run", "mean", "95% from", "to"],
            [
                [name, result.name, result.metrics[name], *ends.get(name, (None, None))]
                for name in columns
                for result, ends in zip(results, found, strict=True)
            ],
        )
    for line in dict.fromkeys(_counted(result.counts) for result in results):
        print_line(line)
    for line in dict.fromkeys(line for result in results for line in _facts(result)):
        print_line(line)
    if shape.per_query:
        for result in results:
            print_line()
            print_line(result.name)
            _show_queries(result)


def _counted(counts: Mapping[str, int]) -> str:
    unit, count = next(iter(counts.items()))
    singular = {"queries": "query"}.get(unit, unit.removesuffix("s"))
    return f"{count:,} {singular if count == 1 else unit}"
