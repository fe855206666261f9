"""Proof that what was deleted is in no file of an index folder: what `retr compact --verify` shows.

    report, erasure = compact_verified(collection)
    if not erasure.erased: print(*erasure.found, sep="\\n")

Or step by step: `probes_of(open_snapshot(folder))` before the compaction, and `verify_erased(folder, probes)` before it
(everything must be found then, else the search is blind) and after it (nothing may be). Nothing that holds the old
generation, such as that snapshot, may be alive when the compaction runs.

Two proofs, each of which can fail alone. By bytes: pieces of the deleted documents that stand in no living one are
looked for in every file, and in everything that is compressed in it. By structure: every file belongs to the one
generation left, which holds living rows and nothing else. Where vectors are coded by a quantizer (`dense.faiss`), no
bytes can be looked for, and the proof is by structure: so many codes as living rows, made from them alone. A codec
of token vectors stays too, with centroids that were trained before the deletion: means of tokens, not one's own bytes.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.erasing.needles import Bytes, Needles, unpacked
from retr.index.erasing.probing import Probe, Probes, probes_of
from retr.index.erasing.remnants import files_in, lexical_folders, structural, terms_in
from retr.index.late.settings import LateSettings
from retr.index.snapshot import open_snapshot
from retr.index.writing.compaction import CompactReport
from retr.index.writing.merging import Report, in_silence
from retr.retrieval.errors import Damaged

__all__ = ["ErasureReport", "Probe", "Probes", "compact_verified", "probes_of", "verify_erased"]

_NAMED = 3


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What was searched, and each remnant of a deleted document in one sentence that names the file.

    `documents` were deleted and `sampled` of them probed; `probes` counts what was looked for by its kind, `seen` what
    of it was found. `blind` names the kinds that the same search did not find whole while they were still there: for
    those, finding nothing proves nothing.
    """

    files: int
    bytes_searched: int
    documents: int
    sampled: int
    probes: Mapping[str, int]
    seen: Mapping[str, int] = field(default_factory=dict)
    found: tuple[str, ...] = ()
    blind: tuple[str, ...] = ()

    @property
    def erased(self) -> bool:
        """Whether nothing was found by a search that could have found it."""
        return not self.found and not self.blind


def compact_verified(
    collection: Collection,
    *,
    dense: DenseSettings | None = None,
    late: LateSettings | None = None,
    wait_seconds: float = 0.0,
    report: Report = in_silence,
) -> tuple[CompactReport, ErasureReport]:
    """Compact, and prove that nothing deleted is left. Writes of others meanwhile may be reported as remnants."""
    folder = collection.folder
    probes = probes_of(open_snapshot(folder))
    before = verify_erased(folder, probes)
    compacted = collection.compact(dense=dense, late=late, wait_seconds=wait_seconds, report=report)
    return compacted, verify_erased(folder, probes, before=before)


def verify_erased(folder: Path, probes: Probes, *, before: ErasureReport | None = None) -> ErasureReport:
    """Search every file, also those that no manifest names. `before` is the same search while all was still there."""
    needles = Needles([probe.data for probe in probes.strings])
    sentences, seen = list(structural(folder, probes.gone)), np.zeros(len(probes.strings), np.bool_)
    searched, files = 0, files_in(folder)
    for path in files:
        data = _read(path)
        name = path.relative_to(folder).as_posix()
        here, size = _found(needles, data)
        searched += size
        seen |= here
        sentences += _sentences([probe for probe, one in zip(probes.strings, here, strict=True) if one], name)
    in_terms = _terms(folder, probes.terms, sentences)
    kinds = [probe.kind for probe in probes.strings]
    counted = Counter(kind for kind, one in zip(kinds, seen, strict=True) if one)
    counted += Counter(probe.kind for probe, one in zip(probes.terms, in_terms, strict=True) if one)
    return ErasureReport(
        files=len(files),
        bytes_searched=searched,
        documents=probes.documents,
        sampled=probes.sampled,
        probes=probes.counts,
        seen=dict(counted),
        found=tuple(sentences),
        blind=() if before is None else _blind(before),
    )


def _blind(before: ErasureReport) -> tuple[str, ...]:
    """Kinds that were not found whole where they must be; as another storage would have them, vectors need not be."""
    return tuple(
        f"{before.seen.get(kind, 0)} of {count} probes of the kind {kind!r} were found before the compaction."
        for kind, count in before.probes.items()
        if before.seen.get(kind, 0) < count and " as " not in kind
    )


def _read(path: Path) -> Bytes:
    try:
        return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    except FileNotFoundError:
        return np.empty(0, np.uint8)  # A writer has cleared it away meanwhile.


def _found(needles: Needles, data: Bytes) -> tuple[NDArray[np.bool_], int]:
    """Which needles are in a file's bytes or in what is compressed in them, and how many bytes were searched."""
    found, size = needles.found_in(data), len(data)
    for content in unpacked(data):
        found |= needles.found_in(content)
        size += len(content)
    return found, size


def _terms(folder: Path, probes: Sequence[Probe], sentences: list[str]) -> NDArray[np.bool_]:
    seen = np.zeros(len(probes), np.bool_)
    for path in lexical_folders(folder):
        name = path.relative_to(folder).as_posix()
        try:
            here = np.array(terms_in(path, [probe.data.decode() for probe in probes]), np.bool_)
        except ValueError as error:
            sentences.append(f"The terms in {name!r} cannot be read ({str(error).splitlines()[0]}).")
            continue
        seen |= here
        sentences += _sentences([probe for probe, one in zip(probes, here, strict=True) if one], name)
    return seen


def _sentences(probes: Sequence[Probe], name: str) -> list[str]:
    """One sentence a kind."""
    owners: dict[str, dict[str, None]] = defaultdict(dict)
    for probe in probes:
        owners[probe.kind][probe.id] = None
    found = []
    for kind, ids in owners.items():
        some = ", ".join(repr(id) for id in list(ids)[:_NAMED])
        more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
        found.append(f"The {kind} of deleted {some}{more} is in {name!r}.")
    return found


def check_erased(report: ErasureReport) -> None:
    """Damaged, with the first remnant or the first blind kind, when the report does not prove erasure."""
    against = (*report.found, *report.blind)
    if against:
        more = f" There are {len(against) - 1} more like it." if len(against) > 1 else ""
        raise Damaged(f"Deleted documents are not proven to be erased. {against[0]}{more}")
