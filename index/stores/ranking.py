"""The legs of a search in a store: it is asked for more until enough documents are found."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from retr.index.disk.manifest import Manifest
from retr.index.lexical.postings import analyzer
from retr.index.ranking import Leg, Ranker, cut
from retr.index.settings import SearchSettings
from retr.index.stores.tokens import StoreTokens
from retr.retrieval.embeddings import Embeddings, Floats, TokenVectors
from retr.retrieval.filters import parse
from retr.retrieval.store import DenseQuery, Found, StoreQuery, StoreSnapshot, WordsQuery

Search = Callable[[int], Found]
"""The best passages, as many as are asked for, or all that there are."""


class StoreRanker(Ranker):
    """Searches one generation of a store with one set of settings."""

    def __init__(self, snapshot: StoreSnapshot, manifest: Manifest, settings: SearchSettings) -> None:
        super().__init__(manifest, settings)
        where = settings.where
        self._snapshot, self._where = snapshot, parse(where) if isinstance(where, str) else where

    def vector_legs(self, vectors: Embeddings, depth: int) -> list[Leg]:
        """The nearest passages of each query, at most `depth`, one a key."""
        if isinstance(vectors, TokenVectors):
            return self._late_legs(vectors, depth)
        queries = [DenseQuery(vector, self._settings.exact) for vector in vectors.values]
        if self._settings.explain and queries:
            self.plans = [{"plan": self._snapshot.plan(queries[0], self._where)}]
        return [self._leg("dense", self._searched(query), depth) for query in queries]

    def _late_legs(self, vectors: TokenVectors, depth: int) -> list[Leg]:
        tokens, effort, exact = StoreTokens(self._snapshot), self._settings.effort, self._settings.exact
        if self._settings.explain:
            self.plans = [{"plan": tokens.plan(depth, effort, exact=exact)}]

        def searched(query: Floats) -> Search:
            return lambda wanted: tokens.search(query, wanted, self._where, exact=exact, effort=effort)

        return [self._leg("late", searched(query), depth) for query in vectors]

    def lexical_leg(self, text: str, depth: int) -> Leg:
        """The passages that hold the query's words."""
        return self._leg("lexical", self._searched(self._words_query(text)), depth)

    def said_of_words(self, text: str, row: int) -> dict[str, Any]:
        """The terms that gave the row its score, and the plan."""
        query = self._words_query(text)
        return {"terms": self._snapshot.explain(query, row), "plan": self._snapshot.plan(query, self._where)}

    def _words_query(self, text: str) -> WordsQuery:
        language = str(self._manifest.settings["language"])
        return WordsQuery(text, Counter(analyzer(language).analyze(text)))

    def _searched(self, query: StoreQuery) -> Search:
        return lambda wanted: self._snapshot.search(query, wanted, self._where)

    def _leg(self, name: str, search: Search, depth: int) -> Leg:
        grouped = self._settings.group == "document" and self._manifest.live_passages > self._manifest.live_documents
        wanted = 2 * depth if grouped else depth
        while True:
            found = search(wanted)
            leg = _by_document(name, found) if grouped else Leg(name, found.rows, found.scores, self._keys(found))
            if len(leg.rows) >= depth or len(found.rows) < wanted:
                return cut(leg, depth)
            wanted *= 4

    def _keys(self, found: Found) -> Any:
        return found.documents if self._settings.group == "document" else found.rows


def _by_document(name: str, found: Found) -> Leg:
    first = np.sort(np.unique(found.documents, return_index=True)[1])
    return Leg(name, found.rows[first], found.scores[first], found.documents[first])
