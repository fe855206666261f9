"""What a user may choose about token vectors, and how a search goes about it."""

from dataclasses import dataclass
from typing import Literal, get_args

from retr.retrieval.errors import BadInput

Bits = Literal[8, 4, 2]

MOST_CENTROIDS = 32_768
"""Codes are 16 bits wide, and so many centroids' bytes for 32 query tokens still lie in a second-level cache."""
POINTS = 40
"""Tokens a centroid is trained on, at least: k-means' own rule (faiss warns below 39)."""


@dataclass(frozen=True, slots=True)
class LateSettings:
    """Fixed when token vectors are first written.

    `bits` a number: 8 keeps tokens as whole numbers, 4 and 2 what is left beside the nearest of `centroids` (left out:
    the largest power of two below 16 times the root of the number of tokens, as in PLAID, Santhanam et al., 2022; 0,
    with 8 bits alone, for none). `sample_tokens` is how many tokens are held in memory to train the codec.
    """

    bits: Bits = 4
    centroids: int | None = None
    sample_tokens: int = POINTS * MOST_CENTROIDS
    rounds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.bits not in get_args(Bits) or isinstance(self.bits, bool):
            raise BadInput(f"bits must be 8, 4 or 2; got {self.bits!r}.")
        least = 0 if self.bits == 8 else 1
        if self.centroids is not None and not _whole(self.centroids, least, MOST_CENTROIDS):
            raise BadInput(f"centroids must be {least} to {MOST_CENTROIDS}, or left out; got {self.centroids!r}.")
        for name, value in (("sample_tokens", self.sample_tokens), ("rounds", self.rounds)):
            if not _whole(value, 1, 1 << 40):
                raise BadInput(f"{name} must be a whole number of at least 1; got {value!r}.")
        if not _whole(self.seed, 0, (1 << 31) - 1):
            raise BadInput(f"seed must be a whole number from 0 to 2147483647; got {self.seed!r}.")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a search does: documents scored by all their tokens, and centroids a query token looks into.

    `candidates` left out is 1,024, or 50 a hit if that is more. `nprobe` counts only where lists are searched.
    """

    candidates: int | None = None
    nprobe: int = 8

    def __post_init__(self) -> None:
        if self.candidates is not None and not _whole(self.candidates, 1, 1 << 40):
            raise BadInput(f"candidates must be a whole number of at least 1, or left out; got {self.candidates!r}.")
        if not _whole(self.nprobe, 1, MOST_CENTROIDS):
            raise BadInput(f"nprobe must be 1 to {MOST_CENTROIDS}; got {self.nprobe!r}.")

    def for_hits(self, k: int) -> int:
        """Documents scored by all their tokens for k hits."""
        return max(k, max(1024, 50 * k) if self.candidates is None else self.candidates)


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
