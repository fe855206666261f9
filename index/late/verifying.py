"""Whether a late-interaction index finds what exact MaxSim finds, and which step loses what it does not find."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.late.index import LateIndex
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.mixed import MixedIndex
from retr.index.late.settings import Effort
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput, Mismatch

QUERY_TOKENS = 32
"""Tokens of a query that is made of a document's own."""
_ALL = 1 << 40


@dataclass(frozen=True, slots=True)
class Verified:
    """Shares of the `k` best documents of `queries` queries, on average, and the plan that was searched by.

    `recall`: of exact MaxSim's, found by the search. `coding`: of exact MaxSim's, found when every document is scored
    as it is kept. `scanning`: of those, found by the search. Without the vectors as given, `coding` is None and
    `recall` is `scanning`: what rounding tokens lost cannot be seen then.
    """

    k: int
    queries: int
    recall: float
    coding: float | None
    scanning: float
    plan: str

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def require(self, least: float) -> None:
        """Mismatch where the recall is below `least`, with what to change."""
        if self.recall >= least:
            return
        step = "Give more candidates" if self.coding is None or self.scanning < self.coding else "Use more bits"
        lost = "" if self.coding is None else f" Coding keeps {self.coding:.3f}, the {self.plan} {self.scanning:.3f}."
        raise Mismatch(
            f"The search finds {self.recall:.3f} of the {self.k} best documents by exact MaxSim over {self.queries} "
            f"queries; {least:g} is asked for.{lost} {step}."
        )


def verify(
    index: LateIndex | MixedIndex,
    documents: Iterable[TokenVectors] | None = None,
    *,
    queries: TokenVectors | None = None,
    k: int = 10,
    effort: Effort | None = None,
) -> Verified:
    """Compare searches with exact float32 MaxSim over `documents`: the index's own, in order, as they were given.

    `documents` may be a stream, of which one block is held at a time. Without queries, 100 are made by `own_queries`.
    """
    asked = own_queries(index) if queries is None else queries
    k = min(k, len(index))
    if not k or not len(asked):
        raise BadInput("There is nothing to compare: the index or the queries are empty.")
    found, plans = index.search_explained(asked, k, effort=effort)
    named = "; ".join(plan["plan"] for plan in (plans if isinstance(plans, list) else [plans]))
    kept = index.search(asked, k, effort=Effort(candidates=_ALL))
    scanning = _share(found.rows, kept.rows)
    if documents is None:
        return Verified(k, len(asked), scanning, None, scanning, named)
    best = exact_best(asked, documents, k, len(index))
    return Verified(k, len(asked), _share(found.rows, best), _share(kept.rows, best), scanning, named)


def own_queries(index: LateIndex | MixedIndex, count: int = 100, *, seed: int = 0) -> TokenVectors:
    """Queries made of some documents' own tokens, moved a little: 32 of each, seeded."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(index), min(count, len(index)), replace=False))
    made = []
    for tokens in index.vectors(rows):
        drawn = tokens[rng.integers(len(tokens), size=QUERY_TOKENS)]
        moved = drawn + rng.normal(0, 0.6 / np.sqrt(index.dim), drawn.shape)
        made.append(moved / np.linalg.norm(moved, axis=1, keepdims=True))
    values = np.concatenate([np.empty((0, index.dim)), *made]).astype(np.float32)
    return TokenVectors(values, np.arange(len(made) + 1, dtype=np.int64) * QUERY_TOKENS)


def exact_best(queries: TokenVectors, documents: Iterable[TokenVectors], k: int, total: int) -> NDArray[np.int64]:
    """The k best documents a query by float32 MaxSim, best first: int64 [queries, k]. Mismatch unless `total` come."""
    kernels, before = chosen_kernels(), 0
    scores, rows = np.empty((len(queries), 0)), np.empty((len(queries), 0), np.int64)
    for block in documents:
        here = np.stack([kernels.floats(query, block) for query in queries])
        places = np.broadcast_to(np.arange(before, before + len(block)), here.shape)
        scores, rows = np.concatenate([scores, here], axis=1), np.concatenate([rows, places], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, rows = np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
        before += len(block)
    if before != total:
        raise Mismatch(f"The index holds {total} documents; {before} were given to compare with. Give the same ones.")
    return rows


def _share(found: NDArray[np.int64], best: NDArray[np.int64]) -> float:
    return float((found[:, :, None] == best[:, None, :]).any(axis=1).mean())
