"""Collection: documents, their vectors and their postings in one folder, bound to the encoder they were made with."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.gpu import Device
from retr.index.dense.settings import DenseSettings
from retr.index.disk import history
from retr.index.disk.checking import Findings, check_folder
from retr.index.disk.fsio import Disk, make_durable_folder
from retr.index.disk.lock import WriterLock
from retr.index.disk.manifest import Manifest, check_new_folder, write_current
from retr.index.disk.pins import Pin, pin, pins_in, unpin
from retr.index.late.settings import LateSettings
from retr.index.loading import NO_TOKENS, LoadEncoder
from retr.index.reading import Reading, check_ids
from retr.index.settings import CollectionSettings, WriteSettings, check_wait
from retr.index.snapshot import open_snapshot
from retr.index.stores import is_store
from retr.index.writing.batch import given_vectors
from retr.index.writing.commits import Commits
from retr.index.writing.compaction import CompactReport, compact, folder_bytes, is_compact
from retr.index.writing.creation import Named, made_with
from retr.index.writing.generations import collect_garbage
from retr.index.writing.merging import Report, in_silence
from retr.index.writing.writer import AddReport, Writer
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Encoder
from retr.retrieval.records import Document


class Collection(Reading):
    """One index folder. Reads one generation until `refresh()`; writes under a lock that only one process can hold."""

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
        """A new, empty collection. `spec` names the encoder, to load it again; no encoder makes it lexical only.

        An encoder of tokens makes it a late-interaction index; `late` puts one beside an encoder of passages.
        """
        folder, disk = Path(path), disk or Disk()
        check_new_folder(folder)
        chosen = settings or CollectionSettings()
        made = made_with(encoder, spec, late, chosen)
        make_durable_folder(disk, folder)
        with WriterLock(folder):
            check_new_folder(folder)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            write_current(disk, folder, Manifest(1, made.passages, asdict(chosen), now, late=made.tokens))
        return cls(open_snapshot(folder), lambda _: made.encoders[0], late=lambda _: made.encoders[-1], disk=disk)

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
        """An existing collection; `load` makes the encoder from its spec, when it is first needed.

        `late` makes the late encoder that stands beside one of passages; without it `load` makes both.
        Vectors are moved to `device` now; what cannot be moved is searched on the CPU, and `placement` says why.
        """
        collection = cls(open_snapshot(Path(path), None, device), load, late=late, disk=disk, device=device)
        if device is not None and device.gpus:
            _ = collection.placement
        return collection

    def add(
        self,
        documents: Iterable[Document],
        *,
        vectors: NDArray[np.float32] | None = None,
        settings: WriteSettings | None = None,
    ) -> AddReport:
        """Add documents, replacing those whose id is known; what is unchanged is not encoded again.

        With `vectors`, float32 [documents, dim], each document is one passage and has that vector.

        Commits as it goes: after a crash or an error, everything up to the last commit is there, and adding the same
        documents again goes on from it. Moves this collection on to the new generation.
        """
        pairs = ((document, None) for document in documents) if vectors is None else self._paired(documents, vectors)
        chosen = settings or WriteSettings()
        with self._writing(chosen.wait_seconds):
            writer = self._writer(chosen)
            try:
                for document, vector in pairs:
                    writer.add(document, vector)
                report = writer.finish()
            except BadInput:
                writer.commit()
                self.refresh()
                raise
            finally:
                writer.close()
        self.refresh()
        return report

    def _paired(
        self, documents: Iterable[Document], vectors: NDArray[np.float32]
    ) -> list[tuple[Document, NDArray[np.float32]]]:
        given = list(documents)
        if self.manifest.late is not None:
            raise BadInput("This collection holds token vectors too, which are made from texts: vectors= cannot be.")
        facts, dim, shape = self.manifest.encoder, self.manifest.dim, list(np.shape(vectors))
        if facts is None or dim is None or shape != [len(given), facts.dim]:
            wanted = "no vectors" if facts is None else f"[{len(given)}, {facts.dim}]"
            raise Mismatch(f"vectors has the shape {shape}; this collection and these documents need {wanted}.")
        kept = given_vectors(vectors, facts, dim)
        return [(document, kept[at : at + 1]) for at, document in enumerate(given)]

    def delete(self, ids: Iterable[str], *, wait_seconds: float = 0.0) -> int:
        """Remove documents by id; says how many there were. They are found no more from the next generation on.

        Their texts and vectors stay in the files until they are merged away or `compact` is called. A merge that this
        sets off and that fails, such as on a full disk, undoes nothing and is a RuntimeWarning.
        """
        chosen = check_ids(ids)
        with self._writing(wait_seconds):
            writer = self._writer(WriteSettings())
            try:
                removed = writer.delete(chosen)
                report = writer.finish()
            finally:
                writer.close()
        self.refresh()
        for problem in report.problems:
            warnings.warn(problem, RuntimeWarning, stacklevel=2)
        return removed

    def compact(
        self,
        *,
        dense: DenseSettings | None = None,
        late: LateSettings | None = None,
        wait_seconds: float = 0.0,
        report: Report = in_silence,
    ) -> CompactReport:
        """Write all living documents as one segment, and erase everything else: deleted texts, vectors and words.

        `dense` changes how vectors are stored and indexed, `late` how tokens' are coded. Older generations go too, so
        there is no rolling back past it; those that a reader has open or a snapshot names are kept, and what is given
        back says so. `report` is told how the writing goes on.
        """
        with self._writing(wait_seconds):
            before, size = self._snapshot, folder_bytes(self.folder)
            changed = self._changed(dense, late)
            erased = int(np.count_nonzero(~before.live))
            segments = len(before.manifest.segments)
            if changed or not is_compact(before):
                collect_garbage(self._disk, self.folder)
                compact(self._disk, before, changed, report)
            del before
            self.refresh()
            held = collect_garbage(self._disk, self.folder, keep=1)
        return CompactReport(
            generation=self.manifest.generation,
            documents=len(self),
            erased=erased,
            segments_before=segments,
            segments=len(self.manifest.segments),
            bytes_before=size,
            bytes=folder_bytes(self.folder),
            held=tuple(held),
            pinned=tuple(pin.name for pin in pins_in(self.folder)),
        )

    def _changed(
        self, dense: DenseSettings | None, late: LateSettings | None
    ) -> dict[str, DenseSettings | LateSettings]:
        """What is other than now, by its name in the settings. BadInput for what cannot be."""
        manifest = self.manifest
        if dense is not None and manifest.encoder is None:
            raise BadInput(manifest.without_vectors)
        if late is not None and manifest.late is None:
            raise BadInput(NO_TOKENS)
        if dense is not None and manifest.encoder is not None and (dense.dim or manifest.encoder.dim) != manifest.dim:
            raise BadInput(f"Vectors of {manifest.dim} numbers cannot become {dense.dim}. Make a new index.")
        asked = (("dense", dense, manifest.dense), ("late", late, manifest.late_settings))
        return {name: new for name, new, old in asked if new is not None and new != old}

    def check(self, load: LoadEncoder | None = None) -> Findings:
        """Read every byte of it and say what is sound; with `load`, the golden text is encoded again too."""
        return check_folder(self.folder, load=load)

    def snapshot(self, name: str, *, wait_seconds: float = 0.0) -> Pin:
        """Keep the live generation under a name until `drop_snapshot`; costs no copy."""
        with self._writing(wait_seconds):
            return pin(self._disk, self.folder, self.manifest, name)

    def snapshots(self) -> list[Pin]:
        """The snapshots there are, oldest generation first."""
        return pins_in(self.folder)

    def drop_snapshot(self, name: str, *, wait_seconds: float = 0.0) -> None:
        """Let a snapshot go. NotFound when there is none of that name."""
        with self._writing(wait_seconds):
            unpin(self._disk, self.folder, name)

    def rollback(self, to: int | str | None = None, *, wait_seconds: float = 0.0) -> int:
        """Make an older generation's content the newest: a snapshot's by name, one by number, or the one before.

        Gives the new generation's number. What was live is now the generation before.
        """
        with self._writing(wait_seconds):
            generation = history.rollback(self._disk, self.folder, to).generation
        self.refresh()
        return generation

    def copy(self, target: str | Path, *, of: int | str | None = None) -> int:
        """Copy one generation (None: the live one) into a new folder, every byte checked; gives its number.

        To the address of a store goes the live one alone, every document compared; gives the number that it has there.
        """
        if is_store(target):
            from retr.index.stores.copying import copy, kept_in

            if of is not None:
                raise BadInput(f"A store takes what is there now, not {of!r}. Copy that into a folder first.")
            return copy(kept_in(self.folder), kept_in(target)).generation
        return history.copy(self._disk, self.folder, Path(target), of=of).generation

    @contextmanager
    def _writing(self, wait_seconds: float) -> Iterator[None]:
        """Hold the writer lock, on the live generation."""
        with WriterLock(self.folder, wait_seconds=check_wait(wait_seconds)):
            self.refresh()
            yield

    def _writer(self, settings: WriteSettings) -> Writer:
        collect_garbage(self._disk, self.folder)
        commits = Commits(self._snapshot, self._disk, merging=settings.merge)
        return Writer(self._snapshot, self._encoders, commits, settings=settings)
