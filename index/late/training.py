"""A codec out of a sample of token vectors: spherical k-means by FAISS, then levels by Lloyd's method."""

from collections.abc import Iterable
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.engine import faiss
from retr.index.dense.threads import building_threads
from retr.index.late.codec import MOST_CODES, MOST_GAIN, TABLES, Codec
from retr.index.late.kernels.arrays import LEVELS
from retr.index.late.settings import MOST_CENTROIDS, POINTS, LateSettings
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import BadInput

SCANNED = 300_000
"""So few tokens of 8 bits are scored one by one, in some milliseconds: they need no centroids."""
_MOST_POINTS = 64
_NEAR_ONE = 1e-2
_ROOM = 1.25
_ROUNDS = 30
_TURNS = 4
_NUMBERS = 1 << 21
"""Numbers that the levels are fitted to."""


def centroids_for(tokens: int, sampled: int, settings: LateSettings) -> int:
    """How many centroids `tokens` tokens get, of which `sampled` are there to train them.

    A power of two up to 16 * sqrt(tokens), as in PLAID, at most 32,768 and at most one for 40 sampled tokens.
    """
    if settings.centroids is not None:
        return min(settings.centroids, sampled)
    if settings.bits == 8 and tokens <= SCANNED:
        return 0
    return int(max(1, min(_power(16 * isqrt(tokens)), _power(sampled // POINTS), MOST_CENTROIDS)))


def train_codec(sample: Floats, tokens: int, settings: LateSettings) -> Codec:
    """The codec for `tokens` tokens, of which `sample` float32 [sampled, dim] is a fair part; the same for the same."""
    if not len(sample):
        raise BadInput("There are no token vectors to train a codec on. Add documents first.")
    check_unit(sample)
    count = centroids_for(tokens, len(sample), settings)
    centroids = _clustered(sample, count, settings) if count else np.empty((0, sample.shape[1]), np.float32)
    unit = _step(centroids)
    kept = np.rint(centroids / (unit or 1) + 128).astype(np.uint8)
    if settings.bits == 8:
        return Codec(8, kept, _no_levels(), _step(sample))
    some = sample[:: max(1, sample.size // _NUMBERS)]
    nearest = Codec(8, kept, _no_levels(), unit).nearest(some)
    left = some / np.float32(unit or 1) - kept[nearest] + np.float32(128)
    fitted = tables_of_levels(left, 1 << settings.bits, tables_for(count))
    least, most = float(fitted.min()), float(fitted.max())
    gain = int(np.clip(255 // max(most - least, 1e-9), 1, MOST_GAIN))
    zero = int(np.clip(np.rint(127.5 - gain * (least + most) / 2), 0, 255))
    levels = np.zeros((len(fitted), LEVELS), np.uint8)
    levels[:, : fitted.shape[1]] = np.clip(np.rint(fitted * gain) + zero, 0, 255)
    return Codec(settings.bits, kept, levels, unit, gain, zero)


def tables_for(centroids: int) -> int:
    """How many tables of levels there are beside so many centroids: as many as a code of 16 bits has room for."""
    return max(count for count in TABLES if count * centroids <= MOST_CODES)


def tables_of_levels(left: Floats, count: int, tables: int) -> NDArray[np.float64]:
    """The levels of tokens of which `left` [tokens, dim] is left beside their centroids: [tables, count], each rising.

    What is left of a token is short or long, and its numbers are small or large together. Tokens are told apart by its
    length first, and then each goes to the table that suits it best, as in Lloyd's method, a few times over.
    """
    lengths = np.sqrt(np.einsum("td,td->t", left, left))
    edges = lloyd(np.sort(lengths), tables)
    chosen = np.searchsorted((edges[1:] + edges[:-1]) / 2, lengths)
    fitted = np.tile(lloyd(np.sort(left.ravel()), count), (tables, 1))
    for turn in range(_TURNS):
        if turn:
            lost = [np.square(left - levels[_nearest(levels, left)]).sum(axis=1) for levels in fitted]
            chosen = np.argmin(lost, axis=0)
        for table in range(tables):
            if (chosen == table).any():
                fitted[table] = lloyd(np.sort(left[chosen == table].ravel()), count)
    return fitted


def _nearest(levels: NDArray[np.float64], values: Floats) -> NDArray[np.int64]:
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, values)


def _no_levels() -> NDArray[np.uint8]:
    return np.zeros((1, LEVELS), np.uint8)


def raw_codec(dim: int, largest: float, known: Iterable[Codec] = ()) -> Codec:
    """A codec of 8 bits without centroids, for numbers up to `largest`: a known one if they fit into it.

    Otherwise one with a quarter of room above them, so that later tokens are likely to fit as well.
    """
    raw = [codec for codec in known if codec.bits == 8 and not codec.coded and codec.dim == dim]
    fitting = next((codec for codec in raw if largest <= 127.5 * codec.unit), None)
    empty = np.empty((0, dim), np.uint8)
    return fitting or Codec(8, empty, _no_levels(), min(1.0, _ROOM * largest) / 127)


def lloyd(values: Floats, count: int) -> NDArray[np.float64]:
    """The `count` levels nearest to sorted values in the mean square (Lloyd, 1982), rising, from quantiles on."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    levels = values[((np.arange(count) + 0.5) / count * len(values)).astype(np.int64)].astype(np.float64)
    for _ in range(_ROUNDS):
        cuts = np.searchsorted(values, (levels[1:] + levels[:-1]) / 2)
        starts, ends = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(values)]])
        sizes = ends - starts
        levels = np.where(sizes > 0, (sums[ends] - sums[starts]) / np.maximum(sizes, 1), levels)
    return levels


def check_unit(values: Floats) -> None:
    """BadInput where a token's vector is not of length 1: centroids and levels are made for those."""
    lengths = np.sqrt(np.einsum("td,td->t", values, values))
    far = ~(np.abs(lengths - 1) <= _NEAR_ONE)  # NaN is far too
    if far.any():
        row = int(np.argmax(far))
        raise BadInput(
            f"Token vector {row} has the length {lengths[row]:.4g}; late interaction needs 1. Normalise each token."
        )


class Sample:
    """Some of a stream's tokens, each as likely as any other, in bounded memory; the same for the same stream."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._rng = size, np.random.default_rng(seed)
        self._values: Floats = np.empty((0, 0), np.float32)
        self._filled = 0
        self.seen = 0

    def take(self, values: Floats) -> None:
        """Let tokens [tokens, dim] pass by."""
        fresh = min(self._size - self._filled, len(values))
        if fresh:
            self._grow(fresh, values.shape[1])
            self._values[self._filled : self._filled + fresh] = values[:fresh]
            self._filled += fresh
        later = values[fresh:]
        if len(later):
            # Algorithm R (Vitter, 1985): token n replaces one of the kept with the chance size / n.
            places = self._rng.integers(0, self.seen + fresh + 1 + np.arange(len(later)))
            kept = places < self._size
            self._values[places[kept]] = later[kept]
        self.seen += len(values)

    @property
    def values(self) -> Floats:
        """What is kept: float32 [at most size, dim]."""
        return self._values[: self._filled]

    def _grow(self, fresh: int, dim: int) -> None:
        needed = self._filled + fresh
        if needed > len(self._values):
            grown = np.empty((min(self._size, max(needed, 2 * self._filled)), dim), np.float32)
            grown[: self._filled] = self._values[: self._filled].reshape(self._filled, dim)
            self._values = grown


def sample_of(blocks: Iterable[TokenVectors], settings: LateSettings) -> tuple[Floats, int]:
    """A sample of all blocks' tokens, and how many tokens there are."""
    sample = Sample(settings.sample_tokens, settings.seed)
    for block in blocks:
        sample.take(block.values)
    return sample.values, sample.seen


def _clustered(sample: Floats, count: int, settings: LateSettings) -> Floats:
    kmeans = faiss().Kmeans(
        sample.shape[1],
        count,
        niter=settings.rounds,
        spherical=True,
        seed=settings.seed,
        min_points_per_centroid=1,
        max_points_per_centroid=_MOST_POINTS,
    )
    with building_threads(len(sample)):
        kmeans.train(np.ascontiguousarray(sample))
    return np.asarray(kmeans.centroids, np.float32)


def _step(values: Floats) -> float:
    """A 127th of the largest number."""
    return float(np.abs(values).max(initial=0)) / 127


def _power(number: int) -> int:
    return 1 << max(number.bit_length() - 1, 0)
