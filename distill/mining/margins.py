"""The margin chosen from scores: where a candidate is an unlabelled relevant document with a small enough chance.

All scores are taken relative to the query's own positive. Candidates are a mixture: a share of them is relevant and
was never labelled, and is assumed to be scored as the labelled ones are (selected completely at random; Elkan and
Noto, 2008). That share is estimated by the best bin estimator of Garg et al. (2021, arXiv 2111.00980). A candidate's
chance to be relevant then is share · density of known positives / density of candidates, estimated as a function that
does not fall with the score: the slopes of the greatest convex minorant of the one distribution function drawn over
the other, which is the convex hull of a ROC curve (Fawcett and Niculescu-Mizil, 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.errors import BadInput

Differences = NDArray[np.float64]

LEAST = 30
"""Differences of either kind without which no margin is chosen."""
WITHIN = 60
"""Differences between positives of one query from which on those of different queries are not asked."""
CONFIDENCE, WEIGHT = 0.1, 0.01
"""delta and gamma of the best bin estimator, as in its paper."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Scores less the score of the query's positive: of candidates, and of other known positives that were found."""

    candidates: Differences
    positives: Differences
    queries: int
    within: bool
    """Whether the positives are of one query, which is the better comparison."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A margin and why: the estimated share of relevant candidates, before and after those above it are dropped."""

    margin: float
    share: float
    share_kept: float
    chance_at_margin: float
    dropped: float
    positives: int
    within: bool


def compare(scores: Sequence[tuple[Differences, Differences, Sequence[bool]]], seed: int) -> Measured:
    """Differences from (scores of positives, of candidates, which positives the index found) of each query.

    Positives are compared within their query where enough queries have several, and with those of other queries, drawn
    by the seed, where not; that spreads them wider, since queries differ in how high they score.
    """
    candidates = [np.subtract.outer(others, own).ravel() for own, others, _ in scores]
    pairs = [
        own[other] - own[one]
        for own, _, found in scores
        for one in range(len(own))
        for other in range(len(own))
        if one != other and found[other]
    ]
    within = len(pairs) >= WITHIN
    positives = np.array(pairs, np.float64) if within else _between(scores, seed)
    joined = np.concatenate([np.empty(0), *candidates])
    return Measured(joined, positives, len(scores), within)


def _between(scores: Sequence[tuple[Differences, Differences, Sequence[bool]]], seed: int) -> Differences:
    own = np.array([each[0].max() for each in scores], np.float64)
    found = np.array([max(each[2]) for each in scores], bool)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(own))
    drawn = [np.empty(0)]
    for shift in range(1, min(len(own), 5)):
        one, other = order, np.roll(order, shift)
        drawn.append((own[other] - own[one])[found[other]])
    return np.concatenate(drawn)


def relevant_share(measured: Measured) -> float:
    """The share of candidates that are relevant, between 0 and 1: the least ratio of the two survival functions.

    The ratio is taken at the score where it is low and both functions are known well (the paper's Algorithm 1).
    """
    known, mixed = np.sort(measured.positives), np.sort(measured.candidates)
    scores = np.unique(known)
    of_known = 1 - np.searchsorted(known, scores, side="left") / len(known)
    of_mixed = 1 - np.searchsorted(mixed, scores, side="left") / len(mixed)
    noise = sum(np.sqrt(np.log(4 / CONFIDENCE) / (2 * count)) for count in (len(known), len(mixed)))
    bounds = (of_mixed + (1 + WEIGHT) * noise) / of_known
    best = int(np.argmin(bounds))
    return float(min(of_mixed[best] / of_known[best], 1.0))


def chances(measured: Measured, share: float) -> tuple[Differences, Differences]:
    """Steps of the chance to be relevant: scores at which a step ends, rising, and the chance up to there."""
    known, mixed = np.sort(measured.positives), np.sort(measured.candidates)
    scores = np.unique(mixed)
    across = np.searchsorted(mixed, scores, side="right") / len(mixed)
    up = share * np.searchsorted(known, scores, side="right") / len(known)
    corners = _minorant(np.concatenate([[0.0], across]), np.concatenate([[0.0], up]))
    slopes = [
        (up[right - 1] - (up[left - 1] if left else 0.0)) / (across[right - 1] - (across[left - 1] if left else 0.0))
        for left, right in pairwise(corners)
    ]
    return scores[np.array(corners[1:]) - 1], np.minimum(np.array(slopes), 1.0)


def _minorant(across: Differences, up: Differences) -> list[int]:
    """The corners of the greatest convex minorant of a rising curve (Andrew's monotone chain, the lower half)."""
    corners: list[int] = []
    for place in range(len(across)):
        while len(corners) > 1:
            before, last = corners[-2], corners[-1]
            turn = (across[last] - across[before]) * (up[place] - up[before])
            if turn > (up[last] - up[before]) * (across[place] - across[before]):
                break
            corners.pop()
        corners.append(place)
    return corners


def choose(measured: Measured, highest_chance: float) -> Choice:
    """The least margin, and none below 0, at which no candidate kept is relevant with more than this chance.

    So among negatives taken from the kept ones in whatever way, that share is relevant at most, as far as the
    assumption holds. BadInput for too few scores, and where even the lowest candidates are too likely relevant.
    """
    for name in ("candidates", "positives"):
        count = len(getattr(measured, name))
        if count < LEAST:
            raise BadInput(
                f"An auto margin is chosen from scores of at least {LEAST} {name}; there are {count}. "
                "Give more judged queries, or the margin as a number."
            )
    share = relevant_share(measured)
    ends, chance = chances(measured, share)
    allowed = np.flatnonzero(chance <= highest_chance)
    if not len(allowed):
        raise BadInput(
            f"An auto margin keeps what is relevant with a chance of at most {highest_chance:g}; even the lowest "
            f"candidates come to {chance[0]:.2f}. Look deeper, take a better scorer, or give the margin as a number."
        )
    margin = max(0.0, -float(ends[allowed[-1]]))
    kept = measured.candidates <= -margin
    expected = share * float(np.mean(measured.positives <= -margin)) / max(float(np.mean(kept)), 1e-12)
    step = int(np.searchsorted(ends, -margin, side="left"))
    return Choice(
        margin=margin,
        share=share,
        share_kept=min(expected, 1.0),
        chance_at_margin=float(chance[min(step, len(chance) - 1)]),
        dropped=1 - float(np.mean(kept)),
        positives=len(measured.positives),
        within=measured.within,
    )
