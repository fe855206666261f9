"""The tables of a collection. Each has a schema of its own, which a row of `retr.collections` names.

documents   one row a document, metadata and passages' spans in the same row; `number` rises as documents are written
passages    one row a passage with its vector, and its coded tokens with the number of their codec
postings    one row a term of a passage, found by the term; `length` is the passage's, as BM25 rounds it
codecs      one row a codec of tokens, and how many passages and bytes are coded by it
lists       one row a list of a passage, found by the list: the centroids of its tokens
"""

from dataclasses import dataclass

from psycopg import sql

from retr.index.dense.settings import DenseSettings
from retr.retrieval.errors import BadInput

CATALOGUE = (
    "CREATE SCHEMA IF NOT EXISTS retr",
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE SEQUENCE IF NOT EXISTS retr.homes",
    """CREATE TABLE IF NOT EXISTS retr.collections (
        name text COLLATE "C" PRIMARY KEY, home text NOT NULL, before text, generation bigint NOT NULL,
        documents bigint NOT NULL, passages bigint NOT NULL, length bigint NOT NULL, next_number bigint NOT NULL,
        created text NOT NULL, encoder jsonb, late jsonb, settings jsonb NOT NULL)""",
)
CATALOGUE_LOCK = 0x72657472
"""Whoever makes the catalogue holds this advisory lock: `IF NOT EXISTS` alone does not keep two apart."""

_DOCUMENTS = """CREATE TABLE {documents} (
    number bigint PRIMARY KEY, id text COLLATE "C" NOT NULL UNIQUE, title text NOT NULL, text text NOT NULL,
    metadata jsonb NOT NULL, source jsonb NOT NULL, spans int[] NOT NULL, text_hash bytea NOT NULL,
    record_hash bytea NOT NULL)"""
_PASSAGES = """CREATE TABLE {passages} (
    document bigint NOT NULL, ordinal int NOT NULL, vector {type}, codec int, tokens bytea STORAGE EXTERNAL,
    PRIMARY KEY (document, ordinal))"""
_POSTINGS = """CREATE TABLE {postings} (
    term text COLLATE "C" NOT NULL, document bigint NOT NULL, ordinal int NOT NULL, count int NOT NULL,
    length int NOT NULL, PRIMARY KEY (term, document, ordinal) INCLUDE (count, length))"""
_CODECS = """CREATE TABLE {codecs} (
    number int PRIMARY KEY, key text NOT NULL UNIQUE, data bytea NOT NULL, passages bigint NOT NULL,
    bytes bigint NOT NULL)"""
_LISTS = """CREATE TABLE {lists} (
    list int NOT NULL, document bigint NOT NULL, ordinal int NOT NULL, PRIMARY KEY (list, document, ordinal))"""
_BY_DOCUMENT = ("CREATE INDEX ON {postings} (document)", "CREATE INDEX ON {lists} (document)")
_MADE = (_DOCUMENTS, _PASSAGES, _POSTINGS, _CODECS, _LISTS, *_BY_DOCUMENT)
_TABLES = ("documents", "passages", "postings", "codecs", "lists")

TYPES = {"float32": "vector", "float16": "halfvec"}
KINDS = ("auto", "flat", "hnsw", "ivf-flat")
MAX_DIM = 16_000
MAX_INDEXED = {"float32": 2_000, "float16": 4_000}
"""Numbers that pgvector indexes of a vector, by storage."""

CENTROIDS = 1 << 16
"""A list's number in the table is its codec's times this, and its own."""


@dataclass(frozen=True, slots=True)
class Tables:
    """The names of one collection's tables, quoted."""

    home: str

    def of(self, query: str, **parts: sql.Composable) -> sql.Composed:
        """A query with {documents}, {passages} and so on, and other parts put in."""
        named = {name: sql.Identifier(self.home, name) for name in _TABLES}
        return sql.SQL(query).format(**{**named, **parts})

    def made(self, type: str | None) -> list[sql.Composed]:
        """What makes them; `type` is that of the vectors, None without vectors."""
        kept = sql.SQL(type or "vector")
        create = [sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self.home))]
        return create + [self.of(query, type=kept) for query in _MADE]

    def analyzed(self) -> list[sql.Composed]:
        """What counts for the planner how the tables are filled; the server does so by itself, but later."""
        return [self.of(f"ANALYZE {{{name}}}") for name in _TABLES if name != "codecs"]

    def dropped(self) -> sql.Composed:
        """What removes them."""
        return sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(self.home))


def vector_type(dense: DenseSettings, dim: int) -> str:
    """The type of a column of vectors, such as halfvec(384). BadInput for what pgvector cannot do."""
    if dense.storage not in TYPES:
        raise BadInput(f"PostgreSQL keeps vectors as {' or '.join(TYPES)}, not {dense.storage}. Give --storage so.")
    if dense.kind not in KINDS:
        raise BadInput(f"PostgreSQL searches by {', '.join(KINDS)}, not {dense.kind}. Give --kind so.")
    most = MAX_DIM if dense.kind in ("auto", "flat") else MAX_INDEXED[dense.storage]
    if dim > most:
        raise BadInput(
            f"Vectors of {dim} numbers are too long for {dense.kind} and {dense.storage} here: at most {most}. "
            "Keep fewer with --dim, or use --storage float16 or --kind flat."
        )
    return f"{TYPES[dense.storage]}({dim})"
