"""The reference scores against answers worked out by hand."""

import numpy as np
import pytest

from retr.retrieval.embeddings import TokenVectors, Vectors
from retr.retrieval.errors import Mismatch
from retr.retrieval.scoring import SIMILARITIES, cosine, dot, maxsim


def vectors(*rows: list[float]) -> Vectors:
    return Vectors(np.array(rows, dtype=np.float32))


def tokens(*texts: list[list[float]]) -> TokenVectors:
    values = np.array([token for text in texts for token in text], dtype=np.float32).reshape(-1, 2)
    return TokenVectors(values, np.cumsum([0, *map(len, texts)], dtype=np.int64))


QUERIES = vectors([1, 2], [0, 0])
DOCUMENTS = vectors([3, 4], [-2, 1], [0, 0])


def test_inner_products() -> None:
    assert dot(QUERIES, DOCUMENTS).tolist() == [[11.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_cosines_and_zero_for_a_vector_of_zeros() -> None:
    expected = [[11 / (5**0.5 * 5), 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert cosine(QUERIES, DOCUMENTS) == pytest.approx(np.array(expected), abs=1e-15)


def test_the_best_document_token_of_each_query_token_is_summed() -> None:
    queries = tokens([[1, 0], [0, 1]], [[2, 2]])
    documents = tokens([[1, 1], [3, 0]], [[-1, -2]], [])
    # First query, first document: max(1, 3) + max(1, 0); second document: -1 + -2; the last has no tokens.
    assert maxsim(queries, documents).tolist() == [[4.0, -3.0, 0.0], [6.0, -6.0, 0.0]]


def test_a_query_without_tokens_scores_zero() -> None:
    assert maxsim(tokens([]), tokens([[1, 1]])).tolist() == [[0.0]]


def test_sums_are_made_in_float64() -> None:
    # In float32 the 1 is lost beside 2**24 and the difference would be 0.
    assert dot(vectors([2**24, 1, -(2**24)]), vectors([1, 1, 1])).tolist() == [[1.0]]


@pytest.mark.parametrize("name", ["dot", "cosine"])
def test_different_dims_are_a_mismatch(name: str) -> None:
    with pytest.raises(Mismatch, match="queries have dim 2, the documents 3"):
        SIMILARITIES[name](QUERIES, vectors([1, 2, 3]))  # type: ignore[index]


def test_different_dims_of_tokens_are_a_mismatch() -> None:
    documents = TokenVectors(np.ones((1, 3), dtype=np.float32), np.array([0, 1], dtype=np.int64))
    with pytest.raises(Mismatch, match="dim 2"):
        maxsim(tokens([[1, 0]]), documents)
