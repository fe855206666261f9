"""The searches of a generation: nearest vectors by an index or by all of them, and words by BM25."""

from typing import Any

import numpy as np
from psycopg import sql

from retr.index.postgres.binary import vector_text
from retr.index.postgres.reading import Reader
from retr.index.postgres.schema import CENTROIDS
from retr.retrieval.filters import Filter
from retr.retrieval.store import DenseQuery, Found, StoreQuery, TokensQuery, WordsQuery, place_of, row_of
from retr.retrieval.store_words import WordStatistics

_MATCHING = " JOIN {documents} d ON d.number = p.document WHERE {where}"
# The sum keeps the planner from an index on the vectors: this query compares all of them.
_EXACT = """SELECT p.document, p.ordinal, (p.vector::vector <#> %s::vector) + 0.0 AS distance
    FROM {passages} p{matching}
    ORDER BY distance, p.document, p.ordinal LIMIT %s"""
_NEAREST = """SELECT document, ordinal, vector::vector <#> %s::vector AS distance FROM (
    SELECT p.document, p.ordinal, p.vector FROM {passages} p{matching}
    ORDER BY p.vector <#> %s::{type} LIMIT %s) nearest ORDER BY distance, document, ordinal"""
_HOLDING = "SELECT term, count(*) FROM {postings} WHERE term = ANY(%s) GROUP BY term"
# The filter stands outside: a passage is tested once, not once for each of the terms that it holds.
WORDS = """SELECT p.document, p.ordinal, p.distance FROM (
    SELECT t.document, t.ordinal, -sum(w.weight * t.count / (t.count + %s + %s * t.length))::float4 AS distance
    FROM unnest(%s::text[], %s::float8[]) AS w(term, weight) JOIN {postings} t ON t.term = w.term COLLATE "C"
    GROUP BY t.document, t.ordinal) p{matching} ORDER BY p.distance, p.document, p.ordinal LIMIT %s"""
# A token's heaviest list that a passage is in; a token that is in none of its lists gives nothing.
_LISTED = """SELECT p.document, p.ordinal, p.distance FROM (
    SELECT t.document, t.ordinal, -sum(t.weight)::float4 AS distance FROM (
        SELECT l.document, l.ordinal, max(q.weight) AS weight
        FROM unnest(%s::int[], %s::int[], %s::float4[]) AS q(token, list, weight) JOIN {lists} l ON l.list = q.list
        GROUP BY l.document, l.ordinal, q.token) t
    GROUP BY t.document, t.ordinal) p{matching} ORDER BY p.distance, p.document, p.ordinal LIMIT %s"""
_WIDTHS = """SELECT set_config('hnsw.iterative_scan', 'strict_order', true),
    set_config('ivfflat.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', %s, true),
    set_config('ivfflat.probes', %s, true)"""
_EF, _MOST_EF, _PROBES, _MOST_PROBES = 100, 1_000, 20, 32_768


class Searches(Reader):
    """What a transaction finds."""

    def search(self, query: StoreQuery, k: int, where: Filter | None = None) -> Found:
        """The k best passages of documents for which the filter holds; fewer only where fewer match."""
        if isinstance(query, WordsQuery):
            return self._words(query, k, where)
        if isinstance(query, TokensQuery):
            return self._listed(query, k, where)
        if query.exact or not self.facts.index:
            return self._exact(query, k, where)
        found = self._nearest(query, k, where)
        # An index gives up after some candidates; all vectors are compared where that was too soon.
        whole = len(found.rows) >= k or (where is None and len(found.rows) == self.facts.passages)
        return found if whole else self._exact(query, k, where)

    def plan(self, query: StoreQuery, where: Filter | None = None) -> str:
        """How `search` goes about it."""
        if isinstance(query, WordsQuery):
            return "the postings of the query's terms"
        if isinstance(query, TokensQuery):
            return "the lists of centroids near to the query's tokens"
        if query.exact or not self.facts.index:
            return "every vector that matches"
        return f"{self.facts.index}, scanned on until enough match; every vector that matches if that gives up"

    def explain(self, query: WordsQuery, row: int) -> list[dict[str, Any]]:
        """What each term gave to the row's score."""
        statistics = self.statistics(query)
        base, slope = statistics.norm()
        weights = statistics.weights(query.terms)
        held = self._all(
            "SELECT term, count, length FROM {postings} WHERE document = %s AND ordinal = %s AND term = ANY(%s)",
            [*place_of(row), list(weights)],
        )
        parts = [
            {
                "term": term,
                "score": round(weights[term] * count / (count + base + slope * length), 6),
                "frequency": float(count),
                "documents_with_term": float(statistics.holding[term]),
                "idf": round(statistics.idf(term), 6),
                "length": float(length),
            }
            for term, count, length in held
        ]
        return sorted(parts, key=lambda part: -float(str(part["score"])))

    def _exact(self, query: DenseQuery, k: int, where: Filter | None) -> Found:
        return self._found(_EXACT, [vector_text(query.vector)], where, [k])

    def _nearest(self, query: DenseQuery, k: int, where: Filter | None) -> Found:
        width = self._entry.dense.ef or max(_EF, 2 * k)
        probes = self._entry.dense.nprobe or _PROBES
        self._connection.execute(_WIDTHS, [str(min(width, _MOST_EF)), str(min(probes, _MOST_PROBES))])
        vector = vector_text(query.vector)
        return self._found(_NEAREST, [vector], where, [vector, k], type=sql.SQL(self._entry.type))

    def _words(self, query: WordsQuery, k: int, where: Filter | None) -> Found:
        statistics = self.statistics(query)
        weights = statistics.weights(query.terms)
        if not weights:
            return found_of([])
        bound = [*statistics.norm(), list(weights), list(weights.values())]
        return self._found(WORDS, bound, where, [k])

    def _listed(self, query: TokensQuery, k: int, where: Filter | None) -> Found:
        found = self._all("SELECT number FROM {codecs} WHERE key = %s", [query.codec])
        lists = query.lists + (found[0][0] if found else -1) * CENTROIDS
        return self._found(_LISTED, [query.tokens.tolist(), lists.tolist(), query.weights.tolist()], where, [k])

    def statistics(self, query: WordsQuery) -> WordStatistics:
        """How often a query's terms come; what the query brings along goes before."""
        if query.statistics is not None:
            return query.statistics
        holding = dict(self._all(_HOLDING, [list(query.terms)]))
        return WordStatistics(self.facts.passages, self.facts.length, holding)

    def _found(
        self, query: str, before: list[Any], where: Filter | None, after: list[Any], **parts: sql.Composable
    ) -> Found:
        condition, bound = self.condition(where)
        matching = sql.SQL("") if where is None else self._tables.of(_MATCHING, where=condition)
        return found_of(self._all(query, [*before, *bound, *after], matching=matching, **parts))


def found_of(rows: list[tuple[Any, ...]]) -> Found:
    """Of (document, ordinal, distance), best first."""
    documents = np.array([row[0] for row in rows], np.int64)
    places = np.array([row_of(number, ordinal) for number, ordinal, _ in rows], np.int64)
    return Found(places, documents, np.array([-row[2] for row in rows], np.float32))
