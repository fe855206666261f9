"""Everything that can be proved about a collection from its own tables, in one transaction."""

from typing import Any

from psycopg import sql

from retr.index.postgres.connecting import Connection
from retr.index.postgres.reading import Entry
from retr.index.postgres.schema import CENTROIDS, Tables

_COUNTS = """SELECT (SELECT count(*) FROM {documents}),
    (SELECT COALESCE(sum(cardinality(spans) / 2), 0) FROM {documents}),
    (SELECT count(*) FROM {passages}), (SELECT COALESCE(sum(count), 0) FROM {postings})"""
_ASTRAY = """SELECT (SELECT count(*) FROM {passages} p LEFT JOIN {documents} d ON d.number = p.document
    WHERE d.number IS NULL OR p.ordinal >= cardinality(d.spans) / 2),
    (SELECT count(*) FROM {postings} p LEFT JOIN {passages} q USING (document, ordinal) WHERE q.document IS NULL),
    (SELECT count(*) FROM {documents} d WHERE d.number >= %s)"""
_VECTORS = """SELECT count(*) FILTER (WHERE vector IS NULL),
    count(*) FILTER (WHERE abs((vector::vector <#> vector::vector) + 1) > 0.02) FROM {passages}"""


_TOKENS = """SELECT (SELECT count(*) FROM {passages} WHERE tokens IS NULL OR codec IS NULL),
    (SELECT count(*) FROM {codecs} c LEFT JOIN (
        SELECT codec, count(*) AS passages, sum(octet_length(tokens)) AS bytes FROM {passages} GROUP BY codec) p
        ON p.codec = c.number WHERE (c.passages, c.bytes) <> (COALESCE(p.passages, 0), COALESCE(p.bytes, 0))),
    (SELECT count(*) FROM {lists} l LEFT JOIN {passages} p USING (document, ordinal)
        WHERE p.codec IS DISTINCT FROM l.list / %s)"""


def checked(connection: Connection, entry: Entry) -> tuple[list[str], list[str]]:
    """What is sound, and what is not."""
    tables, facts = Tables(entry.home), entry.facts
    said: list[tuple[bool, str, str]] = []
    documents, spans, passages, length = _row(connection, tables.of(_COUNTS))
    kept = (facts.documents, facts.passages, facts.length)
    said.append(
        (
            (documents, passages, length) == kept and spans == passages,
            f"{documents} documents, {passages} passages and {length} terms, as the catalogue says",
            f"{documents} documents, {passages} passages (by spans {spans}) and {length} terms; the catalogue says "
            f"{facts.documents}, {facts.passages} and {facts.length}.",
        )
    )
    alone, unheld, beyond = _row(connection, tables.of(_ASTRAY), [entry.next_number])
    said.append(
        (
            not (alone or unheld or beyond),
            "every passage has its document, every term its passage",
            f"{alone} passages without their document, {unheld} terms without their passage, {beyond} documents with a "
            "number that was never given.",
        )
    )
    if entry.dim is not None and facts.encoder is not None:
        missing, uneven = _row(connection, tables.of(_VECTORS))
        cosine = facts.encoder["similarity"] == "cosine"
        said.append((not missing, "every passage has its vector", f"{missing} passages have no vector."))
        if cosine:
            said.append((not uneven, "vectors have length 1", f"{uneven} vectors do not have length 1."))
    if facts.late is not None:
        missing, uneven, astray = _row(connection, tables.of(_TOKENS), [CENTROIDS])
        said.append(
            (
                not (missing or uneven or astray),
                "every passage has its tokens, every list its passages",
                f"{missing} passages without tokens, {uneven} codecs that are counted wrong, {astray} entries of lists "
                "without their passage.",
            )
        )
    sound = [good for fine, good, _ in said if fine]
    return sound, [bad for fine, _, bad in said if not fine]


def _row(connection: Connection, query: sql.Composed, bound: Any = ()) -> tuple[Any, ...]:
    found = connection.execute(query, bound).fetchone()
    assert found is not None
    return found
