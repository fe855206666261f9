"""Reranking with scorers whose scores are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Scorer
from retr.retrieval.records import Hit
from retr.retrieval.rerank import rerank
from retr.retrieval.runs import ranked


@dataclass
class Table:
    """A scorer that looks its scores up, and remembers what it was asked."""

    scores: Mapping[str, float]
    comparable: bool = True
    fingerprint: str = "table"
    calls: list[tuple[str, list[str]]] = field(default_factory=list)

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        self.calls.append((query, list(texts)))
        return np.array([self.scores[text] for text in texts], dtype=np.float32)


HITS = [
    Hit("a", 9.0, 1, text="alpha", explain={"mode": "dense"}),
    Hit("b", 8.0, 2, title="B", text="beta", explain={}),
    Hit("c", 7.0, 3, text="gamma"),
    Hit("d", 6.0, 4, text="delta", explain={}),
]
TABLE = {"alpha": 0.5, "B beta": 2.5, "gamma": 0.5, "delta": -1.25}


def test_hits_are_ordered_by_the_scorer_and_equals_keep_their_order() -> None:
    found = rerank("why", HITS, Table(TABLE))
    assert [(hit.id, hit.score, hit.rank) for hit in found] == [
        ("b", 2.5, 1),
        ("a", 0.5, 2),
        ("c", 0.5, 3),
        ("d", -1.25, 4),
    ]


def test_many_equal_scores_keep_their_order() -> None:
    hits = [Hit(str(number), 0.0, number + 1, text="odd" if number % 2 else "even") for number in range(300)]
    found = rerank("why", hits, Table({"odd": 1.0, "even": 0.0}))
    assert [int(hit.id) for hit in found] == [*range(1, 300, 2), *range(0, 300, 2)]


def test_the_scorer_sees_title_and_text_of_all_hits_at_once() -> None:
    scorer = Table(TABLE, comparable=False)
    rerank("why", HITS, scorer, depth=3)
    assert scorer.calls == [("why", ["alpha", "B beta", "gamma"])]
    assert isinstance(scorer, Scorer)


def test_hits_beyond_the_depth_follow_in_their_order() -> None:
    found = rerank("why", HITS, Table(TABLE), depth=2)
    assert [(hit.id, hit.rank) for hit in found] == [("b", 1), ("a", 2), ("c", 3), ("d", 4)]
    assert ranked({hit.id: hit.score for hit in found}) == ["b", "a", "c", "d"]


@pytest.mark.parametrize("lowest", [-11.75, 0.0, 3.0, 1e6])
def test_a_sort_by_score_keeps_the_order_beyond_the_depth(lowest: float) -> None:
    hits = [Hit(f"{number:03}", 1.0 / (number + 1), number + 1, text="x") for number in range(300)]
    found = rerank("why", hits, Table({"x": lowest}), depth=1)
    assert ranked({hit.id: hit.score for hit in found}) == [hit.id for hit in hits]


def test_the_explanation_tells_the_score_and_the_place_before() -> None:
    found = {hit.id: hit.explain for hit in rerank("why", HITS, Table(TABLE), depth=3)}
    assert found["a"] == {"mode": "dense", "rerank": {"score": 0.5, "before": {"rank": 1, "score": 9.0}}}
    assert found["d"] == {"rerank": {"score": None, "before": {"rank": 4, "score": 6.0}}}
    assert found["c"] is None


def test_the_hits_given_are_left_as_they_were() -> None:
    rerank("why", HITS, Table(TABLE))
    assert [(hit.score, hit.rank) for hit in HITS] == [(9.0, 1), (8.0, 2), (7.0, 3), (6.0, 4)]
    assert HITS[0].explain == {"mode": "dense"}


def test_without_hits_the_scorer_is_not_asked() -> None:
    scorer = Table({})
    assert rerank("why", [], scorer) == []
    assert scorer.calls == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(BadInput, match=f"gave {bad} for the document 'c'"):
        rerank("why", HITS, Table({**TABLE, "gamma": bad}))


def test_a_wrong_number_of_scores_is_a_mismatch() -> None:
    class Short(Table):
        def score(self, query: str, texts: Sequence[str]) -> Floats:
            return np.zeros(len(texts) - 1, dtype=np.float32)

    with pytest.raises(Mismatch, match=r"shape \[3\] for 4 texts"):
        rerank("why", HITS, Short({}))


def test_a_depth_of_zero_is_refused() -> None:
    with pytest.raises(BadInput, match="at least 1; got 0"):
        rerank("why", HITS, Table(TABLE), depth=0)
