"""Optimal transport beside plain loops in float64: plans with the right sums, the right costs, one text at a time."""

import math

import numpy as np
import pytest

from retr.retrieval import transport
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput
from retr.retrieval.transport import Transport, TransportSettings


def rows(count: int, dim: int = 4, seed: int = 0, sign: float = 0.0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return sign * np.abs(found) if sign else found


def ragged(*texts: np.ndarray) -> TokenVectors:
    return TokenVectors(np.concatenate(texts), np.cumsum([0, *map(len, texts)]).astype(np.int64))


def loops(query: np.ndarray, document: np.ndarray, settings: TransportSettings) -> tuple[np.ndarray, float]:
    """The plan and minus its cost, by scaling the kernel's rows and columns in turn (Cuturi 2013, algorithm 1)."""
    m, n = len(query), len(document)
    lengths = [[math.hypot(*map(float, row)) for row in side] for side in (query, document)]
    weights = [one if settings.marginals == "norm" else [1.0] * len(one) for one in lengths]
    a, b = ([each / sum(one) for each in one] for one in weights)
    costs = [
        [
            1 - sum(map(float, one * other)) / (left * right)
            for other, right in zip(document.astype(float), lengths[1], strict=True)
        ]
        for one, left in zip(query.astype(float), lengths[0], strict=True)
    ]
    kernel = [[math.exp(-cost / settings.epsilon) for cost in row] for row in costs]
    u, v = [1.0] * m, [1.0] * n
    for _ in range(settings.iterations):
        u = [a[i] / sum(kernel[i][j] * v[j] for j in range(n)) for i in range(m)]
        v = [b[j] / sum(kernel[i][j] * u[i] for i in range(m)) for j in range(n)]
    plan = np.array([[u[i] * kernel[i][j] * v[j] for j in range(n)] for i in range(m)])
    return plan, -sum(plan[i, j] * costs[i][j] for i in range(m) for j in range(n))


@pytest.mark.parametrize(
    "settings", [TransportSettings(), TransportSettings(0.05, 7, "norm"), TransportSettings(0.5, 1)]
)
def test_scores_and_plans_are_those_of_the_loops(settings: TransportSettings) -> None:
    query, texts = rows(5), [rows(3, seed=1), rows(7, seed=2, sign=-1), rows(1, seed=3)]
    expected = [loops(query, text, settings) for text in texts]
    scorer = Transport(settings)
    np.testing.assert_allclose(scorer.score_tokens(query, ragged(*texts)), [score for _, score in expected], atol=1e-6)
    for text, (plan, _) in zip(texts, expected, strict=True):
        np.testing.assert_allclose(scorer.plan(query, text), plan, atol=1e-7)


def test_a_plan_moves_all_of_both_texts_and_is_near_the_best_where_entropy_weighs_little() -> None:
    from scipy.optimize import linear_sum_assignment

    query, document = rows(6), rows(6, seed=1)
    plan = Transport(TransportSettings(0.02, 3000)).plan(query, document)
    np.testing.assert_allclose(plan.sum(axis=1), 1 / 6, atol=1e-4)
    np.testing.assert_allclose(plan.sum(axis=0), 1 / 6, atol=1e-12)
    left, right = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (query, document))
    costs = 1 - left @ right.T
    best = costs[linear_sum_assignment(costs)].mean()
    assert best - 1e-3 <= (plan * costs).sum() <= best + 0.02


def test_the_rows_of_a_plan_come_nearer_with_each_iteration() -> None:
    query, document = rows(8), rows(5, seed=1)
    gaps = [
        np.abs(Transport(TransportSettings(0.05, count)).plan(query, document).sum(axis=1) - 1 / 8).max()
        for count in (1, 5, 20, 80)
    ]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 1e-3 < gaps[0]


def test_small_epsilons_neither_vanish_nor_overflow() -> None:
    query = np.array([[1, 0], [-1, 0]], np.float32)
    document = np.array([[-1, 0], [1, 0]], np.float32)
    scores = Transport(TransportSettings(0.001, 5)).score_tokens(query, ragged(document, -document[:1]))
    np.testing.assert_allclose(scores, [0.0, -1.0], atol=1e-6)


def test_the_score_is_symmetric_where_maxsim_is_not() -> None:
    query, document = rows(2, 3), rows(9, 3, seed=1)
    scorer = Transport(TransportSettings(0.1, 500))
    one, other = scorer.score_tokens(query, ragged(document)), scorer.score_tokens(document, ragged(query))
    np.testing.assert_allclose(one, other, atol=1e-6)
    whole = scorer.score_tokens(query, ragged(query, np.concatenate([query, -query])))
    assert whole[0] > whole[1], "what the query does not have has to be matched too"


def test_a_score_depends_on_nothing_but_its_pair_also_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    query, texts = rows(3), [rows(count, seed=count) for count in (4, 1, 6, 2)]
    together = Transport().score_tokens(query, ragged(*texts))
    alone = [Transport().score_tokens(query, ragged(text))[0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-7)
    monkeypatch.setattr(transport, "NUMBERS_A_CHUNK", 10)
    np.testing.assert_allclose(Transport().score_tokens(query, ragged(*texts)), together, atol=1e-7)
    assert Transport().score_tokens(query, TokenVectors(np.empty((0, 4), np.float32), np.zeros(1, np.int64))).shape == (
        0,
    )


def test_texts_without_tokens_and_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(BadInput, match="without token vectors"):
        Transport().score_tokens(rows(2), ragged(rows(2), rows(0)))
    for wrong in ({"epsilon": 0.0}, {"iterations": 0}, {"marginals": "equal"}):
        with pytest.raises(BadInput):
            TransportSettings(**wrong)  # type: ignore[arg-type]
