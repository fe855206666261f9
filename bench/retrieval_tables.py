"""What bench/retrieval.py measured: means with intervals, tests against BM25, the pages' figures, the differences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from retrieval_sets import SETS
from retrieval_systems import BASELINE
from tables import Table, number

from retr.retrieval.evaluation.bootstrap import IntervalSettings, mean_intervals
from retr.retrieval.evaluation.significance import CompareSettings, Pair, compare
from retr.retrieval.evaluation.significance.testing import holm

MAIN = "ndcg@10"
SHOWN = (MAIN, "mrr@10", "recall@100")
LARGEST_UNEXPLAINED = 0.01
RERANKED = "msmarco-dl19-top100"
STATED = SETS[RERANKED].figures["cross"].value
TITLES = {"scifact": "SciFact test", "medquad": "MedQuAD test", RERANKED: "TREC DL 2019, reranking"}
"""Where the results page calls a set by another name, because papers report on it."""

KINDS = {
    "bm25": ("bm25", "BM25"),
    "dense": ("bi", "all-MiniLM-L6-v2 in int8"),
    "dense-float32": ("bi", "all-MiniLM-L6-v2 in float32"),
    "hybrid": ("hybrid", "BM25 and dense, fused by rank"),
    "bm25+cross": ("cross", "BM25, reranked by MiniLM-L-12"),
    "hybrid+cross": ("cross", "hybrid, reranked by MiniLM-L-12"),
    "cross": ("cross", "given candidates, reranked by MiniLM-L-12"),
}
"""A system to what the results page sorts it under, and calls it."""

MODELS = {(RERANKED, "cross"): "BM25's first 100, reranked by MiniLM-L-12"}
"""Where a table must say more than the plot's legend does."""

Row = dict[str, Any]


