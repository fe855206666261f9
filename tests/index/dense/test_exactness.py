"""Every plan that claims to be exact gives the brute-force answer; every other gives as many rows as match."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.dense.parts import DensePart
from retr.index.dense.settings import DenseSettings

from .conftest import KINDS, ROWS, STORAGES, Build, brute_force, clustered, reopened, some, true_scores

# Of 3,000 rows: none, one, then 0.1 % to 100 %.
MATCHING = (0, 1, 3, 30, 300, 1_500, 2_999, 3_000)


def check(part: DensePart, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_], *, exact: bool) -> None:
    found = part.search(queries, k, allowed, exact=exact)
    scores = true_scores(part, queries)
    expected = brute_force(scores, k, allowed)
    here = expected >= 0
    best = np.take_along_axis(scores, np.maximum(expected, 0), 1)
    np.testing.assert_array_equal(found.rows >= 0, here)
    np.testing.assert_allclose(found.scores[here], best[here], atol=2e-6)
    assert np.isneginf(found.scores[~here]).all()
    own = np.take_along_axis(scores, np.maximum(found.rows, 0), 1)
    np.testing.assert_allclose(found.scores[here], own[here], atol=2e-6)
    assert all(len(set(line[line >= 0])) == np.count_nonzero(line >= 0) for line in found.rows)
    close = np.abs(np.diff(best, axis=1, append=-np.inf)) < 1e-6
    if not close[here].any():
        np.testing.assert_array_equal(found.rows, expected)


@pytest.mark.parametrize("matching", MATCHING)
@pytest.mark.parametrize("storage", STORAGES)
def test_a_flat_part_is_exact(parts: Build, queries: NDArray[np.float32], storage: str, matching: int) -> None:
    check(parts("flat", storage), queries, 10, some(ROWS, matching), exact=False)


@pytest.mark.parametrize("kind", ["flat", "pq"])
def test_one_row_in_ten_thousand_is_found(tmp_path: Path, queries: NDArray[np.float32], kind: str) -> None:
    part = reopened(tmp_path, clustered(10_000), DenseSettings(kind=kind))  # type: ignore[arg-type]
    for matching in (1, 2, 10):
        check(part, queries, 10, some(10_000, matching), exact=False)


@pytest.mark.parametrize("matching", MATCHING)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exact_when_asked(parts: Build, queries: NDArray[np.float32], kind: str, matching: int) -> None:
    check(parts(kind), queries, 10, some(ROWS, matching), exact=True)
    check(parts(kind), queries[:1], 10, some(ROWS, matching), exact=True)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_few_rows_that_match_are_scored_exactly(
    parts: Build, queries: NDArray[np.float32], kind: str, storage: str
) -> None:
    for matching in (1, 3, 30, 300):
        allowed = some(ROWS, matching)
        assert parts(kind, storage).search(queries[:1], 10, allowed).plan.effort is None
        check(parts(kind, storage), queries, 10, allowed, exact=False)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_as_many_rows_come_as_match(parts: Build, queries: NDArray[np.float32], kind: str, storage: str) -> None:
    part = parts(kind, storage)
    for matching in MATCHING:
        allowed = some(ROWS, matching, seed=matching)
        for k in (1, 10, 250, ROWS + 5):
            found = part.search(queries[:3], k, allowed)
            assert found.rows.shape == found.scores.shape == (3, k)
            for line in found.rows:
                rows = line[line >= 0]
                assert len(set(rows)) == len(rows) == min(k, matching)
                assert allowed[rows].all()
                assert (line[len(rows) :] == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_scores_fall_and_are_those_of_the_rows(parts: Build, queries: NDArray[np.float32], kind: str) -> None:
    part = parts(kind)
    found = part.search(queries, 20)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    own = np.take_along_axis(true_scores(part, queries), found.rows, 1)
    np.testing.assert_allclose(found.scores, own, atol=2e-6)


@pytest.mark.parametrize("kind", ["ivf-flat", "ivf-pq"])
def test_lists_without_enough_rows_that_match_widen_the_search(tmp_path: Path, kind: str) -> None:
    values = clustered(6_000)
    part = reopened(tmp_path, values, DenseSettings(kind=kind, nprobe=1, refine=2))  # type: ignore[arg-type]
    query = values[:1]
    far = np.argsort(values @ query[0])[:3_000]  # None of these lies in the query's own list.
    allowed = np.zeros(6_000, np.bool_)
    allowed[far] = True
    found = part.search(query, 10, allowed)
    assert found.plan.effort is not None
    assert found.plan.effort.width == 1
    assert len(set(found.rows[0])) == 10
    assert allowed[found.rows[0]].all()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_vectors_come_by_row(tmp_path: Path, kind: str) -> None:
    values = np.repeat(clustered(50), 40, axis=0)
    part = reopened(tmp_path, values, DenseSettings(kind=kind))  # type: ignore[arg-type]
    expected = list(range(80, 95))
    assert part.search(values[80:81], 15, exact=True).rows[0].tolist() == expected
    assert part.search(values[80:83], 15, exact=True).rows[2].tolist() == expected
    found = part.search(values[80:81], 15).rows[0]
    assert (np.diff(found[np.isin(found, range(80, 120))]) > 0).all()
