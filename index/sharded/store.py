"""A collection spread over several stores by a hash of the document's id: searched in all, written where it belongs.

Each shard's part of a write is a transaction of its own. A document is in one shard, so it is never half written; of a
batch, some shards may have their part where another failed, and the same batch given again does the rest.
"""

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from retr.index.sharded.filling import fill
from retr.index.sharded.servers import shard_of
from retr.index.sharded.snapshot import ShardedSnapshot
from retr.index.sharded.spreading import Spread
from retr.index.stores import connect
from retr.index.stores.direct import Direct
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.records import Document
from retr.retrieval.store import MAX_PASSAGES, CodedTokens, StoredDocument, StoreFacts, VectorStore

SHARD = "shard"
"""What the settings of a shard's collection call its place: its number, how many there are, and what they share."""
_PATIENCE, _PAUSE = 10.0, 0.02


class ShardedStore(Direct):
    """Stores in the order of their file. `told` is what is shown of where it is."""

    def __init__(self, told: str, addresses: Sequence[str]) -> None:
        self._told = told
        self._shards: list[Any] = [connect(one) for one in addresses]
        self._seen = [0] * len(self._shards)
        self._spread = Spread(len(self._shards))

    @property
    def address(self) -> str:
        """The file of the stores."""
        return self._told

    def exists(self) -> bool:
        """Whether every shard has its collection. Mismatch where some have."""
        found = self._spread(lambda one: one.exists(), self._shards)
        if any(found) and not all(found):
            missing = [self._shards[at].address for at, there in enumerate(found) if not there]
            raise Mismatch(
                f"{self._told}: there is no collection at {missing[0]}, but others have theirs. Check the file."
            )
        return all(found)

    def create(self, facts: StoreFacts) -> None:
        """Make the collection of every shard, empty; where one cannot be, none is left."""
        found = self._spread(lambda one: one.exists(), self._shards)
        if any(found):
            there = self._shards[found.index(True)].address
            raise BadInput(f"There is a collection at {there} already. Name another one in {self._told}.")
        shared, made = uuid.uuid4().hex, list[VectorStore]()
        try:
            for number, one in enumerate(self._shards):
                place = {"number": number, "of": len(self._shards), "shared": shared}
                one.create(replace(facts, settings={**facts.settings, SHARD: place}))
                made.append(one)
        except BaseException:
            for one in made:
                one.drop()
            raise

    @contextmanager
    def snapshot(self, at_least: int = 0) -> Iterator[ShardedSnapshot]:
        """The newest generation of every shard; each no older than what was seen of it.

        Shards are read one beside the other: a write to several that ends meanwhile may be seen in some of them.
        """
        until = time.monotonic() + _PATIENCE
        while True:
            waited = [one.snapshot(seen) for one, seen in zip(self._shards, self._seen, strict=True)]
            with self._spread.entered(waited) as found:
                every = [one.facts for one in found]
                self._see([facts.generation for facts in every])
                facts = self._joined(every)
                if facts.generation >= at_least:
                    yield ShardedSnapshot(found, facts, self._spread)
                    return
            if time.monotonic() > until:
                raise Mismatch(f"{self._told} is at generation {facts.generation}, though {at_least} was written.")
            time.sleep(_PAUSE)

    def _see(self, generations: Sequence[int]) -> None:
        self._seen = [max(pair) for pair in zip(self._seen, generations, strict=True)]

    def _joined(self, every: Sequence[StoreFacts]) -> StoreFacts:
        """What all shards hold together. Mismatch where they are not the shards of one collection, in this order."""
        places = [facts.settings.get(SHARD) for facts in every]
        shared = (places[0] or {}).get("shared")
        for number, (place, one) in enumerate(zip(places, self._shards, strict=True)):
            if place != {"number": number, "of": len(every), "shared": shared}:
                told = "no shard" if place is None else f"shard {place['number'] + 1} of {place['of']}"
                raise Mismatch(
                    f"{self._told}: {one.address} is {told}, not shard {number + 1} of these {len(every)}. The file "
                    "must name the stores that the collection was made with, in their order."
                )
        settings = {name: value for name, value in every[0].settings.items() if name != SHARD}
        sums = {name: sum(getattr(one, name) for one in every) for name in _SUMMED}
        index = next((one.index for one in every if one.index), "")
        return replace(every[0], settings=settings, index=index, **sums)

    def check_document(self, document: Document) -> None:
        """BadInput for a document that a shard cannot hold."""
        self._shards[0].check_document(document)

    def keep_codec(self, key: str, data: bytes) -> None:
        """Keep a codec in every shard."""
        self._spread(lambda one: one.keep_codec(key, data), self._shards)

    def recode(self, tokens: Mapping[int, CodedTokens]) -> int:
        """Put other tokens in the place of those of rows; gives the generation."""
        each: list[dict[int, CodedTokens]] = [{} for _ in self._shards]
        for row, one in tokens.items():
            number, ordinal = divmod(row, MAX_PASSAGES)
            own, shard = divmod(number, len(self._shards))
            each[shard][own * MAX_PASSAGES + ordinal] = one
        return self._written(each, lambda shard, own: shard.recode(own))

    def upsert(self, documents: Sequence[StoredDocument], removed: Iterable[int] = ()) -> int:
        """Write documents in the place of those that have their ids, and remove some by number; gives the generation.

        All or nothing within a shard.
        """
        each: list[tuple[list[StoredDocument], list[int]]] = [([], []) for _ in self._shards]
        for stored in documents:
            each[shard_of(stored.document.id, len(each))][0].append(stored)
        for number in removed:
            own, shard = divmod(int(number), len(each))
            each[shard][1].append(own)
        wanted = [one if any(one) else None for one in each]
        return self._written(wanted, lambda shard, own: shard.upsert(*own))

    def delete(self, ids: Iterable[str]) -> int:
        """Remove documents by id; says how many there were."""
        each: list[list[str]] = [[] for _ in self._shards]
        for id in ids:
            each[shard_of(id, len(each))].append(id)
        return sum(self._spread(lambda pair: pair[0].delete(pair[1]), _concerned(self._shards, each)))

    def bulk_load(self, documents: Iterable[StoredDocument]) -> int:
        """Fill a collection that is empty, all shards at once; gives the generation."""
        self._see(fill(self._shards, documents))
        return sum(self._seen)

    def publish(self, name: str) -> int:
        """Not for shards: who names the new ones in the file, by one rename, has published them."""
        raise BadInput(
            f"{self._told} is published by its file: write the new addresses to another and rename it over it."
        )

    def drop(self) -> None:
        """Remove the collection of every shard for good."""
        self._spread(lambda one: one.drop(), self._shards)

    def check(self) -> tuple[list[str], list[str]]:
        """What was checked and is sound, and what is not, shard by shard; and whether each holds its own documents."""
        sound, problems = list[str](), list[str]()
        for number, (good, bad) in enumerate(self._spread(lambda one: one.check(), self._shards), start=1):
            sound += [f"shard {number}: {line}" for line in good]
            problems += [f"shard {number}: {line}" for line in bad]
        astray = sum(self._spread(self._astray, list(enumerate(self._shards))))
        (problems if astray else sound).append(
            f"{astray} documents are not in their shard." if astray else "every document is in its shard"
        )
        return sound, problems

    def _astray(self, pair: tuple[int, VectorStore]) -> int:
        number, one = pair
        return sum(shard_of(id, len(self._shards)) != number for _, id in one.ids())

    def _written(self, each: Sequence[Any], write: Any) -> int:
        """Write to the shards that are concerned, at once; gives the generation that is reached at least."""
        pairs = _concerned(list(enumerate(self._shards)), each)

        def done(pair: tuple[tuple[int, VectorStore], Any]) -> tuple[int, int]:
            (number, shard), own = pair
            return number, write(shard, own)

        for number, generation in self._spread(done, pairs):
            self._seen[number] = max(self._seen[number], generation)
        return sum(self._seen)

    def close(self) -> None:
        """Close the connections that are open."""
        for one in self._shards:
            one.close()


_SUMMED = ("generation", "documents", "passages", "length")


def _concerned(shards: Sequence[Any], each: Sequence[Any]) -> list[tuple[Any, Any]]:
    """The shards that have something to do, with what it is."""
    return [(shard, own) for shard, own in zip(shards, each, strict=True) if own]
