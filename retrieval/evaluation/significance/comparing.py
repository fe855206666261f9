"""`compare`: every system against a baseline, or every pair, on every metric, with one correction over all of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from retr.retrieval.errors import BadInput, Mismatch, unknown
from retr.retrieval.evaluation.significance.effects import detectable_effect, effect_interval
from retr.retrieval.evaluation.significance.intervals import intervals
from retr.retrieval.evaluation.significance.resampling import Floats
from retr.retrieval.evaluation.significance.settings import CompareSettings
from retr.retrieval.evaluation.significance.testing import ROUNDING, TESTS, holm, spread

Values = Mapping[str, Mapping[str, float]]
"""One system's values: {metric: {query id: value}}, larger is better."""


@dataclass(frozen=True, slots=True)
class Pair:
    """`system` beside `baseline` on one metric. A difference is the system's value less the baseline's.

    low, high: ends of the interval of the mean difference, of level 1 - alpha. p: of the test; adjusted_p: after
    Holm's correction over all pairs and metrics. effect: Cohen's d_z, the mean of the differences over their standard
    deviation, with its own interval; infinite if all differences are the same. wins: queries where the system is
    better. detectable: the smallest true difference found with the wanted power (at alpha over the number of
    comparisons); NaN without a spread, as then nothing is known of it.
    """

    metric: str
    system: str
    baseline: str
    difference: float
    low: float
    high: float
    p: float
    adjusted_p: float
    effect: float
    effect_low: float
    effect_high: float
    wins: int
    ties: int
    losses: int
    detectable: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """All pairs, metric by metric, with the means they stand on: means[metric][system], queries[metric]."""

    systems: tuple[str, ...]
    baseline: str | None
    means: Mapping[str, Mapping[str, float]]
    queries: Mapping[str, int]
    pairs: tuple[Pair, ...]
    settings: CompareSettings

    def verdict(self, pair: Pair) -> str:
        """`better` or `worse` when the adjusted p is at most alpha, else `unclear`."""
        if pair.adjusted_p > self.settings.alpha:
            return "unclear"
        return "better" if pair.difference > 0 else "worse"


def compare(
    systems: Mapping[str, Values], *, baseline: str | None = None, settings: CompareSettings | None = None
) -> Comparison:
    """Compare {system: {metric: {query id: value}}} over the same queries, with one family of tests.

    With a baseline (or two systems, the first being it) each other system is held against it; else every pair, the
    later against the earlier. BadInput for fewer than two systems or queries, or values that are not finite; Mismatch
    when the systems differ in metrics or queries; NotFound for an unknown baseline.
    """
    settings = settings or CompareSettings()
    names = tuple(systems)
    places = pairs_of(names, baseline)
    tables = {metric: table(systems, metric) for metric in checked_metrics(systems)}
    comparisons = len(places) * len(tables)
    raw = {metric: _differences(values, names, places) for metric, values in tables.items()}
    p_values = np.concatenate([TESTS[settings.test](differences, settings.draws) for differences in raw.values()])
    adjusted = holm(p_values)
    pairs: list[Pair] = []
    for metric, differences in raw.items():
        found = slice(len(pairs), len(pairs) + len(places))
        both = np.stack([p_values[found], adjusted[found]], axis=1)
        pairs += _pairs(metric, places, differences, both, (settings, comparisons))
    return Comparison(
        systems=names,
        baseline=places[0][0] if baseline is not None or len(names) == 2 else None,
        means={metric: dict(zip(names, _means(values), strict=True)) for metric, values in tables.items()},
        queries={metric: len(values) for metric, values in tables.items()},
        pairs=tuple(pairs),
        settings=settings,
    )


