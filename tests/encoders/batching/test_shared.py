"""Encoders and scorers behind batchers keep their contracts: the same vectors and scores, from any thread."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder, load_scorer
from retr.encoders.batching.batcher import Full
from retr.encoders.batching.encoder import SharedScorer, shared
from retr.encoders.batching.pairs import PairBatcher
from retr.encoders.batching.settings import BatchSettings
from retr.encoders.batching.texts import TextBatcher
from retr.retrieval.errors import Mismatch
from retr.retrieval.protocols import Encoder, Scorer, TokenAware

TEXTS = ["the red fish swims", "a stone", "cold water falls from the sky", "fish"]


class Listwise:
    """A scorer whose scores depend on the list: so that lists must not be mixed."""

    comparable, fingerprint = False, "listwise"

    def score(self, query: str, texts: Any) -> Any:
        return np.array([len(query) * 100 + len(texts)] * len(texts), np.float32)


def test_a_shared_encoder_is_its_encoder(make_bi: Any) -> None:
    alone = load_encoder(str(make_bi(settings={"prompts": {"query": "query: "}})))
    one = shared(TextBatcher(alone))
    assert isinstance(one, Encoder)
    assert isinstance(one, TokenAware)
    assert (one.dim, one.similarity, one.fingerprint) == (alone.dim, alone.similarity, alone.fingerprint)
    assert (one.max_tokens, one.tokenizer) == (alone.max_tokens, alone.tokenizer)
    np.testing.assert_allclose(one.encode_queries(TEXTS).values, alone.encode_queries(TEXTS).values, atol=1e-6)
    np.testing.assert_allclose(one.encode_documents(TEXTS).values, alone.encode_documents(TEXTS).values, atol=1e-6)
    assert one.encode_queries([]).values.shape == (0, alone.dim)


def test_documents_are_taken_however_much_waits_and_queries_are_not(make_bi: Any, monkeypatch: Any) -> None:
    one = shared(TextBatcher(load_encoder(str(make_bi())), BatchSettings(batch=1, waiting=1)))
    monkeypatch.setattr(one.batcher.batcher, "_line", Waiting(one.batcher.batcher._line))
    with pytest.raises(Full):
        one.encode_queries(TEXTS)
    assert len(one.encode_documents(TEXTS)) == len(TEXTS)


class Waiting:
    """A line that says much waits."""

    def __init__(self, line: Any) -> None:
        self.line, self.weight = line, 10**6

    def __getattr__(self, name: str) -> Any:
        return getattr(self.line, name)


@pytest.mark.parametrize("kind", ["cross", "listwise"])
def test_scores_are_those_of_the_scorer_alone(make_cross: Any, kind: str) -> None:
    alone: Any = load_scorer(f"cross={make_cross()}") if kind == "cross" else Listwise()
    one = SharedScorer(PairBatcher(alone, BatchSettings(batch=30)))
    assert isinstance(one, Scorer)
    assert (one.comparable, one.fingerprint) == (alone.comparable, alone.fingerprint)

    def ask(number: int) -> bool:
        query, texts = "red fish " * (1 + number % 3), TEXTS[number % 4 :]
        return bool(np.allclose(one.score(query, texts), alone.score(query, texts), atol=1e-5))

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(ask, range(24)))
    assert one.score("a", []).shape == (0,)


def test_a_scorer_that_gives_too_few_is_told() -> None:
    class Short(Listwise):
        def score(self, query: str, texts: Any) -> Any:
            return np.zeros(1, np.float32)

    with pytest.raises(Mismatch, match=r"\[1\] for 2 texts"):
        PairBatcher(Short()).score("a", ["b", "c"])
