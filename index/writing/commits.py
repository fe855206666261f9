"""One generation after another under one writer, with segments merged as they become many."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from retr.index.disk.fsio import Disk
from retr.index.snapshot import Snapshot
from retr.index.writing.batch import Batch
from retr.index.writing.generations import Changes, clear_leftover, collect_garbage, commit_generation
from retr.index.writing.merging import SMALL_ROWS, Job, Merged, MergeThread, Run, due, merge, swap, weight
from retr.index.writing.renewal import living_texts, renewal_due


class Commits:
    """The generations one writer makes, each built on the last: which documents are dead, where merging moves them.

    Documents are named by their number in the snapshot that the writer began with.
    """

    def __init__(self, base: Snapshot, disk: Disk, *, merging: bool) -> None:
        self._base, self._disk, self._folder, self._merging = base, disk, base.folder, merging
        self._manifest = self._written = base.manifest
        self._dead = ~base.live
        self._place = np.arange(len(base.live), dtype=np.int64)
        self._thread: MergeThread | None = None
        self._next_name = base.manifest.next_name
        self.problems: list[str] = []

    @property
    def waiting(self) -> bool:
        """Whether a merge is under way."""
        return self._thread is not None

    def commit(self, batch: Batch, removed: Iterable[int]) -> int:
        """Write the next generation, or one that merging alone has changed, if it has; gives its number."""
        gone = sorted(removed)
        if len(batch) or gone:
            self._commit(batch, gone)
        elif self._manifest is not self._written:
            try:
                self._commit(batch, gone)
            except OSError as error:
                self._give_up(error)
        return self._written.generation

    def _commit(self, batch: Batch, removed: list[int]) -> None:
        rows = [self._base.rows_of(number) for number in removed]
        keys = self._base.keys.of(np.concatenate([np.empty(0, np.int64), *rows])).tolist()
        self._dead[self._place[removed]] = True
        if self._thread is not None and self._thread.done:
            self.take()
        self._merge_small()
        dead = np.concatenate([self._dead, np.zeros(len(batch), np.bool_)])
        changes = Changes(self._manifest.segments, batch, dead, keys, next_name=self._next_name)
        self._manifest = self._written = commit_generation(self._disk, self._folder, self._manifest, changes)
        self._dead, self._next_name = dead, self._manifest.next_name
        self._start_large()
        building = [self._thread.name] if self._thread is not None else []
        collect_garbage(self._disk, self._folder, building=building)

    def _merge_small(self) -> None:
        """Merge what is small at once: the generation that is about to be written names the result."""
        while self._merging and self._thread is None:
            run = due(self._manifest.segments, self._dead)
            if run is None or self._weight_of(run) > SMALL_ROWS:
                return
            job = Job(self._manifest, run, self._dead, self._name())
            try:
                self._swap(merge(self._disk, self._folder, job))
            except OSError as error:
                self._give_up(error, job.name)

    def _weight_of(self, run: Run) -> int:
        return sum(weight(part) for part in self._manifest.segments[run.start : run.end])

    def _start_large(self) -> None:
        run = due(self._manifest.segments, self._dead) if self._merging and self._thread is None else None
        if run is not None and self._weight_of(run) > SMALL_ROWS:
            job = Job(self._manifest, run, self._dead.copy(), self._name())
            self._thread = MergeThread(self._disk, self._folder, job)

    def _name(self) -> str:
        name = f"{self._next_name:06d}"
        self._next_name += 1
        clear_leftover(self._disk, self._folder / "segments" / name)
        return name

    def take(self) -> None:
        """Put the merged segment in the place of its sources, waiting for it if need be."""
        assert self._thread is not None
        thread, self._thread = self._thread, None
        try:
            merged = thread.result()
        except OSError as error:
            self._give_up(error, thread.name)
            return
        self._swap(merged)

    def _give_up(self, error: OSError, name: str | None = None) -> None:
        """Merge no more. Nothing is lost: the sources stay, and the next `add` tries again."""
        if name is not None:
            clear_leftover(self._disk, self._folder / "segments" / name)
        self.problems.append(f"Segments could not be merged ({error}).")
        self._merging = False

    def renew_postings(self) -> int:
        """Make the postings anew if most of them are dead; gives the number of the generation that is live then."""
        if not self._merging or not renewal_due(self._folder, self._manifest):
            return self._manifest.generation
        texts = living_texts(self._folder, self._manifest.segments, self._dead)
        changes = Changes(self._manifest.segments, None, self._dead, rebuilt=texts, next_name=self._next_name)
        try:
            self._manifest = commit_generation(self._disk, self._folder, self._manifest, changes)
        except OSError as error:
            # Nothing is lost: everything is committed, and the next `add` or `delete` tries again.
            self.problems.append(f"The postings could not be made anew ({error}).")
        collect_garbage(self._disk, self._folder)
        return self._manifest.generation

    def drop(self) -> None:
        """Wait for a merge under way and forget it."""
        if self._thread is not None:
            self._thread.wait()
            self._thread = None

    def _swap(self, merged: Merged) -> None:
        old = self._manifest.segments
        run, segments = swap(old, merged)
        first = old[run.start].first_document
        end = first + sum(segment.documents for segment in old[run.start : run.end])
        moved = np.full(end - first, -1, np.int64)
        moved[merged.kept] = first + np.arange(int(np.count_nonzero(merged.kept)))
        shift = int(np.count_nonzero(merged.kept)) - (end - first)
        mapped = np.arange(len(self._dead), dtype=np.int64)
        mapped[first:end] = moved
        mapped[end:] += shift
        self._dead = np.concatenate([self._dead[:first], self._dead[first:end][merged.kept], self._dead[end:]])
        self._place = np.where(self._place >= 0, mapped[self._place], -1)
        self._manifest = replace(self._manifest, segments=segments)
