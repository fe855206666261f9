"""Parts searched as one, in batches, in threads and in forked processes, answer as each query alone does."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.dense.index import DenseIndex
from retr.index.dense.parts import DensePart
from retr.index.exact import ExactIndex
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import Mismatch

from .conftest import DIM, KINDS, ROWS, Build, all_vectors, clustered, some


def of(*parts: DensePart) -> DenseIndex:
    return DenseIndex(DIM, parts)


def test_parts_are_counted_through(parts: Build, queries: NDArray[np.float32]) -> None:
    index = of(parts("flat"), parts("pq"), parts("flat", "int8"))
    oracle = ExactIndex(DIM)
    for part in (parts("flat"), parts("flat"), parts("flat", "int8")):
        oracle.add(Vectors(all_vectors(part)))
    assert len(index) == len(oracle) == 3 * ROWS
    allowed = some(3 * ROWS, 4_000)
    for mask in (None, allowed):
        found, expected = (
            index.search(Vectors(queries), 10, mask, exact=True),
            oracle.search(Vectors(queries), 10, mask),
        )
        np.testing.assert_allclose(found.scores, expected.scores, atol=2e-6)
        if mask is None:  # The first two parts are equal, so their rows come in pairs.
            np.testing.assert_array_equal(found.rows, expected.rows)


def test_vectors_come_from_their_parts(parts: Build) -> None:
    index = of(parts("flat"), parts("flat", "binary"))
    rows = np.array([ROWS + 3, 2, ROWS, 2 * ROWS - 1])
    expected = np.concatenate([all_vectors(parts("flat")), all_vectors(parts("flat", "binary"))])[rows]
    np.testing.assert_array_equal(index.vectors(rows), expected)
    assert index.vectors(np.empty(0, np.int64)).shape == (0, DIM)


def test_each_part_explains_its_plan(parts: Build, queries: NDArray[np.float32]) -> None:
    allowed = np.ones(2 * ROWS, np.bool_)
    allowed[ROWS + 40 :] = False
    matches, plans = of(parts("pq"), parts("pq")).search_explained(Vectors(queries), 10, allowed)
    assert [(plan["part"], plan["rows"], plan["allowed"]) for plan in plans] == [(0, ROWS, ROWS), (1, ROWS, 40)]
    assert plans[0]["plan"].startswith("pq, ")
    assert plans[1]["plan"] == "exact scan of the rows that match"
    assert plans[1]["why"].startswith("40 exact scores cost less than about")
    np.testing.assert_array_equal(matches.rows, of(parts("pq"), parts("pq")).search(Vectors(queries), 10, allowed).rows)


def test_nothing_is_found_in_nothing() -> None:
    found = of().search(Vectors(clustered(2)), 3)
    assert found.rows.tolist() == [[-1] * 3] * 2
    assert np.isneginf(found.scores).all()


def test_no_queries_give_no_answers(parts: Build) -> None:
    for kind in ("flat", "pq"):
        assert of(parts(kind)).search(Vectors(np.empty((0, DIM), np.float32)), 3).rows.shape == (0, 3)


def test_a_filter_of_another_length_is_refused(parts: Build) -> None:
    with pytest.raises(Mismatch, match="covers 7 rows; the index has 3000"):
        of(parts("flat")).search(Vectors(clustered(1)), 1, np.ones(7, np.bool_))


def test_queries_of_another_dim_are_refused(parts: Build) -> None:
    with pytest.raises(Mismatch, match="dim 32; the vectors have 8"):
        of(parts("flat")).search(Vectors(clustered(1, 8)), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_answers_as_each_query_alone(parts: Build, kind: str) -> None:
    many, index = clustered(150, seed=21), of(parts(kind))
    for allowed in (None, some(ROWS, 2_700)):
        together = index.search(Vectors(many), 10, allowed)
        alone = [index.search(Vectors(many[n : n + 1]), 10, allowed) for n in range(0, 150, 7)]
        np.testing.assert_array_equal(together.rows[::7], np.concatenate([one.rows for one in alone]))
        np.testing.assert_array_equal(together.scores[::7], np.concatenate([one.scores for one in alone]))


@pytest.mark.parametrize("kind", ["flat", "pq", "hnsw"])
def test_threads_answer_alike(parts: Build, kind: str) -> None:
    many, index = clustered(64, seed=22), of(parts(kind))
    expected = index.search(Vectors(many), 10)

    def search(number: int) -> NDArray[np.int64]:
        return index.search(Vectors(many[number : number + 1]), 10).rows[0]

    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(np.stack(list(pool.map(search, range(64)))), expected.rows)


def _rows_in_child(connection: Any, index: DenseIndex, queries: NDArray[np.float32]) -> None:
    connection.send((index.search(Vectors(queries), 10).rows, index.search(Vectors(queries[:1]), 10, exact=True).rows))


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("kind", ["flat", "pq", "hnsw"])
def test_a_forked_process_answers_alike(parts: Build, kind: str) -> None:
    many, index = clustered(80, seed=23), of(parts(kind))
    expected = index.search(Vectors(many), 10)  # The parent's pool and FAISS's threads exist before the fork.
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    child = context.Process(target=_rows_in_child, args=(theirs, index, many))
    child.start()
    try:
        assert mine.poll(60), "the forked process hangs"
        batch, one = mine.recv()
    finally:
        child.kill()
        child.join()
    np.testing.assert_array_equal(batch, expected.rows)
    np.testing.assert_array_equal(one, index.search(Vectors(many[:1]), 10, exact=True).rows)
