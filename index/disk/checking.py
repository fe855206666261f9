"""Everything that can be proved about an index folder without changing it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retr.index.disk.leases import held
from retr.index.disk.manifest import EncoderFacts
from retr.index.disk.pins import pin_problems
from retr.index.disk.verify import problems
from retr.index.snapshot import Snapshot
from retr.index.writing.creation import GOLDEN_TEXT, given, golden_of
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import RetrError
from retr.retrieval.protocols import Encoder

GOLDEN_TOLERANCE = 5e-3
"""Largest cosine distance between the golden vector and today's: int8 kernels differ by 0.002 between processors,
encoders by far more."""


UNIT_TOLERANCE = 1e-2
"""Vectors kept in int8 differ this much from length 1."""

SAMPLED_ROWS = 256

SAMPLED_QUERIES, SCORED_TOKENS = 50, 20_000_000
"""Queries that token vectors are checked with; fewer where together they would be scored with more tokens than this."""

LEAST_RECALL = 0.9
"""What a search of token vectors finds at least of what scoring all of them does, or it is a problem."""


@dataclass(slots=True)
class Findings:
    """What was checked and sound, and what was not."""

    checked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def say(self, sound: bool, what: str, problem: str) -> None:
        """Note one check."""
        (self.checked if sound else self.problems).append(what if sound else problem)


def check_folder(folder: Path, *, load: Callable[[str], Encoder] | None) -> Findings:
    """Check the live generation; `load` makes the encoder for the golden vector, None leaves that out."""
    found = Findings()
    found.problems += pin_problems(folder)
    manifest, lease = held(folder)
    damaged = list(problems(folder, manifest))
    found.problems += damaged
    if damaged:
        return found
    found.checked.append(f"{len(manifest.files())} files have the size and SHA-256 that were written")
    try:
        snapshot = Snapshot(folder, manifest, lease)
    except RetrError as error:
        found.problems.append(str(error))
        return found
    _check_documents(snapshot, found)
    _check_vectors(snapshot, found)
    _check_tokens(snapshot, found)
    for facts in manifest.encoders:
        if load is not None and given(facts) is None:
            check_golden(facts, found, load)
    return found


def _check_documents(snapshot: Snapshot, found: Findings) -> None:
    manifest = snapshot.manifest
    ids = [id for _, id in snapshot.all_ids()]
    found.say(
        len(ids) == manifest.live_documents,
        f"{len(ids)} documents, as the manifest says",
        f"The segments hold {len(ids)} living documents; the manifest says {manifest.live_documents}.",
    )
    found.say(len(ids) == len(set(ids)), "ids are unique", "An id belongs to more than one living document.")
    rising = all(bool((np.diff(segment.keys) > 0).all()) for segment in snapshot.segments)
    found.say(rising, "passages stand in the order of their keys", "The keys of some passages do not rise.")
    rows = int(np.count_nonzero(snapshot.live[snapshot.document_of]))
    lexical = len(snapshot.lexical) if snapshot.lexical is not None else rows
    found.say(
        rows == manifest.live_passages == lexical,
        f"{rows} passages in the segments and in the lexical index",
        f"{rows} passages in the segments, {lexical} in the lexical index; the manifest says {manifest.live_passages}.",
    )


def _check_vectors(snapshot: Snapshot, found: Findings) -> None:
    if snapshot.dense is None:
        return
    facts = snapshot.manifest.encoder
    assert facts is not None
    finite, unit = True, True
    for segment in snapshot.segments:
        assert segment.dense is not None
        for block in segment.dense.blocks():
            finite &= bool(np.isfinite(block).all())
            unit &= bool(np.allclose(np.linalg.norm(block, axis=1), 1, atol=UNIT_TOLERANCE))
    found.say(finite, f"{len(snapshot.dense)} vectors are finite", "Some vectors hold NaN or infinite numbers.")
    if facts.similarity == "cosine":
        found.say(unit, "vectors have length 1", "Some vectors do not have length 1, though the similarity is cosine.")
    lost = _lost(snapshot)
    found.say(
        lost == 0,
        "sampled passages are found by their own vectors",
        f"{lost} of the passages that were searched for by their own vectors were not found.",
    )


def _check_tokens(snapshot: Snapshot, found: Findings) -> None:
    """Token vectors are coded and searched in steps: a sample says how much of what is kept the search finds."""
    from retr.index.late.verifying import own_queries, verify

    try:
        index = snapshot.late
    except RetrError as error:
        found.problems.append(str(error))
        return
    if index is None or not len(index):
        return
    queries = max(5, min(SAMPLED_QUERIES, SCORED_TOKENS // max(index.token_count, 1)))
    told = verify(index, queries=own_queries(index, queries))
    found.say(
        told.recall >= LEAST_RECALL,
        f"{index.token_count} token vectors; the search finds {told.recall:.3f} of the {told.k} best by all of them",
        f"The search finds {told.recall:.3f} of the {told.k} best passages by all token vectors, of {told.queries} "
        "queries; it searches more with --candidates N, and all with --exact.",
    )


def _lost(snapshot: Snapshot) -> int:
    """Of a sample of living rows spread over the collection, how many their own vector does not find.

    A row counts as found when the best score is its own, since equal texts have equal vectors; an approximate index
    may miss some, as many as its recall allows.
    """
    assert snapshot.dense is not None
    live = np.flatnonzero(snapshot.live[snapshot.document_of])
    rows = live[np.linspace(0, len(live) - 1, min(len(live), SAMPLED_ROWS)).astype(np.int64)] if len(live) else live
    if not len(rows):
        return 0
    vectors = snapshot.dense.vectors(rows)
    best = snapshot.dense.search(Vectors(vectors), 1, snapshot.live_rows).scores[:, 0]
    own = np.einsum("rd,rd->r", vectors, vectors)
    missed = int(np.count_nonzero(best < own - UNIT_TOLERANCE))
    recall = min((float(segment.facts.dense.get("recall", 1.0)) for segment in snapshot.segments), default=1.0)
    return missed if missed > (1 - recall + 0.05) * len(rows) else 0


def check_golden(facts: EncoderFacts, found: Findings, load: Callable[[str], Encoder]) -> None:
    """Encode the golden text again and compare it with the vector of then."""
    try:
        encoder = load(facts.spec)
        vectors = encoder.encode_documents([GOLDEN_TEXT])
    except RetrError as error:
        found.problems.append(f"The encoder {facts.spec} cannot be loaded: {error}")
        return
    golden, today = np.array(facts.golden, np.float32), golden_of(vectors)
    distance = 1 - float(golden @ today) / float(np.linalg.norm(golden) * np.linalg.norm(today) or 1)
    same = encoder.fingerprint == facts.fingerprint
    found.say(
        same, "the encoder has the same fingerprint", f"{facts.spec} is not the encoder this index was made with."
    )
    found.say(
        distance <= GOLDEN_TOLERANCE,
        f"the golden text encodes to the same vector (cosine distance {abs(distance):.1e})",
        f"The golden text encodes to another vector now: cosine distance {distance:.4f}.",
    )
