"""What runs elsewhere: a process with an encoder, which encodes the shards and texts that it is handed."""

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from retr.encoders.bulk.folder import SHARDS, ShardFacts
from retr.encoders.bulk.sharding import Shard
from retr.encoders.bulk.working import Form, Here, Step, Task
from retr.encoders.bulk.writing import unfinished_path
from retr.encoders.running.pipeline import Side
from retr.retrieval.embeddings import Embeddings
from retr.retrieval.protocols import Encoder, Similarity
from retr.retrieval.version import VERSION


@dataclass(frozen=True, slots=True)
class Hello:
    """What a worker says of itself and of its encoder before it is given anything."""

    version: str
    dim: int
    similarity: Similarity
    fingerprint: str
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A shard's facts; its file lies under the name of `attempt`, or is `content` where the folder was not in sight."""

    facts: ShardFacts
    attempt: str
    tokens: int | None
    cut: int | None
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """A folder, and a file in it by which a machine knows that its folder of that path is the same one."""

    folder: str
    mark: str

    def holds(self) -> bool:
        """Whether the folder is in sight from here."""
        return (Path(self.folder) / self.mark).is_file()


class Worker:
    """One encoder in a process of its own. What it raises is raised where the job runs."""

    def __init__(self, spec: str, device: str = "", threads: int | None = None) -> None:
        self._spec, self._device, self._threads = spec, device, threads
        self._loaded: Encoder | None = None

    def hello(self) -> Hello:
        """Load the encoder, and say which it is."""
        encoder = self._encoder()
        most: Any = getattr(encoder, "max_tokens", None)
        return Hello(VERSION, encoder.dim, encoder.similarity, encoder.fingerprint, most)

    def write(self, shard: Shard, sight: Sight, form: Form) -> Written:
        """Encode a shard into a file in the folder, durable under a name that no other attempt has."""
        attempt = uuid4().hex
        if sight.holds():
            return _written(self._encoder(), shard, Path(sight.folder), form, attempt)
        with TemporaryDirectory(prefix="retr-shard-") as name:
            (Path(name) / SHARDS).mkdir()
            made = _written(self._encoder(), shard, Path(name), form, attempt)
            content = unfinished_path(Path(name), shard.key, attempt).read_bytes()
        return Written(made.facts, attempt, made.tokens, made.cut, content)

    def embed(self, texts: Sequence[str], side: Side) -> Embeddings:
        """One embedding a text, in order."""
        encoder = self._encoder()
        return encoder.encode_queries(texts) if side == "queries" else encoder.encode_documents(texts)

    def _encoder(self) -> Encoder:
        if self._loaded is None:
            if self._threads is not None:
                os.environ["RETR_THREADS"] = str(self._threads)
            if self._device:
                os.environ["RETR_DEVICE"] = self._device
            from retr.encoders import load_encoder

            self._loaded = load_encoder(self._spec)
        return self._loaded


def _written(encoder: Encoder, shard: Shard, folder: Path, form: Form, attempt: str) -> Written:
    with closing(Here(encoder, attempt).steps([Task(shard)], folder, form)) as steps:
        each: list[Step] = list(steps)
    facts = each[-1].facts
    assert facts is not None
    tokens, cut = ([getattr(step, name) for step in each] for name in ("tokens", "cut"))
    return Written(facts, attempt, _total(tokens), _total(cut))


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
