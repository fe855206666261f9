"""Deleted documents' token vectors, as any codec of the folder would keep them: what must be in no file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.segments import OpenSegment
from retr.index.erasing.needles import LONGEST, Needles, searchable
from retr.index.late.codec import Codec
from retr.index.late.kernels.arrays import Bytes, Rows
from retr.index.late.merging import pieces
from retr.index.late.part import LatePart
from retr.index.snapshot import Snapshot

_TOKENS = 8
"""Tokens of a document that are looked for, spread over it."""


@dataclass(frozen=True, slots=True)
class TokenPiece:
    """The bytes of one token of the document `id`; `own` as they were written, not as another codec would have them."""

    id: str
    own: bool
    data: bytes


def token_pieces(snapshot: Snapshot, gone: Sequence[tuple[OpenSegment, int, str]]) -> list[TokenPiece]:
    """Pieces of deleted documents, (segment, first row, id) each, that no living token has under the same codec.

    Compaction codes some tokens anew, by a codec that is in the folder already, or by one trained on the living alone.
    """
    parts = [segment.late for segment in (*snapshot.segments, *(one[0] for one in gone))]
    codecs = {part.codec.key: part.codec for part in parts if part is not None}
    kept: list[TokenPiece] = []
    for codec in codecs.values():
        found = [piece for one in gone for piece in _pieces(*one, codec)]
        needles = Needles([piece.data for piece in found])
        living = np.zeros(len(needles), np.bool_)
        for data in _living(snapshot, codec) if found else ():
            living |= needles.found_in(data)
        kept += [piece for piece, one in zip(found, living, strict=True) if not one]
    return kept


def _pieces(segment: OpenSegment, row: int, id: str, codec: Codec) -> Iterator[TokenPiece]:
    part = segment.late
    if part is None:
        return
    first, last = part.tokens.offsets[row : row + 2]
    places = np.unique(np.linspace(first, last - 1, _TOKENS).astype(np.int64))
    for code in _as_coded(part, places, codec):
        data = code.tobytes()[:LONGEST]
        if searchable(data):
            yield TokenPiece(id, part.codec.key == codec.key, data)


def _as_coded(part: LatePart, places: Rows, codec: Codec) -> Bytes:
    if part.codec.key == codec.key:
        return np.ascontiguousarray(part.tokens.residuals[places])
    return codec.encode(part.codec.decode(part.tokens, places))[1]


def _living(snapshot: Snapshot, codec: Codec) -> Iterator[Bytes]:
    """The living documents' tokens, some at a time, as bytes."""
    for segment in snapshot.segments:
        if segment.late is not None:
            rows: NDArray[np.bool_] = snapshot.live[segment.document_of + segment.facts.first_document]
            for _, places in pieces(segment.late.tokens, np.flatnonzero(rows)):
                yield _as_coded(segment.late, places, codec).reshape(-1)
