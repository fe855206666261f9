"""A collection does what a dict and numpy do, whatever is done to it in whatever order.

Longer than by default: RETR_EXAMPLES=2000 RETR_STEPS=60 pytest tests/index/test_stateful.py
"""

import copy
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, precondition, rule

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.dense.storage import CODECS
from retr.index.disk.checking import check_folder
from retr.index.disk.fsio import Disk
from retr.index.disk.history import kept_generations
from retr.index.erasing.erasure import compact_verified
from retr.index.settings import CollectionSettings, SearchSettings, WriteSettings
from retr.retrieval.chunking import Chunker, ChunkSettings
from retr.retrieval.embeddings import Vectors
from retr.retrieval.filters import matches, parse
from retr.retrieval.records import Document

DIM = 16
WORDS = [f"{first}{second}" for first in "bcdfg" for second in ("ad", "im", "on")]
CHUNKS = ChunkSettings(max_tokens=8, overlap=0)
FILTERS = ["n >= 2", "tag = 'red'", "tag is null", "not n in (0, 1)", "'x' in marks", "n < 3 and tag != 'red'", "n = 9"]
PATCHES = {
    "retr.index.writing.merging.SMALLEST_ROWS": 4,
    "retr.index.writing.merging.FAN_OUT": 2,
    "retr.index.writing.merging.DEAD_DOCUMENTS": 3,
    "retr.index.writing.commits.SMALL_ROWS": 6,
    "retr.index.dense.kinds.TRAINABLE": 16,
    "retr.index.lexical.postings._FEW_ROWS": 4,
    "retr.index.writing.renewal.DEAD_PASSAGES": 5,
}

ids = st.sampled_from([f"d{number}" for number in range(24)])
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=14).map(" ".join)
metadata = st.fixed_dictionaries(
    {"n": st.integers(0, 4)},
    optional={"tag": st.sampled_from(["red", "blue"]), "marks": st.lists(st.sampled_from("xyz"), max_size=2)},
)
documents = st.builds(Document, ids, texts, title=st.sampled_from(["", "bad", "Dim"]), metadata=metadata)
batches = st.lists(documents, min_size=1, max_size=12, unique_by=lambda document: document.id)
wheres = st.none() | st.sampled_from(FILTERS)
kinds = st.sampled_from(["flat", "flat", "auto", "ivf-flat", "ivf-sq8", "pq", "hnsw", "rabitq"])
storages = st.sampled_from(["float32", "float32", "float16", "int8", "binary"])
seeds = st.integers(0, 5)


DIRECTIONS = dict(zip([*WORDS, ""], np.random.default_rng(7).normal(size=(len(WORDS) + 1, DIM)), strict=True))


class Letters:
    """A text's vector is the sum of its words' fixed directions; a word it does not know has none."""

    dim, similarity, fingerprint = DIM, "cosine", "letters-1"

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        words = [["", *(word for word in text.lower().split() if word in DIRECTIONS)] for text in texts]
        values = np.array([np.sum([DIRECTIONS[word] for word in some], axis=0) for some in words]).reshape(-1, DIM)
        return Vectors((values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32))

    encode_documents = encode_queries


ENCODER = Letters()


class QuickDisk(Disk):
    """Waits for no disk: these tests end no process."""

    def sync_file(self, path: Path) -> None:
        pass


@dataclass
class Held:
    """One document of the oracle: how its vectors came about, and what is stored of them."""

    document: Document
    origin: bytes
    passages: list[str]
    vectors: np.ndarray  # (passages, DIM)


