"""A table fitted to a corpus: the mean of a passage's rows shall point where the teacher's vector of it points.

Ridge regression around the table of single words, solved by conjugate gradients (Hestenes and Stiefel, 1952), with the
diagonal as preconditioner. It has the aim of tokenlearn (Minish Lab, 2024, the training behind POTION), without torch
and without a learning rate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retr.encoders.static.summing import sums
from retr.retrieval.embeddings import Floats

ROUNDS = 2
"""The lengths of the means are set anew before each."""

STEPS = 10
ENOUGH = 1e-8
"""Share of the squared residual below which nothing is left to do."""

TINY = 1e-12

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Passages:
    """Token numbers end to end, int32 [tokens], and how many each passage has, [passages]."""

    ids: NDArray[np.int32]
    lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """One round's least squares: how rows make passages' vectors (`scale` [passages, 1]), and the prior."""

    passages: Passages
    backwards: Passages
    scale: Floats
    pull: np.float32

    def predicted(self, table: Floats) -> Floats:
        """[rows, dim] to [passages, dim]."""
        return sums(table, self.passages.ids, self.passages.lengths) * self.scale

    def spread(self, errors: Floats) -> Floats:
        """[passages, dim] to [rows, dim], the transpose of `predicted`."""
        return sums(errors * self.scale, self.backwards.ids, self.backwards.lengths)

    def curvature(self, change: Floats) -> Floats:
        """The matrix of the normal equations times a change of the table."""
        return np.asarray(self.spread(self.predicted(change)) + self.pull * change, np.float32)

    def diagonal(self) -> Floats:
        """The matrix's own diagonal, [rows, 1], as if no passage held a row twice."""
        return np.asarray(sums(self.scale**2, self.backwards.ids, self.backwards.lengths) + self.pull, np.float32)


def fit(table: Floats, passages: Passages, targets: Floats, prior: float, report: Report) -> Floats:
    """The table [rows, dim] moved towards the unit vectors `targets` [passages, dim]; rows in no passage stay.

    It makes the sum over passages of |s / l - t|^2 + the sum over rows of p |row - row before|^2 small: s is the sum of
    a passage's rows, l the length of s before the round, t its target, p is `prior` times the mean of 1 / l^2. So the
    prior weighs as much as that many passages that hold the row once.
    """
    used, places = np.unique(passages.ids, return_inverse=True)
    some = Passages(places.astype(np.int32), passages.lengths)
    backwards = _transposed(some, len(used))
    before = moved = table[used]
    for number in range(ROUNDS):
        lengths = np.linalg.norm(sums(moved, some.ids, some.lengths), axis=1, keepdims=True)
        scale = np.asarray(1 / np.maximum(lengths, TINY), np.float32)
        scale[lengths < TINY] = 0  # A passage of unknown words alone says nothing.
        problem = _Problem(some, backwards, scale, np.float32(prior * np.mean(scale**2)))
        right = problem.spread(targets - problem.predicted(moved)) - problem.pull * (moved - before)
        change = _solve(problem, np.asarray(right, np.float32), number * STEPS, report)
        moved = np.asarray(moved + change, np.float32)
    out = table.copy()
    out[used] = moved
    return out


def _solve(problem: _Problem, right: Floats, done: int, report: Report) -> Floats:
    """x where curvature(x) = right, after STEPS steps, or fewer where nothing is left."""
    found = np.zeros_like(right)
    easing = np.asarray(1 / problem.diagonal(), np.float32)
    left = right.copy()
    way = left * easing
    size = first = _dot(left, way)
    for step in range(1, STEPS + 1):
        if size > ENOUGH * first:
            image = problem.curvature(way)
            far = np.float32(size / _dot(way, image))
            found += far * way
            left -= far * image
            eased = left * easing
            size, before = _dot(left, eased), size
            way = np.asarray(eased + np.float32(size / before) * way, np.float32)
        report("fitting steps", done + step, ROUNDS * STEPS)
    return found


def _dot(one: Floats, other: Floats) -> float:
    return float(np.sum(one.astype(np.float64) * other))


def _transposed(passages: Passages, rows: int) -> Passages:
    """For each row of the table, the passages that hold it, as often as they do."""
    owners = np.repeat(np.arange(len(passages.lengths), dtype=np.int32), passages.lengths)
    order = np.argsort(passages.ids, kind="stable")
    return Passages(owners[order], np.bincount(passages.ids, minlength=rows).astype(np.int64))