def pairs_of(names: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    """(baseline, system) of every comparison to make."""
    if len(names) < 2:
        raise BadInput(f"{len(names)} system was given; a comparison needs two or more.")
    if baseline is None:
        return list(combinations(names, 2))
    if baseline not in names:
        raise unknown("system to be the baseline", baseline, names)
    return [(baseline, name) for name in names if name != baseline]


def checked_metrics(systems: Mapping[str, Values]) -> list[str]:
    """The metrics that all systems have."""
    first, *others = systems
    for other in others:
        if set(systems[first]) != set(systems[other]):
            odd = sorted(set(systems[first]) ^ set(systems[other]))[0]
            raise Mismatch(f"{first!r} and {other!r} have different metrics: {odd!r} is in one of them alone.")
    if not systems[first]:
        raise BadInput("The systems have no metric to compare.")
    return list(systems[first])


def table(systems: Mapping[str, Values], metric: str) -> Floats:
    """One metric's values, float64 [queries, systems], with the queries in the first system's order."""
    first, *others = systems
    ids = list(systems[first][metric])
    for other in others:
        odd = systems[other][metric].keys() ^ set(ids)
        if odd:
            raise Mismatch(
                f"{first!r} and {other!r} are not over the same queries: {len(odd)} have a value in one of them alone, "
                f"such as {min(odd)!r}. Evaluate both with the same qrels."
            )
    if len(ids) < 2:
        raise BadInput(f"{metric} has values of {len(ids)} query; a comparison needs two or more, and better fifty.")
    values = np.array([[systems[name][metric][qid] for name in systems] for qid in ids], dtype=np.float64)
    if not np.isfinite(values).all():
        query, name = np.argwhere(~np.isfinite(values))[0].tolist()
        raise BadInput(f"{metric} of {list(systems)[name]!r} has no finite value for query {ids[query]!r}.")
    return values


def difference(after: Floats, before: Floats) -> Floats:
    """after - before; exactly 0 where they differ by the rounding of their last digits alone."""
    found = after - before
    found[np.abs(found) <= ROUNDING * np.maximum(np.abs(after), np.abs(before))] = 0.0
    return found


def _means(values: Floats) -> list[float]:
    return [math.fsum(column) / len(values) for column in values.T.tolist()]


def _differences(values: Floats, names: Sequence[str], places: Sequence[tuple[str, str]]) -> Floats:
    before, after = zip(*places, strict=True)
    return difference(values[:, [names.index(name) for name in after]], values[:, [names.index(n) for n in before]])


def _pairs(
    metric: str,
    places: Sequence[tuple[str, str]],
    differences: Floats,
    p_values: Floats,  # [pairs, 2]: as tested, and adjusted
    how: tuple[CompareSettings, int],
) -> list[Pair]:
    settings, comparisons = how
    queries, spreads = len(differences), spread(differences).tolist()
    ends = intervals(differences, settings.draws, settings.alpha, settings.interval)
    smallest = detectable_effect(queries, settings.alpha / comparisons, settings.power)
    found = []
    for number, (baseline, system) in enumerate(places):
        column, deviation = differences[:, number], spreads[number]
        mean = math.fsum(column.tolist()) / queries
        effect, effects = _effect(mean, deviation, queries, settings.alpha)
        wins, losses = int((column > 0).sum()), int((column < 0).sum())
        pair = Pair(
            metric=metric,
            system=system,
            baseline=baseline,
            difference=mean,
            low=ends[number][0],
            high=ends[number][1],
            p=float(p_values[number, 0]),
            adjusted_p=float(p_values[number, 1]),
            effect=effect,
            effect_low=effects[0],
            effect_high=effects[1],
            wins=wins,
            ties=queries - wins - losses,
            losses=losses,
            detectable=smallest * deviation if deviation else math.nan,
        )
        found.append(pair)
    return found


def _effect(mean: float, deviation: float, queries: int, alpha: float) -> tuple[float, tuple[float, float]]:
    """d_z and its interval; without a spread it is 0 or infinite, and its own interval."""
    if not deviation:
        effect = math.copysign(math.inf, mean) if mean else 0.0
        return effect, (effect, effect)
    effect = mean / deviation
    return effect, effect_interval(effect, queries, alpha)
