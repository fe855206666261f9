"""One export from beginning to end: the network, the folder around it, the figures, and the gate."""

import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from retr.encoders.exporting.layout import write_card
from retr.encoders.exporting.settings import ExportSettings
from retr.encoders.exporting.staging import staged
from retr.encoders.exporting.subject import Exportable, Report
from retr.encoders.reading.record import Record
from retr.retrieval.errors import Mismatch
from retr.retrieval.stamps import sha256_of

PACKAGES = ("retr", "numpy", "onnxruntime", "tokenizers", "torch", "transformers", "sentence-transformers", "onnx")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how near it is: one table of figures for each comparison."""

    out: Path
    record: Record
    bytes: int
    source_bytes: int
    seconds: float


def export_subject(subject: Exportable, out: Path, settings: ExportSettings, report: Report) -> Exported:
    """Write `out`, or nothing: Mismatch where the exported network is not near enough to its original."""
    started = time.monotonic()
    with staged(out) as folder:
        record = _write(subject, folder, settings, report)
        record.write(folder)
        report("comparing with the original")
        record = replace(record, figures=subject.figures(folder, record, settings))
        check(record, settings)
        record = replace(record, batch_independent=True)
        record.write(folder)
        licence = _licence(subject)
        write_card(folder, _card(record), licence=licence, name=out.name, task=subject.task, library=subject.library)
        size = sum((folder / name).stat().st_size for name in record.files if ".onnx" in name)
    before = sum(file.stat().st_size for file in subject.originals())
    return Exported(out, record, size, before, time.monotonic() - started)


def check(record: Record, settings: ExportSettings) -> None:
    """The gate: Mismatch with every figure that is out of bounds."""
    broken = [f"{name}: {line}" for name, figures in record.figures.items() for line in settings.bounds.broken(figures)]
    if broken:
        raise Mismatch(
            f"The {record.precision} network is not near enough to the original ({'; '.join(broken)}). Nothing was "
            "written. Ask for less, such as --worst-cosine 0.99, or for another --precision."
        )


def _write(subject: Exportable, folder: Path, settings: ExportSettings, report: Report) -> Record:
    written, about = subject.write(folder, settings, report), subject.about
    return Record(
        kind=subject.kind,
        precision=settings.precision,
        network=written.network,
        built=written.built,
        files={file.relative_to(folder).as_posix(): sha256_of(file) for file in written.files},
        kept=written.kept,
        texts=subject.facts(),
        bounds=asdict(settings.bounds),
        source={name: about[name] for name in ("name", "fingerprint", "weights", "precision")},
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _licence(subject: Exportable) -> str:
    return str(subject.about.get("licence", "not stated"))


def _card(record: Record) -> list[str]:
    """What the model card tells."""
    lines = [
        f"Exported by retr from {record.source['name']}, in {record.precision}: `{record.network}`.",
        "",
        f"Compared with the original on {record.texts['count']} texts:",
        "",
        "| comparison | figure | value |",
        "|---|---|---|",
    ]
    figures: Any = record.figures
    lines += [f"| {name} | {key} | {value:.6f} |" for name, table in figures.items() for key, value in table.items()]
    if record.kept:
        lines += ["", f"Kept in float: {', '.join(record.kept)}."]
    return lines
