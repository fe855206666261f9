"""Writes that wait, put into as few commits as their order allows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from retr.index.collection import Collection
from retr.index.settings import WriteSettings
from retr.retrieval.records import Document

Kind = Literal["upsert", "delete"]


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """One request: documents to add or replace, or ids to delete."""

    documents: Sequence[Document] = ()
    ids: Sequence[str] = ()

    @property
    def kind(self) -> Kind:
        """What it does."""
        return "upsert" if self.documents else "delete"

    @property
    def weight(self) -> int:
        """Characters that it holds, at least 1."""
        return 1 + sum(len(one.text) + len(one.title) for one in self.documents) + sum(map(len, self.ids))


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a request: its documents or deletions, committed as that generation.

    `added`, `updated` and `unchanged` are None where other requests shared the commit: they are known of it as a whole.
    """

    generation: int
    documents: int = 0
    deleted: int = 0
    added: int | None = None
    updated: int | None = None
    unchanged: int | None = None


def write_all(collection: Collection, writes: Sequence[Write], wait_seconds: float) -> list[Written]:
    """Do the writes in their order, neighbours of one kind in one commit. Busy when another process writes."""
    done: list[Written] = []
    for kind, group in groupby(writes, key=lambda write: write.kind):
        together = list(group)
        do = _upsert if kind == "upsert" else _delete
        done += do(collection, together, wait_seconds)
    return done


def _upsert(collection: Collection, writes: list[Write], wait_seconds: float) -> list[Written]:
    newest = {document.id: document for write in writes for document in write.documents}
    report = collection.add(newest.values(), settings=WriteSettings(wait_seconds=wait_seconds))
    whole = Written(report.generation or collection.manifest.generation)
    if len(writes) == 1:
        counts = {"added": report.added, "updated": report.updated, "unchanged": report.unchanged}
        return [replace(whole, documents=len(newest), **counts)]
    return [replace(whole, documents=len(write.documents)) for write in writes]


def _delete(collection: Collection, writes: list[Write], wait_seconds: float) -> list[Written]:
    done = []
    for write in writes:
        deleted = collection.delete(write.ids, wait_seconds=wait_seconds)
        done.append(Written(collection.manifest.generation, deleted=deleted))
    return done
