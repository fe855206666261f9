"""What a user may choose about tuning."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from retr.index.dense.settings import Kind, Storage
from retr.index.settings import check_k
from retr.retrieval.errors import BadInput, unknown

KINDS: tuple[Kind, ...] = ("flat", "pq", "ivf-pq", "ivf-sq8", "ivf-flat", "rabitq", "hnsw")
"""What is tried unless kinds are named, the quickest to build first; `auto` is a rule and no kind to measure."""


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """`recall` is the share of the exact top k that must be found. No `storages` stand for the one the collection has.

    At most `sample` vectors are indexed for the trial, and `queries` of the collection's vectors are held out of it
    where no queries are given. `seed` draws both, and halves the queries into those that choose and those that check.
    """

    recall: float = 0.95
    k: int = 10
    kinds: tuple[Kind, ...] = KINDS
    storages: tuple[Storage, ...] = ()
    sample: int = 200_000
    queries: int = 1_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.recall, int | float) or not 0 < self.recall <= 1:
            raise BadInput(f"recall must be above 0 and at most 1, such as 0.95; got {self.recall!r}.")
        if check_k(self.k) > 1_000:
            raise BadInput(f"k must be at most 1000 for tuning; got {self.k}.")
        if not self.kinds:
            raise BadInput(f"No kinds to measure. Name some of: {', '.join(KINDS)}.")
        check_names("dense index kind to measure", self.kinds, KINDS)
        check_names("vector storage", self.storages, get_args(Storage))
        for name, least in (("sample", 100), ("queries", 20), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise BadInput(f"{name} must be a whole number of at least {least}; got {value!r}.")


def check_names(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    """The error for the first name that is not known."""
    wrong = [name for name in names if name not in known]
    if wrong:
        raise unknown(what, wrong[0], known)
