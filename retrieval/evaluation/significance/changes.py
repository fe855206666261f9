"""The queries behind a difference: where a system wins and loses most against its baseline."""

from collections.abc import Mapping
from dataclasses import dataclass

from retr.retrieval.evaluation.significance.comparing import Pair, Values, difference, table


@dataclass(frozen=True, slots=True)
class Change:
    """One query's values under the baseline and under the system."""

    query: str
    before: float
    after: float
    difference: float


def changes(systems: Mapping[str, Values], pair: Pair) -> list[Change]:
    """Every query of a pair, the largest loss first; equal differences by query id."""
    both = {name: {pair.metric: systems[name][pair.metric]} for name in (pair.baseline, pair.system)}
    values = table(both, pair.metric)
    deltas = difference(values[:, 1], values[:, 0]).tolist()
    rows = zip(both[pair.baseline][pair.metric], values.tolist(), deltas, strict=True)
    found = [Change(query, before, after, delta) for query, (before, after), delta in rows]
    return sorted(found, key=lambda change: (change.difference, change.query))


def largest(found: list[Change], top: int) -> tuple[list[Change], list[Change]]:
    """Of `changes`, the largest losses and the largest wins, at most `top` of each, the largest first."""
    losses = [change for change in found if change.difference < 0]
    wins = sorted((c for c in found if c.difference > 0), key=lambda change: (-change.difference, change.query))
    return losses[:top], wins[:top]
