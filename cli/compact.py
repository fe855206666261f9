"""`retr compact`: an index as one segment without what was deleted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.options import (
    DEFAULT_INDEX,
    BitsOption,
    IndexOption,
    JsonOption,
    KindOption,
    QuietOption,
    RecallOption,
    StorageOption,
    WaitOption,
    checked_wait,
)

if TYPE_CHECKING:
    from retr.index.dense.settings import DenseSettings
    from retr.index.disk.manifest import Manifest
    from retr.index.erasing.erasure import ErasureReport
    from retr.index.late.settings import LateSettings
    from retr.index.writing.compaction import CompactReport


def compact(
    index: IndexOption = DEFAULT_INDEX,
    verify: Annotated[
        bool, typer.Option("--verify", help="Prove it: search every file for what was deleted, before and after.")
    ] = False,
    kind: KindOption = None,
    storage: StorageOption = None,
    recall: RecallOption = None,
    bits: BitsOption = None,
    wait: WaitOption = 0.0,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Erase what was deleted, and write all that lives as one segment.

    Until then, deleted texts and vectors are found by no search but still lie in the files. `--kind`, `--storage`,
    `--recall` and `--bits` change how the vectors are kept; without them that stays as it is.
    """
    from retr.cli.progress import Stages
    from retr.opening import open

    seconds, collection = checked_wait(wait), open(index)
    dense = _wanted(collection.manifest, kind=kind, storage=storage, recall=recall)
    late = _coded(collection.manifest, bits)
    with Stages("compact", quiet=quiet) as stages:
        told = stages.report
        if not verify:
            report, proof = collection.compact(dense=dense, late=late, wait_seconds=seconds, report=told), None
        else:
            from retr.index.erasing.erasure import check_erased, compact_verified

            report, proof = compact_verified(collection, dense=dense, late=late, wait_seconds=seconds, report=told)
    _say(index, report, proof, as_json=json)
    if proof is not None:
        check_erased(proof)


def _wanted(manifest: "Manifest", **asked: Any) -> "DenseSettings | None":
    """The settings with what was asked for; None when nothing was. Numbers that `retr tune` chose go with a change."""
    from dataclasses import replace
    from typing import get_args

    from retr.cli.output import warn
    from retr.index.dense.settings import Storage
    from retr.retrieval.errors import BadInput

    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return None
    if manifest.encoder is None:
        raise BadInput(f"{manifest.without_vectors} Leave --{next(iter(given))} out.")
    new, old = replace(manifest.dense, **given), manifest.dense
    if new == old:
        return old
    fine_to_coarse = get_args(Storage)
    if fine_to_coarse.index(new.storage) < fine_to_coarse.index(old.storage):
        warn(f"The vectors were kept as {old.storage}; what that left out does not come back with {new.storage}.")
    return replace(new, refine=None, nprobe=None, ef=None)


def _coded(manifest: "Manifest", bits: int | None) -> "LateSettings | None":
    """The settings of token vectors with so many bits; None when nothing was asked for."""
    from dataclasses import replace

    from retr.cli.output import warn

    if bits is None:
        return None
    old = manifest.late_settings
    new = replace(old, bits=bits)  # type: ignore[arg-type]  # checked by LateSettings
    if manifest.late is not None and bits > old.bits:
        warn(f"Token vectors were kept in {old.bits} bits; what that left out does not come back with {bits}.")
    return new


def _say(folder: Path, report: "CompactReport", proof: "ErasureReport | None", *, as_json: bool) -> None:
    from dataclasses import asdict

    from retr.cli.output import emit_json, print_line

    if as_json:
        verified = {} if proof is None else {"verify": {"erased": proof.erased, **asdict(proof)}}
        emit_json({"index": folder, **asdict(report), **verified})
        return
    proved = [] if proof is None else _proved(proof)
    for line in (f"{folder}: {_done(report)}", *_kept(report), *proved):
        print_line(line)


def _done(report: "CompactReport") -> str:
    erased = f"{report.erased:,} deleted erased" if report.erased else "nothing to erase"
    segments = f"segments {report.segments_before} -> {report.segments}"
    return f"{report.documents:,} documents, {erased}, {segments}, {_kb(report.bytes_before)} -> {_kb(report.bytes)} kB"


def _kb(size: int) -> str:
    return f"{size / 1000:,.0f}"


def _kept(report: "CompactReport") -> list[str]:
    """What still holds older generations, and so what was deleted in them."""
    lines = []
    if report.held:
        numbers = ", ".join(map(str, report.held))
        lines.append(f"still open in a reader: generation {numbers}; run `retr compact` again when it has ended")
    if report.pinned:
        lines.append(f"kept by snapshots: {', '.join(report.pinned)}; `retr snapshot --drop NAME` lets one go")
    return lines


def _proved(proof: "ErasureReport") -> list[str]:
    if not proof.erased:
        return [f"not erased: {sentence}" for sentence in (*proof.found, *proof.blind)]
    searched = f"verified: {proof.files:,} files and {_kb(proof.bytes_searched)} kB searched"
    if not proof.documents:
        return [f"{searched}; no deleted document was there to look for"]
    sampled = "" if proof.sampled == proof.documents else f" ({proof.sampled:,} of them sampled)"
    pieces = sum(proof.probes.values())
    return [f"{searched} for {pieces:,} pieces of {proof.documents:,} deleted documents{sampled}: nothing is left"]