def result(measured: Sequence[Mapping[str, Any]], why: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """What is recorded beside machine and versions: a row a set and system, the values, the tables."""
    by_set: dict[str, list[Mapping[str, Any]]] = {}
    for one in measured:
        by_set.setdefault(one["set"], []).append(one)
    rows = [row for name, found in by_set.items() for row in rows_of(found, why.get(name, {}), seed)]
    depth = why.get(RERANKED, {}).get("depth")
    return {
        "rows": rows,
        "findings": [finding_of(row) for row in rows],
        "values": {name: values_of(found) for name, found in by_set.items()},
        "tables": [main_table(rows).json(), page_table(rows).json(), why_table(rows).json()],
        "caption": caption(seed),
        **({"depth": {**depth, "stated": STATED, "table": depth_table(depth).json()}} if depth else {}),
    }


def rows_of(found: Sequence[Mapping[str, Any]], why: Mapping[str, Any], seed: int) -> list[Row]:
    """One set's systems."""
    pairs = {pair.system: pair for pair in tests(found, seed)}
    return [row_of(one, pairs.get(one["system"]), why, seed) for one in found]


def row_of(one: Mapping[str, Any], pair: Pair | None, why: Mapping[str, Any], seed: int) -> Row:
    """Means, intervals, the test, the page's figure with the difference and its reasons, the command."""
    name, system = one["set"], one["system"]
    ends = mean_intervals(one["values"], IntervalSettings(seed=seed))
    row = {key: one[key] for key in ("set", "system", "documents", "queries", "of_queries", "reranked", "cpu_seconds")}
    row |= {"commit": one["commit"], "about": SETS[name].about}
    row["metrics"] = {
        metric: {"mean": mean(values), "low": ends[metric][0], "high": ends[metric][1]}
        for metric, values in one["values"].items()
        if metric != "recall@100" or not SETS[name].reranking
    }
    if pair is not None:
        keys = ("difference", "low", "high", "p", "adjusted_p", "wins", "ties", "losses")
        row["against_bm25"] = {key: getattr(pair, key) for key in keys}
    figure = SETS[name].figures.get(system)
    if figure is not None:
        difference = mean(one["values"][figure.metric]) - figure.value
        row["page"] = {
            "metric": figure.metric,
            "value": figure.value,
            "source": figure.source,
            "difference": difference,
        }
        steps = why.get(system, [])
        row["page"]["steps"] = [{"step": step["step"], "value": step[figure.metric]} for step in steps]
    row["command"] = f"python bench/retrieval.py --sets {name} --systems {system}"
    return row


def finding_of(row: Row) -> Row:
    """What the results page shows of a row."""
    system, model = KINDS[row["system"]]
    data = TITLES.get(row["set"], row["set"])
    named_so = {"model": MODELS.get((row["set"], row["system"]), model), "legend": model}
    asked = {"queries": row["queries"], "command": row["command"]}
    return {"system": system, **named_so, "data": data, "metric": "nDCG@10", **row["metrics"][MAIN], **asked}


def tests(found: Sequence[Mapping[str, Any]], seed: int) -> Iterator[Pair]:
    """Each system against BM25 over the queries that it answered; one Holm correction over the systems of a set.

    Systems that answered fewer queries cannot share a table of differences, so p is adjusted here over all of them.
    """
    values = {one["system"]: one["values"][MAIN] for one in found}
    base = values.pop(BASELINE, None)
    if base is None:
        return
    pairs: list[Pair] = []
    for system, own in values.items():
        both = {BASELINE: {MAIN: {id: base[id] for id in own}}, system: {MAIN: own}}
        pairs += compare(both, baseline=BASELINE, settings=CompareSettings(seed=seed)).pairs
    adjusted = holm(np.array([pair.p for pair in pairs]))
    yield from (replace(pair, adjusted_p=float(p)) for pair, p in zip(pairs, adjusted, strict=True))


def values_of(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every query's nDCG@10: ids once, a list a system, null where a query was not asked."""
    ids = list(dict.fromkeys(id for one in found for id in one["values"][MAIN]))
    systems = {one["system"]: [one["values"][MAIN].get(id) for id in ids] for one in found}
    return {"queries": " ".join(ids) if not any(" " in id for id in ids) else ids, MAIN: systems}


def main_table(rows: Sequence[Row]) -> Table:
    """Means with their intervals, and the difference to BM25."""
    columns = ["set", "system", "queries", *(f"{metric} [95%]" for metric in SHOWN), "− BM25 [95%]", "p, adjusted"]
    lines, last = [], ""
    for row in rows:
        first = f"{row['set']} ({row['documents']:,} texts)" if row["set"] != last else ""
        last = row["set"]
        asked = (
            str(row["queries"]) if row["queries"] == row["of_queries"] else f"{row['queries']} of {row['of_queries']}"
        )
        means = [interval(row["metrics"].get(metric)) for metric in SHOWN]
        lines.append([first, named(row), asked, *means, *against(row.get("against_bm25"))])
    return Table(columns, lines)


def page_table(rows: Sequence[Row]) -> Table:
    """Our value beside the page's."""
    lines = []
    for row in rows:
        if page := row.get("page"):
            own = number(row["metrics"][page["metric"]]["mean"], 4)
            cells = [page["metric"], own, number(page["value"], 4), f"{page['difference']:+.4f}", page["source"]]
            lines.append([row["set"], row["system"], *cells])
    return Table(["set", "system", "metric", "here", "stated", "difference", "stated by"], lines)


def why_table(rows: Sequence[Row]) -> Table:
    """Of the figures that are far from the page's: what each experiment gave, the nearest marked if it is near."""
    lines = []
    for row in rows:
        page = row.get("page")
        if not page or abs(page["difference"]) <= LARGEST_UNEXPLAINED or not page["steps"]:
            continue
        name = f"{row['set']}, {row['system']}, {page['metric']}"
        lines += [
            [name, "stated", number(page["value"], 4)],
            ["", "here", number(row["metrics"][page["metric"]]["mean"], 4)],
        ]
        nearest = min(page["steps"], key=lambda step: away(step, page))
        for step in page["steps"]:
            found = step is nearest and away(step, page) <= LARGEST_UNEXPLAINED
            mark = " (nearest to the stated figure)" if found else ""
            lines.append(["", f"{step['step']}{mark}", number(step["value"], 4)])
    return Table(["figure", "experiment", "value"], lines)


def away(step: Mapping[str, Any], page: Mapping[str, Any]) -> float:
    """How far from the stated figure an experiment ended."""
    return float(abs(step["value"] - page["value"]))


def depth_table(depth: Mapping[str, Any]) -> Table:
    """TREC DL 2019 with other candidates: what is among them, the best order, the reranker's order."""
    columns = ["candidates", "a query", "of the relevant", "best order", "reranked [95%]", "− the first 100 [95%]"]
    lines = []
    for row in depth["rows"]:
        sizes = [number(row["passages"], 0), f"{100 * row['relevant']:.0f}%", number(row["best"], 3)]
        beside = row["against_100"]
        less = f"{beside['difference']:+.3f} [{beside['low']:+.3f}, {beside['high']:+.3f}]"
        lines.append([row["candidates"], *sizes, interval(row), less])
    return Table(columns, lines)


def named(row: Row) -> str:
    """The system with how deep it reranks."""
    return f"{row['system']} (depth {row['reranked']})" if row["reranked"] else str(row["system"])


def interval(found: Mapping[str, float] | None) -> str:
    """A mean with its interval."""
    return f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" if found else "-"


def against(found: Mapping[str, float] | None) -> tuple[str, str]:
    """The difference with its interval, and its adjusted p."""
    if found is None:
        return "", ""
    p = found["adjusted_p"]
    return (
        f"{found['difference']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]",
        f"{p:.4f}" if p >= 0.0001 else "<0.0001",
    )


def mean(values: Mapping[str, float]) -> float:
    """Over all queries."""
    return sum(values.values()) / len(values)


def caption(seed: int) -> str:
    """How the numbers were made."""
    return (
        "nDCG@10, MRR@10 and recall@100 over the judged test queries, one vector a text; intervals: percentile "
        f"bootstrap over queries, 10,000 draws, seed {seed}; tests: paired randomisation of nDCG@10 against BM25 over "
        "the same queries, adjusted by Holm over the systems of a set. Where a system was asked fewer queries, they "
        "were drawn with the seed. dense is the default int8 all-MiniLM-L6-v2, dense-float32 the same model in "
        "float32, hybrid reciprocal rank fusion of dense and BM25, cross ms-marco-MiniLM-L-12-v2 "
        "(`bench/cross_folder.py`, then `retr export --precision int8`), over the first so many of what is named "
        "before it. On MS MARCO, grades from 2 on count as relevant for MRR and recall."
    )
