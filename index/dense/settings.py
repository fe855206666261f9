"""What a user may choose about the dense vectors of a collection."""

from dataclasses import dataclass
from typing import Literal, get_args

from retr.retrieval.errors import BadInput, unknown

Kind = Literal["auto", "flat", "pq", "ivf-flat", "ivf-sq8", "ivf-pq", "hnsw", "rabitq"]
Storage = Literal["float32", "float16", "int8", "binary"]


@dataclass(frozen=True, slots=True)
class DenseSettings:
    """Fixed when a collection is made; `retr tune` may write better numbers.

    `kind` names the search structure of a segment and `storage` how its vectors are kept; `dim` keeps the first
    numbers of each vector alone (Matryoshka). `recall` is the share of the exact top 10, over the vectors as stored,
    that an approximate kind must find. `refine` (candidates a hit that are scored exactly), `nprobe` (lists searched)
    and `ef` (width of the graph search) are calibrated on the segment's own vectors unless they are given.
    """

    kind: Kind = "auto"
    storage: Storage = "float32"
    dim: int | None = None
    recall: float = 0.99
    refine: int | None = None
    nprobe: int | None = None
    ef: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown("dense index kind", str(self.kind), get_args(Kind))
        if self.storage not in get_args(Storage):
            raise unknown("vector storage", str(self.storage), get_args(Storage))
        if not isinstance(self.recall, int | float) or not 0 < self.recall <= 1:
            raise BadInput(f"recall must be above 0 and at most 1, such as 0.99; got {self.recall!r}.")
        for name in ("dim", "refine", "nprobe", "ef"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise BadInput(f"{name} must be a whole number of at least 1, or left out; got {value!r}.")
