"""The legs of a search over one generation of a folder: its filter evaluated once, its indexes asked."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.ranking import Leg, Ranker, cut
from retr.index.settings import SearchSettings
from retr.index.snapshot import Snapshot
from retr.index.writing.stored import part_of
from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Matches

MAX_QUERY_CHARACTERS = 65_536


def check_query(text: str) -> str:
    """The query itself, or BadInput."""
    if not isinstance(text, str) or not text.strip():
        raise BadInput("The query is empty. Give at least one word.")
    if len(text) > MAX_QUERY_CHARACTERS:
        raise BadInput(
            f"The query has {len(text)} characters; at most {MAX_QUERY_CHARACTERS} are accepted. Shorten it."
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput("The query is not valid Unicode (a lone surrogate). Check the terminal's encoding.") from None
    return text


class Searcher(Ranker):
    """Searches one snapshot with one set of settings, so that the filter is evaluated once for many queries."""

    def __init__(self, snapshot: Snapshot, settings: SearchSettings) -> None:
        super().__init__(snapshot.manifest, settings)
        self._snapshot = snapshot
        self._allowed = self._allowed_rows()
        self._keys = None if settings.group == "passage" or snapshot.one_each else snapshot.document_of

    def _allowed_rows(self) -> NDArray[np.bool_] | None:
        if self._settings.where is None:
            return self._snapshot.live_rows
        chosen = self._snapshot.documents_where(self._settings.where)
        return chosen if self._snapshot.one_each else chosen[self._snapshot.document_of]

    def vector_legs(self, vectors: Embeddings, depth: int) -> list[Leg]:
        """The nearest passages of each query, at most `depth`, one a key."""
        name = "late" if isinstance(vectors, TokenVectors) else "dense"
        wanted, total = self._first_try(depth), self._snapshot.manifest.next_row
        matches = self._matches(vectors, wanted, explain=self._settings.explain)
        legs = []
        for number in range(len(vectors)):
            rows, scores = matches.rows[number], matches.scores[number]
            width = wanted
            while True:
                found = rows >= 0
                leg = self._leg(name, rows[found], scores[found])
                if len(leg.rows) >= depth or not found.all() or width >= total:
                    break
                width *= 4
                again = self._matches(_one_of(vectors, number), width)
                rows, scores = again.rows[0], again.scores[0]
            legs.append(cut(leg, depth))
        return legs

    def _matches(self, vectors: Embeddings, wanted: int, *, explain: bool = False) -> Matches:
        """The nearest rows of each query; with `explain`, how they were searched for is noted."""
        snapshot, exact, allowed = self._snapshot, self._settings.exact, self._allowed
        if isinstance(vectors, TokenVectors):
            assert snapshot.late is not None
            effort = self._settings.effort
            matches, plans = snapshot.late.search_explained(vectors, wanted, allowed, exact=exact, effort=effort)
        else:
            assert snapshot.dense is not None
            if not explain:
                return snapshot.dense.search(vectors, wanted, allowed, exact=exact)
            matches, plans = snapshot.dense.search_explained(vectors, wanted, allowed, exact=exact)
        if explain:
            self.plans = plans
        return matches

    def lexical_leg(self, text: str, depth: int) -> Leg:
        """The passages that hold the query's words."""
        if self._snapshot.lexical is None:
            return self._leg("lexical", np.empty(0, np.int64), np.empty(0, np.float32))
        allowed = self._lexical_allowed
        wanted = self._first_try(depth)
        while True:
            rows, scores = self._snapshot.lexical.search(text, wanted, allowed)
            leg = self._leg("lexical", rows, scores)
            if len(leg.rows) >= depth or len(rows) < wanted:
                return cut(leg, depth)
            wanted *= 4

    @property
    def _lexical_allowed(self) -> NDArray[np.bool_] | None:
        """Tombstones are already out of this generation's postings; only a filter has to be passed on."""
        return None if self._settings.where is None else self._allowed

    def _first_try(self, depth: int) -> int:
        return depth if self._keys is None else 2 * depth

    def _leg(self, name: str, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> Leg:
        if self._keys is None:
            return Leg(name, rows, scores, rows)
        keys = self._keys[rows]
        first = np.sort(np.unique(keys, return_index=True)[1])
        return Leg(name, rows[first], scores[first], keys[first])

    def said_of_words(self, text: str, row: int) -> dict[str, Any]:
        """The terms that gave the row its score, and the plan."""
        lexical = self._snapshot.lexical
        if lexical is None:
            return {}
        return {"terms": lexical.explain(text, row), "plan": lexical.plan(self._lexical_allowed)}


def _one_of(vectors: Embeddings, number: int) -> Embeddings:
    if isinstance(vectors, TokenVectors):
        return part_of(vectors, number, number + 1)
    return Vectors(vectors.values[number : number + 1])