@dataclass
class Oracle:
    """What a collection should hold, in the order it was added."""

    dense: DenseSettings = field(default_factory=DenseSettings)
    held: dict[str, Held] = field(default_factory=dict)

    def add(self, documents: Sequence[Document], vectors: np.ndarray | None = None) -> dict[str, int]:
        counts = {"added": 0, "updated": 0, "unchanged": 0}
        for number, document in enumerate(documents):
            given = None if vectors is None else vectors[number : number + 1]
            origin = b"" if given is None else given.tobytes()
            known = self.held.get(document.id)
            if known is not None and (known.document, known.origin) == (document, origin):
                counts["unchanged"] += 1
                continue
            counts["added" if known is None else "updated"] += 1
            self.held.pop(document.id, None)
            new = self._new(document, origin, given)
            if known is not None and not known.origin and not origin and _same_text(known.document, document):
                new.vectors = known.vectors  # Not encoded again, however coarsely they were stored once.
            self.held[document.id] = new
        return counts

    def _new(self, document: Document, origin: bytes, given: np.ndarray | None) -> Held:
        if given is not None:
            passages = [document.text]
        else:
            passages = [passage.text for passage in Chunker(CHUNKS).split(document)]
        passages = [f"{document.title} {passage}".strip() for passage in passages]
        values = ENCODER.encode_documents(passages).values if given is None else given
        return Held(document, origin, passages, self._stored(values))

    def _stored(self, values: np.ndarray) -> np.ndarray:
        codec = CODECS[self.dense.storage]
        codes, scales = codec.encode(values)
        return codec.decode(codes, np.empty(0, np.float32) if scales is None else scales, DIM)

    def restore(self, dense: DenseSettings) -> None:
        """Everything stored anew."""
        self.dense = dense
        for held in self.held.values():
            held.vectors = self._stored(held.vectors)

    def where(self, where: str | None) -> list[Held]:
        return [held for held in self.held.values() if where is None or matches(parse(where), held.document)]


def _same_text(one: Document, two: Document) -> bool:
    return (one.title, one.text) == (two.title, two.text)


def check_answers(collection: Collection, oracle: Oracle, query: str, where: str | None, k: int) -> None:
    """Every way of asking gives what the oracle gives."""
    matching = oracle.where(where)
    assert len(collection) == len(oracle.held)
    assert collection.ids(where) == [held.document.id for held in matching]
    assert collection.count(where) == len(matching)
    assert collection.get(["d0", "none", "d3"]) == [
        oracle.held[id].document for id in ("d0", "d3") if id in oracle.held
    ]
    vector = ENCODER.encode_queries([query]).values
    scores = {held.document.id: held.vectors @ vector[0] for held in matching}
    exact = collection.nearest(vector, k, where=where, exact=True)[0]
    check_dense([(near.id, near.score) for near in exact], scores, k, exact=True)
    found = collection.search(query, k, where=where, mode="dense")
    check_dense([(hit.id, hit.score) for hit in found], scores, k, exact=oracle.dense.kind == "flat")
    for hit in found:
        assert oracle.held[hit.id].document.text[hit.source["start"] : hit.source["end"]] == hit.text
    check_lexical(collection, matching, query, where, k)
    check_hybrid(collection, len(matching), query, where, k)


def check_dense(found: list[tuple[str, float]], scores: dict[str, np.ndarray], k: int, *, exact: bool) -> None:
    got = np.array([score for _, score in found])
    assert len({id for id, _ in found}) == len(found) == min(k, len(scores))
    assert (np.diff(got) <= 0).all()
    for id, score in found:
        own = scores[id].max() if exact else scores[id]
        assert np.abs(own - score).min() < 1e-5
    if exact:
        best = sorted((float(own.max()) for own in scores.values()), reverse=True)[:k]
        assert np.allclose(got, best, atol=1e-5)


def check_lexical(collection: Collection, matching: list[Held], query: str, where: str | None, k: int) -> None:
    wanted = set(query.split())
    having = {
        held.document.id for held in matching if any(wanted & set(passage.lower().split()) for passage in held.passages)
    }
    found = collection.search(query, k, where=where, mode="lexical")
    assert len({hit.id for hit in found}) == len(found) == min(k, len(having))
    assert {hit.id for hit in found} <= having
    assert all(one.score >= two.score > 0 for one, two in pairwise(found))


def check_hybrid(collection: Collection, matching: int, query: str, where: str | None, k: int) -> None:
    fused: dict[str, float] = {}
    for mode in ("dense", "lexical"):
        for hit in collection.search(query, 100, where=where, mode=mode):  # type: ignore[arg-type]
            fused[hit.id] = fused.get(hit.id, 0) + 1 / (60 + hit.rank)
    found = collection.search(query, k, where=where, settings=SearchSettings(mode="hybrid", depth=100))
    assert len(found) == min(k, matching)
    assert np.allclose([hit.score for hit in found], sorted(fused.values(), reverse=True)[:k])
    assert np.allclose([hit.score for hit in found], [fused[hit.id] for hit in found])


