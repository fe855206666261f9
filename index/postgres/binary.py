"""Rows in the binary form of COPY, and vectors in that of pgvector: quicker to write and to read than text."""

import json
import re
import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.segments import to_json
from retr.retrieval.embeddings import Floats

START = b"PGCOPY\n\xff\r\n\x00" + struct.pack("!ii", 0, 0)
END = struct.pack("!h", -1)
_INT4 = 23
"""The number that PostgreSQL has for int4 in every database."""

_EXPONENT = re.compile(r"\d[eE][+-]?\d")
_KINDS = {"vector": ">f4", "halfvec": ">f2"}


def row(fields: Sequence[bytes | None]) -> bytes:
    """One row of these fields, in the order of the columns; None is NULL."""
    parts = [struct.pack("!h", len(fields))]
    for value in fields:
        parts += [b"\xff\xff\xff\xff"] if value is None else [struct.pack("!i", len(value)), value]
    return b"".join(parts)


def int8(value: int) -> bytes:
    """A bigint."""
    return struct.pack("!q", value)


def int4(value: int) -> bytes:
    """An int."""
    return struct.pack("!i", value)


def jsonb(value: Any) -> bytes:
    """A jsonb, whose numbers come back as they were."""
    return b"\x01" + json_text(value).encode()


def ints(values: Sequence[int]) -> bytes:
    """An int[]."""
    if not values:
        return struct.pack("!iii", 0, 0, _INT4)
    each = np.empty((len(values), 2), ">i4")
    each[:, 0], each[:, 1] = 4, values
    return struct.pack("!iiiii", 1, 0, _INT4, len(values), 1) + each.tobytes()


def vector(values: Floats, type: str) -> bytes:
    """A vector or halfvec of float32 [dim]."""
    return struct.pack("!hh", len(values), 0) + values.astype(_KINDS[type]).tobytes()


def read_vectors(rows: Sequence[bytes], type: str, dim: int) -> Floats:
    """float32 [rows, dim] of what `vector_send` or `halfvec_send` gives."""
    found: NDArray[Any] = np.frombuffer(b"".join(one[4:] for one in rows), _KINDS[type])
    return found.astype(np.float32).reshape(-1, dim)


def vector_text(values: Floats) -> str:
    """A vector as it is bound in a query."""
    return f"[{','.join(map(repr, values.tolist()))}]"


def json_text(value: Any) -> str:
    """JSON in which every float has a point: jsonb keeps digits, but no exponent, by which 1e+16 would be a whole."""
    text = to_json(value)
    return _plain(json.loads(text)) if _EXPONENT.search(text) else text


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{to_json(key)}:{_plain(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_plain, value)) + "]"
    if isinstance(value, float):
        digits = format(Decimal(repr(value)), "f")
        return digits if "." in digits else f"{digits}.0"
    return to_json(value)
