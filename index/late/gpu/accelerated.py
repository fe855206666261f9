"""An index whose parts lie on a GPU; what the GPU cannot do is done as on the CPU, and says why."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from retr.index.dense.gpu.moving import first_line
from retr.index.late.gpu.placing import forked, turn
from retr.index.late.gpu.resident import Resident
from retr.index.late.gpu.searching import OnDevice
from retr.index.late.index import Allowed, Asked, LateIndex, Scored, matches_of
from retr.index.late.settings import Effort
from retr.retrieval.embeddings import Embeddings
from retr.retrieval.protocols import Matches


class AcceleratedIndex:
    """Searches what `index` holds, on the GPU that holds the same parts' tokens. Safe to share between threads."""

    def __init__(self, index: LateIndex, parts: Sequence[Resident], gpu: int) -> None:
        self._index, self._on_device, self._gpu = index, OnDevice(parts), gpu

    def search_explained(
        self,
        queries: Embeddings,
        k: int,
        allowed: Allowed | None = None,
        *,
        exact: bool = False,
        effort: Effort | None = None,
    ) -> tuple[Matches, dict[str, Any]]:
        """As `LateIndex.search_explained`, with the same scores."""
        asked = self._index.asked(queries, k, allowed, exact=exact, effort=effort)
        found, plan = self._found(asked)
        return matches_of(found, k), plan

    def _found(self, asked: Asked) -> tuple[list[Scored], dict[str, Any]]:
        name, why = f"GPU {self._gpu}", self._unfit(asked)
        if not why:
            try:
                return self._on_gpu(asked, name)
            except RuntimeError as error:  # No room for this search on the GPU, or the GPU is gone.
                why = f"{name} failed ({first_line(error)})"
        said = asked.plan.explain()
        return self._index.found(asked), {**said, "why": f"{said['why']}; on the CPU, since {why}"}

    def _unfit(self, asked: Asked) -> str:
        """Why a search is not done on the GPU; empty where it is."""
        if asked.plan.way == "float32":
            return "a GPU compares rounded queries alone"
        if not asked.plan.matching or not asked.queries:
            return "there is nothing to compare"
        return "a forked process cannot use its parent's GPU" if forked() else ""

    def _on_gpu(self, asked: Asked, name: str) -> tuple[list[Scored], dict[str, Any]]:
        plan = asked.plan
        if plan.way == "lists":
            plan = replace(plan, way="scan", why=f"{plan.why}; a GPU scans all codes")
        queries = [self._index.prepared(values) for values in asked.queries]
        with turn(self._gpu):
            whole = self._on_device.search([query.numbers for query in queries], asked.k, asked.rows, plan)
        found = [query.scored(*one) for query, one in zip(queries, whole, strict=True)]
        said = plan.explain()
        return found, {**said, "plan": f"{said['plan']}, on {name}"}
