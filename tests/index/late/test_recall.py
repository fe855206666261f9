"""What coding and scanning lose against exact MaxSim, and that more effort never loses more."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.late.index import LateIndex
from retr.index.late.settings import Effort

from .conftest import Made, World

ALL = Effort(candidates=1 << 30)


def recall(index: LateIndex, world: World, effort: Effort | None = None, k: int = 10) -> float:
    found = index.search(world.queries, k, effort=effort).rows
    return share(found, world.best(k))


def share(found: NDArray[np.int64], best: NDArray[np.int64]) -> float:
    both = [len(set(ours) & set(theirs)) for ours, theirs in zip(found.tolist(), best.tolist(), strict=True)]
    return sum(both) / best.size


@pytest.mark.parametrize(("bits", "least"), [(8, 0.99), (4, 0.97), (2, 0.93)])
def test_coding_keeps_the_best_documents(made: Made, world: World, bits: int, least: float) -> None:
    assert recall(made(bits), world, ALL) >= least


@pytest.mark.parametrize(("bits", "least"), [(80, 0.98), (4, 0.96), (2, 0.92)])
def test_a_scan_lets_the_best_documents_through(made: Made, world: World, bits: int, least: float) -> None:
    effort = Effort(candidates=512)
    assert made(bits).search_explained(world.queries, 10, effort=effort)[1]["plan"].startswith("scan of all codes")
    assert recall(made(bits), world, effort) >= least


def test_more_candidates_and_more_bits_lose_less(made: Made, world: World) -> None:
    by_effort = [recall(made(4), world, Effort(candidates=count)) for count in (12, 64, 256, 1024)]
    assert all(more >= less - 0.01 for less, more in pairwise(by_effort))
    assert by_effort[0] < by_effort[-1]
    by_bits = [recall(made(bits), world, ALL) for bits in (2, 4, 8)]
    assert all(more >= less - 0.01 for less, more in pairwise(by_bits))


@pytest.mark.parametrize("bits", [8, 80, 4, 2])
def test_a_document_finds_itself_by_its_own_tokens(made: Made, world: World, bits: int) -> None:
    index = made(bits)
    rows = np.arange(0, len(index), 50)
    found = [index.search(index.vectors(rows[n : n + 1]), 1).rows[0, 0] for n in range(len(rows))]
    assert found == rows.tolist()
