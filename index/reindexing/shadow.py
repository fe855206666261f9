"""The shadow of an index: the same documents with another encoder's vectors, filled while the index goes on living."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.disk.fsio import Disk
from retr.index.disk.lock import WriterLock
from retr.index.disk.manifest import Manifest, holds_index
from retr.index.disk.pins import check_name
from retr.index.late.settings import LateSettings
from retr.index.loading import LoadEncoder
from retr.index.reading import Reading
from retr.index.reindexing.adopting import adopt
from retr.index.settings import CollectionSettings, WriteSettings, check_wait
from retr.index.writing.creation import Named, given
from retr.index.writing.generations import collect_garbage
from retr.index.writing.merging import Report, in_silence
from retr.index.writing.writer import AddReport
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.protocols import Encoder
from retr.retrieval.records import Document

FOLDER = "shadow"
_DOCUMENTS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Swap:
    """The generation that is live now, and the snapshot's name that keeps the one before it."""

    generation: int
    documents: int
    snapshot: str
    added: AddReport


class Shadow:
    """Lies in the index's folder, in `shadow/`, and is an index of its own until it is swapped in.

    Readers and writers of the index go on meanwhile. Filling goes on where a killed process stopped.
    """

    def __init__(self, live: Collection, shadow: Collection, disk: Disk) -> None:
        self.live, self.shadow = live, shadow
        self._disk = disk

    @classmethod
    def begin(
        cls,
        live: Collection,
        encoder: Encoder,
        *,
        spec: str = "",
        dense: DenseSettings | None = None,
        disk: Disk | None = None,
    ) -> "Shadow":
        """A new shadow, or the unfinished one of the same encoder. Without `dense`, vectors are kept as they are now.

        In an index of two encoders the new one takes the place of that of its kind, and the other encodes anew as well.
        BadInput where the index's vectors were given to it, or already are the encoder's; Mismatch where there is an
        unfinished shadow of another encoder.
        """
        disk, folder, manifest = disk or Disk(), live.folder / FOLDER, live.manifest
        if manifest.encoder is not None and given(manifest.encoder) is not None:
            raise BadInput("The vectors of this index were given to it: there is no encoder to replace.")
        one, late = _encoders(live, Named(encoder, spec))
        of_tokens = one.encoder.similarity == "maxsim"
        wanted = dense or (DenseSettings() if of_tokens else kept_settings(manifest.dense))
        if _held(manifest, encoder) and (encoder.similarity == "maxsim" or wanted.dim == manifest.dense.dim):
            if holds_index(folder):
                disk.remove(folder)  # what a process killed after its swap has left
            raise BadInput(
                f"The index {str(live.folder)!r} has the vectors of {spec or encoder.fingerprint[:12]} already. Name "
                "another encoder; `retr compact` changes how vectors are kept."
            )
        if holds_index(folder):
            return cls(live, _opened(folder, [one, late], wanted, disk), disk)
        settings = CollectionSettings(
            chunk=ChunkSettings(**manifest.settings["chunk"]),
            language=manifest.settings["language"],
            dense=wanted,
            late=manifest.late_settings if of_tokens or late is not None else LateSettings(),
        )
        disk.remove(folder)
        made = Collection.create(folder, encoder=one.encoder, spec=one.spec, late=late, settings=settings, disk=disk)
        return cls(live, made, disk)

    @classmethod
    def resume(cls, live: Collection, load: LoadEncoder, disk: Disk | None = None) -> "Shadow":
        """The shadow there is. NotFound without one."""
        disk, folder = disk or Disk(), live.folder / FOLDER
        if not holds_index(folder):
            raise _no_shadow(live.folder)
        return cls(live, Collection.open(folder, load=load, disk=disk), disk)

    def fill(self, *, settings: WriteSettings | None = None, report: Report = in_silence) -> AddReport:
        """Bring the shadow up to the documents that the index has now; what is there already is not encoded again."""
        chosen = settings or WriteSettings()
        mirror = WriteSettings(**{**asdict(chosen), "mirror": True})
        self.live.refresh()
        return self.shadow.add(_documents(self.live, report), settings=mirror)

    def swap(self, *, wait_seconds: float = 0.0, report: Report = in_silence) -> Swap:
        """Fill in what was written since, and make the shadow the live generation, in one step for every reader.

        The generation before stays under the name of a snapshot, so that `rollback` to it works until that is dropped.
        """
        live = self.live
        with WriterLock(live.folder, wait_seconds=check_wait(wait_seconds)):
            added = self.fill(report=report)
            kept = check_name(f"before-reindex-{live.manifest.generation}")
            with WriterLock(self.shadow.folder):
                self.shadow.refresh()
                manifest = adopt(self._disk, live.folder, live.manifest, self.shadow.folder, self.shadow.manifest, kept)
                self._disk.remove(self.shadow.folder)
            live.refresh()
            collect_garbage(self._disk, live.folder)
        return Swap(manifest.generation, manifest.live_documents, kept, added)


def drop_shadow(folder: Path, disk: Disk | None = None) -> None:
    """Remove an unfinished shadow from an index's folder. NotFound without one, Mismatch while it is being filled."""
    path = folder / FOLDER
    if not holds_index(path):
        raise _no_shadow(folder)
    with WriterLock(path):
        (disk or Disk()).remove(path)


def _no_shadow(folder: Path) -> NotFound:
    return NotFound(f"The index {str(folder)!r} has no shadow. Begin one with: retr reindex --encoder ENCODER --shadow")


def kept_settings(dense: DenseSettings) -> DenseSettings:
    """As now, but for what belongs to the old vectors: their length, and numbers that `retr tune` chose on them."""
    return DenseSettings(kind=dense.kind, storage=dense.storage, recall=dense.recall)


def _held(manifest: Manifest, encoder: Encoder) -> bool:
    """Whether the index has been made with this encoder."""
    facts = manifest.late if encoder.similarity == "maxsim" else manifest.encoder
    return facts is not None and facts.fingerprint == encoder.fingerprint


def _encoders(live: Collection, new: Named) -> tuple[Named, Named | None]:
    """The encoders of the shadow: the new one, and in an index of two kinds the old one of the other kind."""
    manifest = live.manifest
    if manifest.encoder is None or manifest.late is None:
        return new, None
    if new.encoder.similarity == "maxsim":
        return Named(live.encoder, manifest.encoder.spec), new
    return new, Named(live.late_encoder, manifest.late.spec)


def _opened(folder: Path, encoders: list[Named | None], wanted: DenseSettings, disk: Disk) -> Collection:
    given = [one.encoder for one in encoders if one is not None]
    shadow = Collection.open(folder, load=lambda _: given[0], late=lambda _: given[-1], disk=disk)
    specs = [facts.spec for facts in shadow.manifest.encoders]
    same = [facts.fingerprint for facts in shadow.manifest.encoders] == [one.fingerprint for one in given]
    if not same or shadow.manifest.dense != wanted:
        raise Mismatch(
            f"{str(folder)!r} is an unfinished shadow of {' and '.join(specs) or 'no encoder'}, or its "
            "vectors are kept otherwise. Go on with that one, or drop it: retr reindex --drop"
        )
    return shadow


def _documents(live: Reading, report: Report) -> Iterator[Document]:
    ids: list[str] = live.ids()
    for start in range(0, len(ids), _DOCUMENTS_AT_ONCE):
        for done, document in enumerate(live.get(ids[start : start + _DOCUMENTS_AT_ONCE]), start=start + 1):
            yield document
            report("documents", done, len(ids))
