"""Texts of many callers get the vectors that the encoder alone would give them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder
from retr.encoders.batching.settings import BatchSettings
from retr.encoders.batching.texts import TextBatcher, joined
from retr.retrieval.errors import BadInput

SECONDS = 30
TEXTS = ["the red fish swims", "a stone", "cold water falls from the sky in the blue", "", "fish " * 60]


@pytest.fixture(scope="module", params=["bi", "static", "own"])
def encoder(request: pytest.FixtureRequest, make_bi: Any, make_static: Any) -> Any:
    if request.param == "static":
        return load_encoder(f"static={make_static()}")
    loaded = load_encoder(str(make_bi(settings={"prompts": {"query": "query: "}})))
    return loaded if request.param == "bi" else Wrapped(loaded)


class Wrapped:
    """An encoder that has only what the protocol asks for."""

    def __init__(self, inner: Any) -> None:
        self.dim, self.similarity, self.fingerprint = inner.dim, inner.similarity, inner.fingerprint
        self.encode_queries, self.encode_documents = inner.encode_queries, inner.encode_documents


def test_vectors_are_those_of_the_encoder_alone(encoder: Any) -> None:
    batcher = TextBatcher(encoder, BatchSettings(batch=20))

    def ask(number: int) -> bool:
        side: Any = "queries" if number % 2 else "documents"
        texts = TEXTS[number % 3 :]
        found = joined(batcher.submit(batcher.read(texts, side)).result(SECONDS), encoder.dim)
        alone = encoder.encode_queries(texts) if number % 2 else encoder.encode_documents(texts)
        return bool(np.allclose(found, alone.values, atol=1e-5)) and found.shape == (len(texts), encoder.dim)

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(ask, range(24)))


def test_tokens_and_cut_texts_are_counted(make_bi: Any) -> None:
    batcher = TextBatcher(load_encoder(str(make_bi())))
    read = batcher.read(["a stone", "fish " * 60], "documents")
    assert (list(read.weights), read.cut, read.tokens) == ([4, 24], 1, 28)


def test_no_texts_give_no_vectors(encoder: Any) -> None:
    batcher = TextBatcher(encoder)
    assert joined(batcher.submit(batcher.read([], "queries")).result(SECONDS), 5).shape == (0, 5)


def test_what_is_not_text_is_refused(make_bi: Any) -> None:
    with pytest.raises(BadInput):
        TextBatcher(load_encoder(str(make_bi()))).read(["\ud800"], "documents")
