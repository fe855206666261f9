"""Everything that can be proved about an index folder without changing it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from retr.index.collection import GOLDEN_TEXT
from retr.index.manifest import read_current
from retr.index.snapshot import Snapshot
from retr.index.verify import problems
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import RetrError
from retr.retrieval.protocols import Encoder

GOLDEN_TOLERANCE = 5e-3
"""Largest cosine distance between the golden vector and today's: int8 kernels differ by 0.002 between processors,
encoders by far more."""


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
    manifest = read_current(folder)
    damaged = list(problems(folder, manifest))
    found.problems += damaged
    if damaged:
        return found
    found.checked.append(f"{len(manifest.files())} files have the size and SHA-256 that were written")
    try:
        snapshot = Snapshot(folder, manifest)
    except RetrError as error:
        found.problems.append(str(error))
        return found
    _check_documents(snapshot, found)
    _check_vectors(snapshot, found)
    if load is not None and manifest.encoder is not None:
        _check_golden(snapshot, found, load)
    return found


def _check_documents(snapshot: Snapshot, found: Findings) -> None:
    manifest = snapshot.manifest
    ids = [id for _, id, _, _ in snapshot.recorded()]
    found.say(
        len(ids) == manifest.live_documents,
        f"{len(ids)} documents, as the manifest says",
        f"The segments hold {len(ids)} living documents; the manifest says {manifest.live_documents}.",
    )
    found.say(len(ids) == len(set(ids)), "ids are unique", "An id belongs to more than one living document.")
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
    for start in range(0, len(snapshot.dense), 65_536):
        block = snapshot.dense.vectors(np.arange(start, min(start + 65_536, len(snapshot.dense)), dtype=np.int64))
        finite &= bool(np.isfinite(block).all())
        unit &= bool(np.allclose(np.linalg.norm(block, axis=1), 1, atol=1e-3))
    found.say(finite, f"{len(snapshot.dense)} vectors are finite", "Some vectors hold NaN or infinite numbers.")
    if facts.similarity == "cosine":
        found.say(unit, "vectors have length 1", "Some vectors do not have length 1, though the similarity is cosine.")


def _check_golden(snapshot: Snapshot, found: Findings, load: Callable[[str], Encoder]) -> None:
    facts = snapshot.manifest.encoder
    assert facts is not None
    try:
        encoder = load(facts.spec)
        vectors = encoder.encode_documents([GOLDEN_TEXT])
    except RetrError as error:
        found.problems.append(f"The encoder {facts.spec} cannot be loaded: {error}")
        return
    assert isinstance(vectors, Vectors)
    golden, today = np.array(facts.golden, np.float32), vectors.values[0]
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
