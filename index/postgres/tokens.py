"""The coded tokens of passages in one transaction: rows of codecs and lists, and how much each codec codes."""

from collections.abc import Mapping, Sequence
from typing import Any

from retr.index.postgres.binary import int4, int8, row
from retr.index.postgres.connecting import Connection
from retr.index.postgres.schema import CENTROIDS, Tables
from retr.retrieval.errors import BadInput
from retr.retrieval.store import CodedTokens, StoredDocument, place_of

_ROWS = "unnest(%s::bigint[], %s::int[])"


class TokenChanges:
    """Writes under the lock of the collection's row; `wanted` says whether passages have tokens at all."""

    def __init__(self, connection: Connection, tables: Tables, *, wanted: bool) -> None:
        self._connection, self._tables, self._wanted = connection, tables, wanted
        self._numbers: dict[str, int] = {}
        self._grown: dict[int, tuple[int, int]] = {}

    def keep_codec(self, key: str, data: bytes) -> None:
        """Keep a codec, unless it is there."""
        self._run(
            """INSERT INTO {codecs} SELECT COALESCE(max(number), 0) + 1, %s, %s, 0, 0 FROM {codecs}
            ON CONFLICT (key) DO NOTHING""",
            [key, data],
        )

    def fields(self, stored: StoredDocument) -> list[list[bytes | None]]:
        """The last columns of each of a document's passages: the codec's number and the tokens. BadInput without."""
        each = stored.tokens
        if not self._wanted:
            return [[None, None] for _ in stored.spans]
        if each is None or len(each) != len(stored.spans):
            held = "none" if each is None else str(len(each))
            raise BadInput(f"The document {stored.document.id!r} has tokens of {held} of {len(stored.spans)} passages.")
        for one in each:
            self._grow(self._number(one.codec), 1, len(one.data))
        return [[int4(self._number(one.codec)), one.data] for one in each]

    def lists(self, number: int, tokens: Sequence[CodedTokens] | None) -> list[bytes]:
        """The rows of lists of a document's passages."""
        return [one for ordinal, each in enumerate(tokens or ()) for one in self._lists(number, ordinal, each)]

    def removed(self, documents: list[int]) -> None:
        """Take out the passages of documents, and the lists that they are in."""
        self._run("DELETE FROM {lists} WHERE document = ANY(%s)", [documents])
        gone = self._connection.execute(
            self._tables.of(
                """WITH gone AS (DELETE FROM {passages} WHERE document = ANY(%s) RETURNING codec, tokens)
                SELECT codec, count(*), sum(octet_length(tokens))::bigint FROM gone WHERE codec IS NOT NULL
                GROUP BY codec"""
            ),
            [documents],
        )
        for codec, passages, size in gone.fetchall():
            self._grow(codec, -passages, -size)

    def recode(self, tokens: Mapping[int, CodedTokens]) -> list[bytes]:
        """Put tokens in the place of those of rows that are still there; gives the rows of their lists."""
        places = [place_of(row) for row in tokens]
        numbers, ordinals = [number for number, _ in places], [ordinal for _, ordinal in places]
        held = self._connection.execute(
            self._tables.of(
                f"""SELECT p.document, p.ordinal, p.codec, octet_length(p.tokens)
                FROM {_ROWS} AS r(document, ordinal) JOIN {{passages}} p USING (document, ordinal)"""
            ),
            [numbers, ordinals],
        ).fetchall()
        self._run(
            f"""DELETE FROM {{lists}} l USING {_ROWS} AS r(document, ordinal)
            WHERE l.document = r.document AND l.ordinal = r.ordinal""",
            [numbers, ordinals],
        )
        each = list(tokens.values())
        self._run(
            """UPDATE {passages} p SET codec = r.codec, tokens = r.tokens
            FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::bytea[]) AS r(document, ordinal, codec, tokens)
            WHERE p.document = r.document AND p.ordinal = r.ordinal""",
            [numbers, ordinals, [self._number(one.codec) for one in each], [one.data for one in each]],
        )
        new = dict(zip(places, each, strict=True))
        for number, ordinal, codec, size in held:
            one = new[number, ordinal]
            self._grow(codec, -1, -size)
            self._grow(self._number(one.codec), 1, len(one.data))
        return [one for number, ordinal, *_ in held for one in self._lists(number, ordinal, new[number, ordinal])]

    def finish(self) -> None:
        """Note how much each codec codes now."""
        for number, (passages, size) in self._grown.items():
            self._run(
                "UPDATE {codecs} SET passages = passages + %s, bytes = bytes + %s WHERE number = %s",
                [passages, size, number],
            )

    def _lists(self, number: int, ordinal: int, one: CodedTokens) -> list[bytes]:
        first, place = self._number(one.codec) * CENTROIDS, (int8(number), int4(ordinal))
        return [row([int4(first + each), *place]) for each in one.lists]

    def _number(self, key: str) -> int:
        if key not in self._numbers:
            found = self._connection.execute(self._tables.of("SELECT key, number FROM {codecs}")).fetchall()
            self._numbers = dict(found)
        if key not in self._numbers:
            raise BadInput(f"The codec {key[:12]} of these tokens is not in the collection. Keep it there first.")
        return self._numbers[key]

    def _grow(self, codec: int, passages: int, size: int) -> None:
        before = self._grown.get(codec, (0, 0))
        self._grown[codec] = before[0] + passages, before[1] + size

    def _run(self, query: str, bound: list[Any]) -> None:
        self._connection.execute(self._tables.of(query), bound)
