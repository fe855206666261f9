"""A collection in a database: the same calls as a folder's, over a `VectorStore`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, Self

from retr.index.collection import Collection
from retr.index.dense.gpu import Device
from retr.index.dense.settings import DenseSettings
from retr.index.disk.checking import Findings, check_golden
from retr.index.disk.fsio import Disk
from retr.index.disk.manifest import EncoderFacts, Manifest
from retr.index.disk.pins import Pin
from retr.index.late.settings import LateSettings
from retr.index.loading import Encoders, LoadEncoder
from retr.index.opened import Opened
from retr.index.settings import CollectionSettings, WriteSettings, check_wait
from retr.index.stores import connect
from retr.index.stores.coding import kept_tokens
from retr.index.stores.opened import StoreOpened, manifest_of
from retr.index.stores.tokens import StoreTokens
from retr.index.stores.writing import StoreWriter
from retr.index.writing.compaction import CompactReport
from retr.index.writing.creation import Named, given, made_with
from retr.index.writing.merging import Report, in_silence
from retr.index.writing.writer import Writer
from retr.retrieval.errors import BadInput, Damaged
from retr.retrieval.filters import Filter, parse
from retr.retrieval.protocols import Encoder
from retr.retrieval.store import StoreFacts, VectorStore


class StoreCollection(Collection):
    """Reads what is newest at each call, and never less than it has written. Any number of processes may write."""

    def __init__(self, store: VectorStore, load: LoadEncoder, late: LoadEncoder | None = None) -> None:
        self._store = store
        self._manifest = manifest_of(store.facts)
        self._encoders = Encoders(store.address, load, late)

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        encoder: Encoder | None,
        spec: str = "",
        late: Named | None = None,
        settings: CollectionSettings | None = None,
        disk: Disk | None = None,
    ) -> Self:
        """A new, empty collection at an address. As `Collection.create`."""
        chosen = settings or CollectionSettings()
        made = made_with(encoder, spec, late, chosen)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        facts, of_tokens = (None if one is None else asdict(one) for one in (made.passages, made.tokens))
        store = connect(str(path))
        store.create(StoreFacts(1, created=now, encoder=facts, late=of_tokens, settings=asdict(chosen)))
        return cls(store, lambda _: made.encoders[0], lambda _: made.encoders[-1])

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        load: LoadEncoder,
        late: LoadEncoder | None = None,
        disk: Disk | None = None,
        device: Device | None = None,
    ) -> Self:
        """The collection at an address; `load` makes the encoder when it is first needed."""
        if device is not None and device.gpus:
            raise BadInput("Vectors in a store are searched by the store, not on a GPU here. Leave the device out.")
        return cls(connect(str(path)), load, late)

    def __len__(self) -> int:
        self.refresh()
        return self._manifest.live_documents

    @property
    def store(self) -> VectorStore:
        """What keeps it."""
        return self._store

    @property
    def folder(self) -> Path:
        """BadInput: it lies in no folder; `home` says where it is."""
        raise BadInput(f"{self._store.address} is a store and lies in no folder of this machine. Ask for its home.")

    @property
    def home(self) -> str:
        """Its address, without secrets."""
        return self._store.address

    @property
    def manifest(self) -> Manifest:
        """What the generation holds that was read or written last."""
        return self._manifest

    @property
    def placement(self) -> list[str]:
        """Nothing: the store searches."""
        return []

    @contextmanager
    def _opened(self) -> Iterator[Opened]:
        with self._store.snapshot(self._manifest.generation) as snapshot:
            opened = StoreOpened(snapshot)
            self._manifest = opened.manifest
            yield opened

    def refresh(self) -> bool:
        """Look what is newest; whether it is newer than what was read last. Searches do so by themselves."""
        before = self._manifest.generation
        with self._opened():
            return self._manifest.generation > before

    def ids(self, where: str | Filter | None = None) -> list[str]:
        """The ids of all documents, or of those for which the filter holds, in the order they were added."""
        with self._store.snapshot(self._manifest.generation) as snapshot:
            return [id for _, id in snapshot.ids(_tree(where))]

    def count(self, where: str | Filter | None = None) -> int:
        """How many documents there are, or for how many the filter holds."""
        with self._store.snapshot(self._manifest.generation) as snapshot:
            return snapshot.count(_tree(where))

    def describe(self) -> dict[str, Any]:
        """What it holds and what it was made with, as JSON values."""
        facts = self._store.facts
        manifest = self._manifest = manifest_of(facts)
        encoder, late = manifest.encoder, manifest.late
        return {
            "index": self._store.address,
            "documents": manifest.live_documents,
            "passages": manifest.live_passages,
            "generation": manifest.generation,
            "created": manifest.created,
            "settings": {name: value for name, value in manifest.settings.items() if name != "late" or late},
            "dense": [] if encoder is None else [_kept(manifest, facts.index)],
            "encoder": None if encoder is None else {**encoder.describe, **_told(asdict(encoder))},
            **({} if late is None else self._of_tokens(late)),
        }

    def _of_tokens(self, late: EncoderFacts) -> dict[str, Any]:
        """What there is to say of token vectors."""
        held = kept_tokens(self._store)
        tokens, size = sum(int(one["tokens"]) for one in held), sum(use.bytes for use in self._store.codecs().values())
        told = {**late.describe, **_told(asdict(late))}
        return {
            "late": held,
            "tokens": tokens,
            "bytes_a_token": round(size / tokens, 1) if tokens else None,
            "late_encoder": told,
        }

    def check(self, load: LoadEncoder | None = None) -> Findings:
        """What can be proved without changing anything; with `load`, the golden text is encoded again too."""
        checked, problems = self._store.check()
        found = Findings(checked, problems)
        if self._manifest.late is not None:
            self._check_tokens(found)
        for facts in self._manifest.encoders if load is not None else ():
            if load is not None and given(facts) is None:
                check_golden(facts, found, load)
        return found

    def _check_tokens(self, found: Findings) -> None:
        try:
            with self._store.snapshot() as snapshot:
                found.checked.append(f"{StoreTokens(snapshot).check()} token vectors, read by their codecs")
        except Damaged as error:
            found.problems.append(str(error))

    def publish(self, name: str) -> int:
        """Give this collection the name of another and its place, in one step for all readers."""
        generation = self._store.publish(name)
        self._manifest = manifest_of(self._store.facts)
        return generation

    @contextmanager
    def _writing(self, wait_seconds: float) -> Iterator[None]:
        """Writers wait for each other at each commit; none holds the collection between them."""
        check_wait(wait_seconds)
        self.refresh()
        yield

    def _writer(self, settings: WriteSettings) -> Writer:
        return StoreWriter(self._store, self._encoders, settings=settings)

    def compact(
        self,
        *,
        dense: DenseSettings | None = None,
        late: LateSettings | None = None,
        wait_seconds: float = 0.0,
        report: Report = in_silence,
    ) -> CompactReport:
        """Not for a store, which clears away what was deleted by itself."""
        self._not_here("compact", "The server clears deleted rows away by itself; VACUUM FULL does so at once.")

    def snapshot(self, name: str, *, wait_seconds: float = 0.0) -> Pin:
        """Not for a store; `copy` keeps what it holds now."""
        self._not_here("snapshot", "Copy it into a folder with copy, or use the server's own backups.")

    def snapshots(self) -> list[Pin]:
        """None: a store has no snapshots."""
        return []

    def drop_snapshot(self, name: str, *, wait_seconds: float = 0.0) -> None:
        """Not for a store."""
        self._not_here("drop_snapshot", "It has no snapshots.")

    def rollback(self, to: int | str | None = None, *, wait_seconds: float = 0.0) -> int:
        """Not for a store."""
        self._not_here("rollback", "Use the server's own backups, or copy a folder into it again.")

    def copy(self, target: str | Path, *, of: int | str | None = None) -> int:
        """Copy it into a new folder or another store, every document compared; gives the target's generation."""
        from retr.index.stores.copying import copy, kept_in

        if of is not None:
            self._not_here(f"generation {of} any more", "Copy it as it is now.")
        return copy(self._store, kept_in(target)).generation

    def _not_here(self, what: str, instead: str) -> NoReturn:
        raise BadInput(f"{self._store.address} has no {what}: it is a store, not a folder. {instead}")


def _tree(where: str | Filter | None) -> Filter | None:
    return parse(where) if isinstance(where, str) else where


def _kept(manifest: Manifest, index: str) -> dict[str, Any]:
    """How the vectors are kept and searched now."""
    kind = {"": "flat", "ivfflat": "ivf-flat"}.get(index, index)
    return {"kind": kind, "rows": manifest.live_passages, "dim": manifest.dim, "storage": manifest.dense.storage}


def _told(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in ("spec", "fingerprint", "dim", "similarity")}
