"""What the cells of training_mutual.py say: each metric by query and seed, its mean over seeds, tests between kinds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from training_mutual_kinds import KINDS

from retr.retrieval.evaluation.bootstrap import IntervalSettings, mean_intervals
from retr.retrieval.evaluation.selection import evaluate_selection
from retr.retrieval.evaluation.significance import CompareSettings, Pair, compare

METRICS = {"4": ("r4@1", "r4@2", "mrr"), "10": ("r10@1", "mrr"), "20": ("r20@1", "mrr")}
"""By the number of candidates, as in the cells."""
TESTED = {"4": ("r4@1", "mrr"), "10": ("r10@1",), "20": ("r20@1",)}
PerQuery = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over queries and seeds, the interval over queries (each being its mean over seeds), the seeds' spread."""

    mean: float
    low: float
    high: float
    seeds: Sequence[float]

    @property
    def spread(self) -> float | None:
        """The standard deviation of the seeds' means, where there are several."""
        return stdev(self.seeds) if len(self.seeds) > 1 else None

    def json(self) -> dict[str, Any]:
        """As recorded."""
        return {"mean": self.mean, "low": self.low, "high": self.high, "sd": self.spread, "seeds": list(self.seeds)}


@dataclass(frozen=True, slots=True)
class Measured:
    """Of every kind the same seeds. `values` and `figures` by number of candidates, kind and metric."""

    seeds: Sequence[int]
    values: Mapping[str, Mapping[str, PerQuery]]
    figures: Mapping[str, Mapping[str, Mapping[str, Figure]]]
    pairs: Mapping[tuple[str, str, str], Pair]
    """By metric, system and baseline; MRR is that of the dialogues' own four candidates."""

    def pair(self, metric: str, system: str, baseline: str) -> Pair:
        """One comparison; the later of `KINDS` against the earlier."""
        return self.pairs[metric, system, baseline]


def measured(cells: Sequence[Mapping[str, Any]], rights: Mapping[str, int], seed: int) -> Measured:
    """Everything of the seeds that all kinds have; SystemExit where there is none."""
    by_kind = {kind: {cell["seed"]: cell["scores"] for cell in cells if cell["kind"] == kind} for kind in KINDS}
    seeds = sorted(set.intersection(*(set(found) for found in by_kind.values())))
    if not seeds:
        missing = [kind for kind, found in by_kind.items() if not found]
        raise SystemExit(
            f"No seed is done for every kind yet; {', '.join(missing)} has none." if missing else "No seed."
        )
    values: dict[str, dict[str, PerQuery]] = {}
    figures: dict[str, dict[str, dict[str, Figure]]] = {}
    for count in METRICS:
        runs = {kind: [per_query(found[one][count], rights, count) for one in seeds] for kind, found in by_kind.items()}
        values[count] = {kind: averaged(found) for kind, found in runs.items()}
        figures[count] = {kind: figures_of(found, values[count][kind], seed) for kind, found in runs.items()}
    return Measured(seeds, values, figures, tests(values, seed))


def per_query(scores: Mapping[str, Sequence[float]], rights: Mapping[str, int], count: str) -> PerQuery:
    """{metric: {query: value}} of one cell; among equal scores the wrong candidates come first."""
    labels = {id: [int(at == rights[id]) for at in range(len(row))] for id, row in scores.items()}
    return evaluate_selection(scores, labels, METRICS[count]).per_query


def averaged(runs: Sequence[PerQuery]) -> PerQuery:
    """Each query's mean over the seeds."""
    return {metric: {id: fmean(run[metric][id] for run in runs) for id in values} for metric, values in runs[0].items()}


def figures_of(runs: Sequence[PerQuery], mean: PerQuery, seed: int) -> dict[str, Figure]:
    """Each metric's."""
    ends = mean_intervals(mean, IntervalSettings(seed=seed))
    return {
        metric: Figure(fmean(values.values()), *ends[metric], [fmean(run[metric].values()) for run in runs])
        for metric, values in mean.items()
    }


def tests(values: Mapping[str, Mapping[str, PerQuery]], seed: int) -> dict[tuple[str, str, str], Pair]:
    """Every kind against every earlier one; Holm's correction over all pairs and metrics of a number of candidates."""
    pairs = [
        pair
        for count, metrics in TESTED.items()
        for pair in compare(
            {kind: {metric: found[metric] for metric in metrics} for kind, found in values[count].items()},
            settings=CompareSettings(seed=seed),
        ).pairs
    ]
    return {(pair.metric, pair.system, pair.baseline): pair for pair in pairs}
