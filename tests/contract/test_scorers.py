"""What every scorer of the table promises. A new kind needs one line in `SOURCES`."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from retr.encoders import SCORERS, load_scorer
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Scorer

SOURCES = {
    "cross": "make_cross",
    "uni": "make_uni",
    "poly": "make_poly",
    "dse": "make_dse",
    "late": "make_late",
    "mvp": "make_mvp",
    "ql": "make_ql",
}
"""Kind to the fixture that makes a source for it, by `seed`."""

QUERY = "red fish?"
TEXTS = ["the red fish swims", "", "a stone", "in cold water", "blue", "the red fish swims", "cold " * 100]
CLOSE = 1e-5


def test_every_kind_is_tested_here() -> None:
    assert SOURCES.keys() == SCORERS.keys()


@pytest.fixture(params=sorted(SCORERS))
def spec(request: pytest.FixtureRequest) -> str:
    """A `KIND=SOURCE` that loads."""
    return f"{request.param}={request.getfixturevalue(SOURCES[request.param])(seed=1)}"


@pytest.fixture
def scorer(spec: str) -> Any:
    """The scorer of the spec."""
    return load_scorer(spec)


def test_it_has_the_protocol(scorer: Any) -> None:
    assert isinstance(scorer, Scorer)


def test_one_finite_score_a_text_in_order(scorer: Any) -> None:
    scores = scorer.score(QUERY, TEXTS)
    assert scores.shape == (len(TEXTS),)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS[::-1]), scores[::-1], atol=CLOSE)


def test_no_texts_give_no_scores(scorer: Any) -> None:
    assert scorer.score(QUERY, []).shape == (0,)


def test_comparable_scores_do_not_depend_on_the_other_texts(scorer: Any) -> None:
    if not scorer.comparable:
        pytest.skip("the scorer sees the whole list")
    alone = np.concatenate([scorer.score(QUERY, [text]) for text in TEXTS])
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), alone, atol=CLOSE)


def test_the_query_matters(scorer: Any) -> None:
    assert not np.allclose(scorer.score(QUERY, TEXTS), scorer.score("sky", TEXTS), atol=1e-3)


def test_a_long_query_is_cut_and_not_refused(scorer: Any) -> None:
    assert np.isfinite(scorer.score("fish " * 500, TEXTS)).all()


def test_two_threads_may_use_it_at_once(scorer: Any) -> None:
    expected = scorer.score(QUERY, TEXTS)
    with ThreadPoolExecutor(2) as pool:
        for scores in pool.map(lambda _: scorer.score(QUERY, TEXTS), range(8)):
            np.testing.assert_array_equal(scores, expected)


def test_one_text_in_place_of_a_list_is_refused(scorer: Any) -> None:
    with pytest.raises(BadInput, match="list of texts"):
        scorer.score(QUERY, "the red fish")


@pytest.mark.parametrize("kind", sorted(SCORERS))
def test_the_fingerprint_follows_the_weights(kind: str, request: pytest.FixtureRequest) -> None:
    make = request.getfixturevalue(SOURCES[kind])
    folder = make(seed=1)
    first, again, other = (load_scorer(f"{kind}={path}") for path in (folder, folder, make(seed=2)))
    assert first.fingerprint == again.fingerprint != other.fingerprint
