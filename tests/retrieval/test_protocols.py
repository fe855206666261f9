"""A user's own class needs no base class: having the parts is enough."""

from collections.abc import Sequence

import numpy as np

from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.protocols import Encoder, Scorer, Similarity, TokenAware


class Lengths:
    """An encoder of its author's own: a text's length is its vector."""

    dim = 1
    similarity: Similarity = "dot"
    fingerprint = "lengths-1"

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return Vectors(np.array([[len(text)] for text in texts], dtype=np.float32).reshape(-1, 1))

    encode_documents = encode_queries


class SameLength:
    """A scorer of its author's own."""

    comparable = True
    fingerprint = "same-length-1"

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        return np.array([-abs(len(query) - len(text)) for text in texts], dtype=np.float32)


def test_a_plain_class_is_an_encoder() -> None:
    assert isinstance(Lengths(), Encoder)


def test_a_plain_class_is_a_scorer() -> None:
    assert isinstance(SameLength(), Scorer)


def test_an_encoder_is_no_scorer_and_need_not_show_its_tokenizer() -> None:
    assert not isinstance(Lengths(), Scorer)
    assert not isinstance(Lengths(), TokenAware)


def test_a_class_that_lacks_a_part_is_refused() -> None:
    class NoFingerprint:
        dim = 1
        similarity = "dot"

        def encode_queries(self, texts: Sequence[str]) -> None: ...

        def encode_documents(self, texts: Sequence[str]) -> None: ...

    assert not isinstance(NoFingerprint(), Encoder)
