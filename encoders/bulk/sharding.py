"""A stream of records into shards whose ends depend on the texts near them, so that an edit moves few of them.

Content-defined chunking (Muthitacharoen et al. 2001, LBFS), with texts in the place of bytes: a shard ends at a text
whose hash falls into one of so many parts. After an insertion the ends behind it are where they were, and every shard
between two such ends has the content, and so the key, that it had.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retr.encoders.bulk.settings import BulkSettings

if TYPE_CHECKING:
    from retr.encoders.bulk.working import Described

KEY_VERSION = 1
"""Raised whenever the same texts would give other bytes in a shard."""


@dataclass(frozen=True, slots=True)
class Record:
    """A text and its owner's id for it."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Shard:
    """Records that are encoded into one file; `key` stands for all that its bytes depend on."""

    key: str
    records: tuple[Record, ...]

    def __len__(self) -> int:
        return len(self.records)


def identity_of(encoder: "Described", settings: BulkSettings) -> dict[str, str | int]:
    """All that vectors depend on beside their texts."""
    return {
        "fingerprint": encoder.fingerprint,
        "side": settings.side,
        "dtype": settings.dtype,
        "dim": settings.dim or encoder.dim,
    }


def cut_shards(records: Iterable[Record], identity: dict[str, str | int], settings: BulkSettings) -> Iterator[Shard]:
    """The records, in order, as shards of at least one record."""
    start = json.dumps([KEY_VERSION, identity], sort_keys=True).encode()
    parts = max(1, settings.shard_texts - settings.smallest)
    kept: list[Record] = []
    characters, digest = 0, hashlib.blake2b(start, digest_size=16)
    for record in records:
        text = hashlib.blake2b(record.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        digest.update(text)
        kept.append(record)
        characters += len(record.text)
        full = len(kept) >= settings.largest or characters >= settings.shard_characters
        if full or (len(kept) >= settings.smallest and int.from_bytes(text[:8], "little") % parts == 0):
            yield Shard(digest.hexdigest(), tuple(kept))
            kept, characters, digest = [], 0, hashlib.blake2b(start, digest_size=16)
    if kept:
        yield Shard(digest.hexdigest(), tuple(kept))
