"""How much a word counts in the mean: frequent words say little."""

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats


def zipf(rows: int) -> Floats:
    """log(1 + rank), the rank from 1: vocabularies are sorted by falling frequency, roughly (model2vec, 2024)."""
    return np.log1p(np.arange(1, rows + 1)).astype(np.float32)


def zipf_shares(rows: int) -> NDArray[np.float64]:
    """Each word's share of a text by Zipf's law, 1 / rank over their sum, where no corpus was counted."""
    shares: NDArray[np.float64] = 1 / np.arange(1, rows + 1)
    return np.asarray(shares / shares.sum())


def sif(shares: NDArray[np.float64], a: float) -> Floats:
    """a / (a + p) (smooth inverse frequency; Arora, Liang and Ma, ICLR 2017). `shares` p is each word's share."""
    return (a / (a + shares)).astype(np.float32)


def shares_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each word's share of a corpus; one is added to every count, so that an unseen word is rare and not impossible."""
    return np.asarray((counts + 1) / (counts.sum() + len(counts)), np.float64)