class CollectionMachine(RuleBasedStateMachine):
    """One collection that writes, one that reads and stays behind, and what both should hold."""

    names = Bundle("names")

    @initialize(kind=kinds, storage=storages, batch=st.lists(documents, max_size=20, unique_by=lambda one: one.id))
    def make(self, kind: Any, storage: Any, batch: list[Document]) -> None:
        self.patch = pytest.MonkeyPatch()
        for name, value in PATCHES.items():
            self.patch.setattr(name, value)
        self.root = Path(tempfile.mkdtemp(prefix="retr-stateful-"))
        dense = DenseSettings(kind=kind, storage=storage)
        made = CollectionSettings(chunk=CHUNKS, language="none", dense=dense)
        self.collection = Collection.create(self.root / "index", encoder=ENCODER, settings=made, disk=QuickDisk())
        self.oracle = Oracle(dense)
        self.generations: dict[int, Oracle] = {}
        self.pins: dict[str, Oracle] = {}
        self.copies = 0
        self.note()
        self.adds(batch, 1000, 512)
        self.stays()

    def note(self) -> None:
        """Remember what this generation holds."""
        self.generations[self.collection.manifest.generation] = copy.deepcopy(self.oracle)

    @rule()
    def stays(self) -> None:
        self.reader = Collection.open(self.root / "index", load=lambda _: ENCODER)
        self.read = copy.deepcopy(self.oracle)

    @rule(batch=batches, commit=st.sampled_from([1, 4, 1000]), encode=st.sampled_from([1, 3, 512]))
    def adds(self, batch: list[Document], commit: int, encode: int) -> None:
        report = self.collection.add(batch, settings=WriteSettings(commit_passages=commit, encode_passages=encode))
        counts = self.oracle.add(batch)
        assert {name: getattr(report, name) for name in counts} == counts
        self.note()

    @rule(count=st.integers(1, 8), seed=seeds)
    def adds_again(self, count: int, seed: int) -> None:
        """Some as they are, some with other metadata only, one of another kind of origin among them."""
        chosen = list(self.oracle.held.values())[seed::2][:count]
        batch = [held.document for held in chosen]
        batch[1::2] = [Document(one.id, one.text, one.title, {"n": seed, "new": [1]}) for one in batch[1::2]]
        report = self.collection.add(batch)
        counts = self.oracle.add(batch)
        assert {name: getattr(report, name) for name in counts} == counts
        self.note()

    @rule(batch=batches, seed=seeds)
    def adds_vectors(self, batch: list[Document], seed: int) -> None:
        vectors = np.random.default_rng(seed).normal(size=(len(batch), DIM)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        report = self.collection.add(batch, vectors=vectors)
        assert report.encoded == 0
        assert report.added == self.oracle.add(batch, vectors)["added"]
        self.note()

    @rule(batch=batches)
    def mirrors(self, batch: list[Document]) -> None:
        report = self.collection.add(batch, settings=WriteSettings(mirror=True, commit_passages=5))
        gone = self.oracle.held.keys() - {document.id for document in batch}
        self.oracle.add(batch)
        assert report.removed == len(gone)
        for id in gone:
            del self.oracle.held[id]
        self.note()

    @rule(chosen=st.lists(ids, max_size=12))
    def deletes(self, chosen: list[str]) -> None:
        known = self.oracle.held.keys() & set(chosen)
        assert self.collection.delete([*chosen, "unknown"]) == len(known)
        for id in known:
            del self.oracle.held[id]
        self.note()

    @rule(kind=kinds, storage=storages, change=st.booleans())
    def compacts(self, kind: Any, storage: Any, change: bool) -> None:
        dense = DenseSettings(kind=kind, storage=storage) if change else None
        report = self.collection.compact(dense=dense)
        assert (report.documents, self.collection.manifest.deletes) == (len(self.oracle.held), {})
        assert len(self.collection.manifest.segments) == min(1, len(self.oracle.held))
        if dense is not None:
            self.oracle.restore(dense)
        self.note()

    @rule()
    def compacts_with_proof(self) -> None:
        """Nothing deleted is left, but for what the reader that stays behind, or a snapshot, holds."""
        report, proof = compact_verified(self.collection)
        assert proof.blind == ()
        held = report.held or report.pinned
        assert proof.erased or held, proof.found
        self.note()

    @rule(target=names, name=st.sampled_from("pqr"))
    def pins_a_snapshot(self, name: str) -> str:
        if name in self.pins:
            self.collection.drop_snapshot(name)
        self.collection.snapshot(name)
        self.pins[name] = copy.deepcopy(self.oracle)
        return name

    @rule(name=consumes(names))
    def drops_a_snapshot(self, name: str) -> None:
        if name in self.pins:
            self.collection.drop_snapshot(name)
            del self.pins[name]

    @rule(name=names)
    def rolls_back_to_a_snapshot(self, name: str) -> None:
        pinned = {pin.name: pin.generation for pin in self.collection.snapshots()}
        assert pinned.keys() == self.pins.keys()
        if name in self.pins and pinned[name] != self.collection.manifest.generation:
            self.collection.rollback(name)
            self.oracle = copy.deepcopy(self.pins[name])
            self.note()

    @rule(at=st.integers(0, 5))
    def rolls_back(self, at: int) -> None:
        kept = [one for one in kept_generations(self.root / "index") if not one.live]
        known = [one.generation for one in kept if one.generation in self.generations]
        if known:
            self.collection.rollback(known[at % len(known)])
            self.oracle = copy.deepcopy(self.generations[known[at % len(known)]])
            self.note()

    @rule(name=st.none() | st.sampled_from("pqr"), query=texts, where=wheres)
    def copies_out(self, name: str | None, query: str, where: str | None) -> None:
        if name is None or name in self.pins:
            self.copies += 1
            target = self.root / f"copy-{self.copies}"
            self.collection.copy(target, of=name)
            oracle = self.oracle if name is None else self.pins[name]
            check_answers(Collection.open(target, load=lambda _: ENCODER), oracle, query, where, 5)
            shutil.rmtree(target)

    @rule()
    def reopens(self) -> None:
        self.collection = Collection.open(self.root / "index", load=lambda _: ENCODER, disk=QuickDisk())

    @rule()
    def refreshes(self) -> None:
        newer = self.reader.manifest.generation != self.collection.manifest.generation
        assert self.reader.refresh() is newer
        self.read = copy.deepcopy(self.oracle)

    @rule(query=texts, where=wheres, k=st.sampled_from([1, 3, 10, 60]))
    def answers(self, query: str, where: str | None, k: int) -> None:
        check_answers(self.collection, self.oracle, query, where, k)

    @rule(query=texts, where=wheres, k=st.sampled_from([1, 3, 10, 60]))
    def answers_as_before(self, query: str, where: str | None, k: int) -> None:
        check_answers(self.reader, self.read, query, where, k)

    @precondition(lambda self: len(self.oracle.held) > 3)
    @rule()
    def is_sound(self) -> None:
        assert check_folder(self.root / "index", load=None).problems == []

    def teardown(self) -> None:
        try:
            if hasattr(self, "reader"):
                check_answers(self.collection, self.oracle, "bad dim", None, 10)
                check_answers(self.reader, self.read, "bad dim", "n >= 2", 10)
                assert check_folder(self.root / "index", load=None).problems == []
        finally:
            if hasattr(self, "root"):
                shutil.rmtree(self.root)
                self.patch.undo()


TestCollection = CollectionMachine.TestCase
TestCollection.settings = settings(
    max_examples=int(os.environ.get("RETR_EXAMPLES", "25")),
    stateful_step_count=int(os.environ.get("RETR_STEPS", "20")),
    derandomize="RETR_EXAMPLES" not in os.environ,
    phases=[Phase.generate] + ([] if "RETR_EXAMPLES" in os.environ else [Phase.shrink]),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
