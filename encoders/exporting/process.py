"""One export from beginning to end: the network, the folder around it, the figures, and the gate."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.exporting.choosing import choose_kept
from retr.encoders.exporting.layout import copy_model, write_card
from retr.encoders.exporting.making import FromWeights, Maker
from retr.encoders.exporting.padded import open_alone, open_padded
from retr.encoders.exporting.settings import NETWORKS, ExportSettings
from retr.encoders.exporting.staging import staged
from retr.encoders.exporting.subject import Subject
from retr.encoders.reading.families import is_known, read_head, read_transformer
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.record import Record
from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
from retr.retrieval.errors import BadInput, Mismatch, missing_package
from retr.retrieval.stamps import sha256_of

PACKAGES = ("retr", "numpy", "onnxruntime", "tokenizers", "torch", "transformers", "sentence-transformers", "onnx")
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and how near it is: one table of figures for each comparison."""

    out: Path
    record: Record
    bytes: int
    source_bytes: int
    seconds: float


def export_subject(subject: Subject, out: Path, settings: ExportSettings, report: Report) -> Exported:
    """Write `out`, or nothing: Mismatch where the exported network is not near enough to its original."""
    started = time.monotonic()
    with staged(out) as folder:
        record = _write(subject, folder, settings, report)
        record.write(folder)
        report("comparing with the original")
        record = replace(record, figures=_figures(subject, folder, record, settings))
        check(record, settings)
        record = replace(record, batch_independent=True)
        record.write(folder)
        write_card(folder, _card(record), licence=_licence(subject), name=out.name, task=subject.task)
        size = (folder / record.network).stat().st_size
    before = sum(file.stat().st_size for file in weight_files(subject.folder))
    return Exported(out, record, size, before, time.monotonic() - started)


def check(record: Record, settings: ExportSettings) -> None:
    """The gate: Mismatch with every figure that is out of bounds."""
    broken = [f"{name}: {line}" for name, figures in record.figures.items() for line in settings.bounds.broken(figures)]
    if broken:
        raise Mismatch(
            f"The {record.precision} network is not near enough to the original ({'; '.join(broken)}). Nothing was "
            "written. Ask for less, such as --worst-cosine 0.99, or for another --precision."
        )


def _write(subject: Subject, folder: Path, settings: ExportSettings, report: Report) -> Record:
    network = folder / NETWORKS[settings.precision]
    network.parent.mkdir()
    maker = _maker(subject, network.parent, report)
    kept: tuple[str, ...] = ()
    if settings.precision == "int8":
        report("choosing what stays in float")
        kept = choose_kept(subject, maker, settings.bounds, network.parent, report)
    report(f"writing {network.name}")
    files = maker.write(network, settings.precision, kept)
    files += copy_model(subject.folder, folder, weights=settings.weights)
    subject.write_settings(folder)
    about = subject.about
    return Record(
        kind=subject.kind,
        precision=settings.precision,
        network=NETWORKS[settings.precision],
        built=maker.built,
        files={file.relative_to(folder).as_posix(): sha256_of(file) for file in files},
        kept=kept,
        texts=subject.facts(),
        bounds=asdict(settings.bounds),
        source={name: about[name] for name in ("name", "fingerprint", "weights", "precision")},
        versions=_versions(),
    )


def _maker(subject: Subject, workspace: Path, report: Report) -> Maker:
    config = read_json(subject.folder / "config.json")
    files = weight_files(subject.folder)
    if not files:
        raise BadInput(f"{subject.folder} has no model.safetensors to export from. Save the model as safetensors.")
    if is_known(config):
        tensors = read_safetensors(files)
        head = read_head(tensors, config) if subject.classifier else None
        return FromWeights(read_transformer(tensors, config), head)
    for package in ("torch", "transformers", "onnxscript", "onnx"):
        if find_spec(package) is None:
            needed = f"Exporting a model of the type {config.get('model_type')!r}"
            raise missing_package(package, needed_for=needed, extra="export")
    from retr.encoders.exporting.by_torch import trace

    report("tracing the model with torch")
    traced: Maker = trace(subject, workspace)
    return traced


def _figures(
    subject: Subject, folder: Path, record: Record, settings: ExportSettings
) -> Mapping[str, Mapping[str, float]]:
    """The folder as it loads, its file as others run it in padded batches, and that file against torch."""
    exact, path = subject.outputs(), folder / record.network
    padding = int(read_json(folder / "config.json").get("pad_token_id") or 0)
    padded = open_padded(path, classifier=subject.classifier, max_tokens=subject.max_tokens, padding=padding)
    together = subject.outputs(padded, whole=True)
    alone = subject.outputs(open_alone(path, classifier=subject.classifier), whole=True)
    error = float(np.abs(together - alone).max()) / max(1.0, float(np.abs(exact).max()))
    found = {
        "loaded": subject.compare(subject.served(folder), exact),
        "file": {**subject.compare(together, exact), "batch_error": error},
    }
    if settings.torch and find_spec("sentence_transformers") is not None:
        found["torch"] = subject.compare(together, subject.by_torch())
    return found


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _licence(subject: Subject) -> str:
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
