"""Who encodes shards: this process itself, window by window, or others that it asks (`retr.encoders.jobs`)."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from retr.encoders.bulk.folder import Rows, ShardFacts
from retr.encoders.bulk.sharding import Record, Shard
from retr.encoders.bulk.writing import ShardWriter, give_name, unfinished_path
from retr.encoders.running.pipeline import Encoded, Side, Window, WindowSettings, encode_windows, windows
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder, Similarity

TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Form:
    """What a shard's rows are, and how many texts go to the encoder at once."""

    side: Side
    dtype: str
    dim: int
    similarity: str
    window: WindowSettings


@dataclass(frozen=True, slots=True)
class Task:
    """A shard, with its facts where its file is there already."""

    shard: Shard
    known: ShardFacts | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """So many more texts of a task's shard are encoded, or it was there; with `facts` its file is whole.

    `tokens` and `cut` are as in `BulkReport`.
    """

    task: Task
    encoded: int = 0
    tokens: int | None = 0
    cut: int | None = 0
    facts: ShardFacts | None = None


class Described(Protocol):
    """What must be known of an encoder by those who do not call it."""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def similarity(self) -> Similarity:
        """How two embeddings are compared."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when the embeddings may."""
        ...


class Workers(Protocol):
    """What encodes shards into files. The bytes depend on shard, encoder and form alone, not on who does it."""

    @property
    def encoder(self) -> Described:
        """The encoder that they use."""
        ...

    def steps(self, tasks: Iterable[Task], folder: Path, form: Form) -> Generator[Step, None, None]:
        """Encode what is not known, each shard into its file; the steps of a task come in order, as do the tasks."""
        ...


@dataclass(frozen=True, slots=True)
class _Part:
    """Some texts of a shard: `last` when they are its end, or when its file is there."""

    task: Task
    last: bool


class Here:
    """This process. Reading, encoding and writing go on side by side.

    With an `attempt`, which becomes part of the file's name, a shard's file is made durable and left without its own.
    """

    def __init__(self, encoder: Encoder, attempt: str = "") -> None:
        self.encoder, self._attempt = encoder, attempt
        self._writer: ShardWriter | None = None

    def steps(self, tasks: Iterable[Task], folder: Path, form: Form) -> Generator[Step, None, None]:
        """As `Workers.steps`; a step a window."""
        with closing(encode_windows(self.encoder, _windows(tasks, form), side=form.side)) as encoded:
            try:
                for one in encoded:
                    yield self._step(one, folder, form)
            finally:
                if self._writer is not None:
                    self._writer.drop()
                    self._writer = None

    def _step(self, one: Encoded[_Part], folder: Path, form: Form) -> Step:
        part = one.tag
        if part.task.known is not None:
            return Step(part.task, facts=part.task.known)
        self._write(one.vectors, part.task.shard, folder, form)
        facts = self._finish(part.task.shard, folder) if part.last else None
        return Step(part.task, len(one.vectors), one.tokens, one.cut, facts)

    def _write(self, vectors: Vectors, shard: Shard, folder: Path, form: Form) -> None:
        if self._writer is None:
            path = unfinished_path(folder, shard.key, self._attempt)
            self._writer = ShardWriter(path, shard.key, (len(shard), form.dim), form.dtype)
        self._writer.add(as_stored(vectors, shard.records[self._writer.rows :], form))

    def _finish(self, shard: Shard, folder: Path) -> ShardFacts:
        assert self._writer is not None
        facts = self._writer.finish()
        if not self._attempt:
            give_name(folder, shard.key)
        self._writer = None
        return facts


def _windows(tasks: Iterable[Task], form: Form) -> Iterator[Window[_Part]]:
    for task in tasks:
        left = 0 if task.known is not None else len(task.shard)
        if not left:
            yield Window(_Part(task, True), ())
            continue
        for texts in windows((record.text for record in task.shard.records), form.window):
            left -= len(texts)
            yield Window(_Part(task, left == 0), texts)


def as_stored(vectors: Vectors, records: Sequence[Record], form: Form) -> Rows:
    """Vectors as a shard holds them: cut to the form's dim, of its dtype, finite. `records` are what they are of."""
    values = vectors.values[:, : form.dim]
    if form.dim < vectors.dim and form.similarity == "cosine":
        values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), TINY)
    with np.errstate(over="ignore"):
        rows: Rows = np.ascontiguousarray(values, form.dtype)
    whole = np.isfinite(rows).all(axis=1)
    if not whole.all():
        row = int(np.argmin(whole))
        reason = "holds NaN or infinite numbers. Check the encoder and the text"
        if np.isfinite(vectors.values[row]).all():
            reason = f"has numbers too large for {form.dtype}. Give --dtype float32"
        raise BadInput(f"The vector of {records[row].id!r} {reason}.")
    return rows
