"""The approximate kinds as FAISS factory strings, when each can be built, and what a search with each costs.

Costs are counted in rows scored exactly: one inner product over the vectors as stored, about 30 ns at 384 numbers.
They were measured on one core of a server of 2023 at 18,000 and 100,000 rows; only their ratios matter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt

from retr.index.dense.settings import DenseSettings

FLAT_BELOW = 8_192
"""`auto` scans fewer rows than this exactly: a quarter of a millisecond, and nothing to train."""
LISTS_ABOVE = 200_000
"""`auto` cuts more rows than this into lists. Below, scanning every 4-bit code costs less than finding good lists:
sentence vectors cluster so badly that a tenth of all lists and more must be searched for a recall of 0.99."""
TRAINABLE = 1_024
"""Fewer rows train no quantizer worth having, and are scanned faster than an approximate search starts."""
PARTS = (4, 2, 3, 5, 6, 7, 8)
"""Numbers coded by one 4-bit code, the best first; one of them must divide the dimension."""
COSTED_PART = 4
"""The part whose codes `code_cost` counts; half as many numbers to a code are twice as many codes to scan."""

SEARCH_COST = 500.0
LIST_COST = 8.0
CANDIDATE_COST = 2.0


@dataclass(frozen=True, slots=True)
class Family:
    """One kind: its factory string from (dim, lists, numbers of a 4-bit code), how rows grow into lists, and the cost
    of one row's codes (or of one step of `ef` where it is a graph)."""

    factory: Callable[[int, int, int], str]
    lists: Callable[[int], int]
    code_cost: float
    graph: bool = False
    coded: bool = False


def _many_lists(rows: int) -> int:
    """As FAISS advises: 4 sqrt(rows), with 39 rows to train each list."""
    return max(1, min(4 * isqrt(rows), rows // 39))


def _few_lists(rows: int) -> int:
    """For codes that are scanned so fast that starting on a list costs as much as hundreds of them."""
    return max(1, min(isqrt(rows), rows // 39))


def _one_list(rows: int) -> int:
    return 1


def part_size(dim: int) -> int:
    """Numbers of one 4-bit code; 0 where a dimension is too small or divides by none."""
    return next((size for size in PARTS if dim % size == 0 and dim >= 4 * size), 0)


def finer_part(dim: int, part: int) -> int:
    """The next smaller number that one 4-bit code can stand for; 0 where there is none."""
    return next((size for size in range(part - 1, 1, -1) if dim % size == 0), 0)


FAMILIES: dict[str, Family] = {
    "pq": Family(lambda dim, lists, part: f"IVF{lists},PQ{dim // part}x4fs", _one_list, 0.05, coded=True),
    "ivf-pq": Family(lambda dim, lists, part: f"IVF{lists},PQ{dim // part}x4fs", _few_lists, 0.05, coded=True),
    "ivf-flat": Family(lambda dim, lists, part: f"IVF{lists},Flat", _many_lists, 1.5),
    "ivf-sq8": Family(lambda dim, lists, part: f"IVF{lists},SQ8", _many_lists, 1.2),
    "hnsw": Family(lambda dim, lists, part: "HNSW32_SQ8", _one_list, 45.0, graph=True),
    "rabitq": Family(
        lambda dim, lists, part: f"RR{dim},IVF{lists},RaBitQfs",
        lambda rows: 1 if rows <= LISTS_ABOVE else _few_lists(rows),
        0.15,
    ),
}
"""`pq` is one list and not FAISS's standalone quantizer: it is as fast, and takes a filter."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard one approximate search tries: candidates scored exactly; lists searched, or the graph's `ef`."""

    candidates: int
    width: int


def cost(family: Family, rows: int, lists: int, effort: Effort, part: int = COSTED_PART) -> float:
    """What an approximate search costs, in rows scored exactly; `part` numbers share a code, where there are codes."""
    work = SEARCH_COST + CANDIDATE_COST * effort.candidates
    if family.graph:
        return work + family.code_cost * effort.width
    coarse = lists + LIST_COST * effort.width if lists > 1 else 0.0
    code = family.code_cost * COSTED_PART / part if family.coded else family.code_cost
    return work + coarse + code * rows * min(1.0, effort.width / lists)


def chosen_kind(settings: DenseSettings, rows: int, dim: int) -> tuple[str, str]:
    """The kind that is built, and why where it is not the one asked for."""
    kind: str = settings.kind
    if kind == "auto":
        if rows < FLAT_BELOW:
            return "flat", f"fewer than {FLAT_BELOW} rows"
        kind = "pq" if rows <= LISTS_ABOVE else "ivf-pq"
    if kind == "flat":
        return kind, ""
    if rows < TRAINABLE:
        return "flat", f"fewer than {TRAINABLE} rows"
    if FAMILIES[kind].coded and not part_size(dim):
        simpler = "flat" if settings.kind == "pq" else "ivf-sq8"
        return simpler, f"{dim} numbers cannot be cut for 4-bit codes"
    return kind, ""
