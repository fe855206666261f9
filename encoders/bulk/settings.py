"""What decides about the vectors that bulk encoding writes, and about the size of its shards."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from retr.encoders.running.pipeline import Side, WindowSettings
from retr.retrieval.errors import BadInput, unknown

Dtype = Literal["float32", "float16"]

LARGEST_OF_MEAN = 4
SMALLEST_OF_MEAN = 4
"""A shard has at least a quarter of the usual number of texts and at most four times as many."""


@dataclass(frozen=True, slots=True)
class BulkSettings:
    """Settings of `encode_records`.

    `dim` keeps the first so many numbers of each vector (Matryoshka, arXiv 2205.13147). `shard_texts` is the usual
    number of texts in a shard, `shard_characters` the number after which one ends in any case. `keep_texts` writes the
    texts beside the ids.
    """

    side: Side = "documents"
    dtype: Dtype = "float32"
    dim: int | None = None
    shard_texts: int = 4096
    shard_characters: int = 32_000_000
    keep_texts: bool = False
    window: WindowSettings = field(default_factory=WindowSettings)

    def __post_init__(self) -> None:
        for name, known in (("side", get_args(Side)), ("dtype", get_args(Dtype))):
            if getattr(self, name) not in known:
                raise unknown(name, str(getattr(self, name)), known)
        for name in ("shard_texts", "shard_characters"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}; a shard needs at least 1.")
        if self.dim is not None and self.dim < 1:
            raise BadInput(f"dim is {self.dim}; a vector needs at least 1 number.")

    @property
    def smallest(self) -> int:
        """Texts before which no shard ends, but for the last and those full of characters."""
        return max(1, self.shard_texts // SMALLEST_OF_MEAN)

    @property
    def largest(self) -> int:
        """Texts at which a shard ends in any case."""
        return self.shard_texts * LARGEST_OF_MEAN
