"""Models as a user may bring them: plain classes that know nothing of MTEB."""

from collections.abc import Sequence

import numpy as np

from retr.retrieval.embeddings import Floats, TokenVectors, Vectors
from retr.retrieval.protocols import Similarity

DIM = 64


def letters(text: str) -> Floats:
    """How often each of 64 hashed letter pairs comes in a text."""
    counts = np.zeros(DIM, np.float32)
    for one, other in zip(text.lower(), text.lower()[1:], strict=False):
        counts[(ord(one) * 7 + ord(other)) % DIM] += 1
    return counts


class LetterPairs:
    """One vector a text, compared by inner product; a query's is doubled, so that the sides can be told apart."""

    dim = DIM
    similarity: Similarity = "dot"
    fingerprint = "letter-pairs-1"

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return Vectors(2 * self.encode_documents(texts).values)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        return Vectors(np.array([letters(text) for text in texts], np.float32).reshape(len(texts), DIM))


class WordsOfLetters:
    """One vector a word, compared by MaxSim."""

    dim = DIM
    similarity: Similarity = "maxsim"
    fingerprint = "words-of-letters-1"

    def encode_queries(self, texts: Sequence[str]) -> TokenVectors:
        return self.encode_documents(texts)

    def encode_documents(self, texts: Sequence[str]) -> TokenVectors:
        words = [[letters(word) for word in text.split()] for text in texts]
        offsets = np.cumsum([0, *map(len, words)], dtype=np.int64)
        values = np.array([vector for text in words for vector in text], np.float32).reshape(-1, DIM)
        return TokenVectors(values, offsets)


class SharedLetters:
    """Scores a pair by the letter pairs that both have; remembers what each call was given."""

    comparable = True
    fingerprint = "shared-letters-1"

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        self.calls.append((query, list(texts)))
        return np.array([np.minimum(letters(query), letters(text)).sum() for text in texts], np.float32)


def load_letters(source: str) -> LetterPairs:
    """As `module:attribute=SOURCE` names it."""
    return LetterPairs()


def load_shared(source: str) -> SharedLetters:
    """As above, a scorer."""
    return SharedLetters()
