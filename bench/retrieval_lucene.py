"""BM25 scores of Anserini's index of all 8.8 million passages, for passages that its run does not hold.

A score is Σ idf(t) · tf / (tf + k1 (1 - b + b length / mean length)) over the query's terms. All but the idf is known
from the texts, and a run states 100 scores a query, so least squares gives the idf; the residuals say how well.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

K1, B = 0.9, 0.4
MEAN_LENGTH = 352_316_036 / 8_841_823
"""Terms and passages, as Pyserini's list of prebuilt indexes states them."""

_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they "
    "this to was will with"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
WORD = re.compile(r"[a-z0-9]+(?:['.][a-z0-9]+)*")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A query's terms with their idf, and the root of the mean squared difference to the run's own scores."""

    terms: tuple[str, ...]
    idf: Floats
    residual: float

    def scores(self, texts: Sequence[str]) -> Floats:
        """float64 [texts]."""
        return shares(self.terms, texts) @ self.idf


def fitted(query: str, texts: Sequence[str], stated: Sequence[float]) -> Fitted:
    """From the run's texts and scores of one query."""
    from scipy.optimize import nnls

    terms = tuple(dict.fromkeys(tokens(query)))
    shown = shares(terms, texts)
    idf, norm = nnls(shown, np.array(stated))
    return Fitted(terms, idf, float(norm) / len(texts) ** 0.5)


def shares(terms: Sequence[str], texts: Sequence[str]) -> Floats:
    """What each term's idf is multiplied by: float64 [texts, terms]."""
    found = np.zeros((len(texts), len(terms)))
    for row, text in enumerate(texts):
        words = tokens(text)
        counts = np.array([words.count(term) for term in terms], np.float64)
        found[row] = counts / (counts + K1 * (1 - B + B * len(words) / MEAN_LENGTH))
    return found


def tokens(text: str) -> list[str]:
    """As Lucene's English analysis gives them: stop words left out, Porter's stems with -logi made -log."""
    words = [word.removesuffix("'s") for word in WORD.findall(text.lower().replace("’", "'"))]
    stems = _stemmer().stemWords([word for word in words if word not in STOP_WORDS])
    return [re.sub("logi$", "log", stem) for stem in stems]


def score_at(rank: int, scores: Sequence[float], *, first: int = 20) -> float:
    """The score at a rank beyond the list, on the line through score and logarithm of rank from `first` on."""
    ranks = np.arange(first, len(scores) + 1)
    slope, start = np.polyfit(np.log(ranks), np.sort(scores)[::-1][first - 1 :], 1)
    return float(slope * np.log(rank) + start)


def beyond(query: str, run: Mapping[str, float], texts: Mapping[str, str]) -> tuple[dict[str, float], Fitted]:
    """The scores of all `texts` that the run does not hold, by id, and what they were found with."""
    found = fitted(query, [texts[id] for id in run], list(run.values()))
    others = [id for id in texts if id not in run]
    return dict(zip(others, found.scores([texts[id] for id in others]).tolist(), strict=True)), found


@cache
def _stemmer() -> Any:
    from Stemmer import Stemmer

    return Stemmer("porter")
