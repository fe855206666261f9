"""Scores of given texts by encoders and scorers made for the test."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.evaluation import matching
from retr.retrieval.evaluation.matching import (
    candidate_scores,
    pair_scores,
    scorer_candidate_scores,
    scorer_pair_scores,
)


@dataclass
class Letters:
    """Counts a and b; a query's vector is turned around."""

    similarity: str = "cosine"
    tokens: bool = False
    dim: int = 2
    fingerprint: str = "letters"
    seen: list[list[str]] = field(default_factory=list)

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        self.seen.append(list(texts))
        if self.tokens:
            values = [[float(letter == "a"), float(letter == "b")] for text in texts for letter in text]
            offsets = np.cumsum([0, *map(len, texts)]).astype(np.int64)
            return TokenVectors(np.array(values, np.float32), offsets)
        return Vectors(np.array([[text.count("a"), text.count("b")] for text in texts], np.float32))

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        return Vectors(np.ascontiguousarray(self.encode_documents(texts).values[:, ::-1]))


@dataclass
class Longer:
    """Scores by length; says which calls it got."""

    comparable: bool = True
    fingerprint: str = "longer"
    calls: list[tuple[str, list[str]]] = field(default_factory=list)

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        self.calls.append((query, list(texts)))
        return np.array([len(text) for text in texts], np.float32)


def test_pairs_by_cosine_and_by_dot() -> None:
    left, right = ["a", "aab", "b"], ["b", "a", "bb"]
    assert pair_scores(Letters(), left, right) == pytest.approx([0, 2 / 5**0.5, 1])
    assert pair_scores(Letters(), left, right, similarity="dot").tolist() == [0, 2, 2]


def test_each_text_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "TEXTS_AT_ONCE", 2)
    encoder, done = Letters(), []
    scores = pair_scores(encoder, ["a", "a", "b"], ["b", "ab", "a"], similarity="dot", watch=done.append)
    assert encoder.seen == [["a", "b"], ["ab"]]
    assert done == [2, 1]
    assert scores.tolist() == [0, 1, 0]


def test_tokens_are_compared_by_maxsim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "TEXTS_AT_ONCE", 2)
    encoder = Letters("maxsim", tokens=True)
    assert pair_scores(encoder, ["ab", "aa"], ["a", "bb"]).tolist() == [1, 0]


def test_candidates_are_compared_with_the_query_as_a_query() -> None:
    found = candidate_scores(Letters("dot"), ["a", "b"], [["a", "bb"], ["aaa"]])
    assert [scores.tolist() for scores in found] == [[0, 2], [3]]


def test_a_similarity_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Mismatch, match="one vector a token"):
        pair_scores(Letters(tokens=True), ["a"], ["b"], similarity="dot")
    with pytest.raises(Mismatch, match="one vector a text"):
        pair_scores(Letters("maxsim"), ["a"], ["b"])


def test_a_scorer_gets_all_texts_of_one_query_at_once() -> None:
    scorer, done = Longer(), []
    assert scorer_pair_scores(scorer, ["q", "p", "q"], ["a", "bb", "ccc"], watch=done.append).tolist() == [1, 2, 3]
    assert scorer.calls == [("q", ["a", "ccc"]), ("p", ["bb"])]
    assert done == [2, 1]
    assert scorer_candidate_scores(scorer, ["q"], [["a", "bb"]])[0].tolist() == [1, 2]


def test_a_listwise_scorer_cannot_score_pairs() -> None:
    with pytest.raises(BadInput, match="within one list only"):
        scorer_pair_scores(Longer(comparable=False), ["q"], ["a"])


def test_a_scorers_wrong_answers_are_refused() -> None:
    class Wrong(Longer):
        answer = np.zeros(3, np.float32)

        def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
            return self.answer

    with pytest.raises(Mismatch, match=r"shape \[3\] for 1 texts"):
        scorer_candidate_scores(Wrong(), ["q"], [["a"]])
    Wrong.answer = np.full(1, np.nan, np.float32)
    with pytest.raises(BadInput, match="not finite"):
        scorer_candidate_scores(Wrong(), ["q"], [["a"]])
