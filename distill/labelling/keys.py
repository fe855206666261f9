"""The ids of labels: hashes of the texts themselves, so that neither a row's place nor a file's order matters."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Literal

Side = Literal["documents", "queries"]


def pair_id(query: str, text: str, *, symmetric: bool = False) -> str:
    """32 hexadecimal digits of a pair; with `symmetric` the same for both of its orders."""
    parts = sorted((query, text)) if symmetric else (query, text)
    return _digest("pair", parts)


def listed_id(query: str, texts: Sequence[str], text: str) -> str:
    """Of a candidate within a list, where its label depends on the others; their order does not matter."""
    return _digest("listed", (query, text, *sorted(texts)))


def text_id(text: str, side: Side) -> str:
    """Of a text alone; encoders may read a query and a document in different ways."""
    return _digest(side, (text,))


def _digest(kind: str, parts: Iterable[str]) -> str:
    """Each part is led by its length, so no two lists of parts make the same bytes."""
    digest = blake2b(kind.encode(), digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"\0%d\0" % len(data) + data)
    return digest.hexdigest()
