"""Every kind in index.KINDS keeps the promises of the Index protocol; the exact index is the oracle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index import KINDS
from retr.index.exact import ExactIndex
from retr.retrieval.embeddings import TokenVectors, Vectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.kinds import resolve

DIM = 24


def unit(rows: int, seed: int) -> Vectors:
    values = np.random.default_rng(seed).normal(size=(rows, DIM)).astype(np.float32)
    return Vectors(values / np.linalg.norm(values, axis=1, keepdims=True))


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> Any:
    return resolve(request.param, KINDS, "index kind")


def filled(kind: Any, rows: int = 300) -> tuple[Any, ExactIndex]:
    index, oracle = kind(DIM), ExactIndex(DIM)
    vectors = unit(rows, 1).values
    for part in np.array_split(vectors, 3):
        index.add(Vectors(part))
        oracle.add(Vectors(part))
    return index, oracle


@pytest.mark.parametrize("share", [None, 1.0, 0.5, 0.05, 0.004, 0.0])
def test_it_finds_what_the_oracle_finds(kind: Any, share: float | None) -> None:
    index, oracle = filled(kind)
    allowed = None if share is None else np.random.default_rng(2).random(300) < share
    found, expected = (one.search(unit(7, 3), 10, allowed) for one in (index, oracle))
    np.testing.assert_array_equal(found.rows, expected.rows)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_where_fewer_rows_match_the_rest_is_marked(kind: Any) -> None:
    index, _ = filled(kind)
    allowed = np.zeros(300, np.bool_)
    allowed[[5, 299]] = True
    found = index.search(unit(2, 4), 4, allowed)
    assert found.rows.shape == found.scores.shape == (2, 4)
    assert {5, 299} == set(found.rows[0][:2].tolist())
    assert (found.rows[:, 2:] == -1).all()
    assert np.isneginf(found.scores[:, 2:]).all()


def test_equal_scores_come_by_row(kind: Any) -> None:
    index = kind(DIM)
    index.add(Vectors(np.repeat(unit(1, 5).values, 6, axis=0)))
    assert index.search(unit(1, 5), 6).rows.tolist() == [[0, 1, 2, 3, 4, 5]]


def test_saved_and_opened_it_answers_the_same(kind: Any, tmp_path: Path) -> None:
    index, _ = filled(kind)
    index.save(tmp_path / "saved")
    again = kind.open(tmp_path / "saved")
    assert len(again) == len(index) == 300
    np.testing.assert_array_equal(again.search(unit(3, 6), 5).rows, index.search(unit(3, 6), 5).rows)


def test_an_empty_index_finds_nothing(kind: Any) -> None:
    found = kind(DIM).search(unit(2, 7), 3)
    assert (found.rows == -1).all()
    assert found.rows.shape == (2, 3)


def test_another_dim_is_refused(kind: Any) -> None:
    with pytest.raises(Mismatch, match=f"dim {DIM}; the vectors have 3"):
        kind(DIM).add(Vectors(np.ones((1, 3), np.float32)))


def test_token_vectors_are_refused(kind: Any) -> None:
    with pytest.raises(BadInput, match="one a token"):
        kind(DIM).add(TokenVectors(np.ones((2, DIM), np.float32), np.array([0, 2])))
