"""`retr encode`: texts of any number to vectors on disk; a run that was stopped goes on where it was."""

import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.options import (
    READING,
    EncodingOption,
    FormatOption,
    IdFieldOption,
    JsonOption,
    OnErrorOption,
    QuietOption,
    TextFieldOption,
    TitleFieldOption,
)
from retr.cli.placing import OnOption, RayAddressOption, WorkerCpusOption, WorkersOption

if TYPE_CHECKING:
    from retr.cli.progress import Progress
    from retr.encoders.bulk import BulkReport, BulkSettings, EncodedFolder, Record
    from retr.encoders.bulk.working import Workers
    from retr.retrieval.corpus import ReadReport, ReadSettings

_FILES = (".npy", ".parquet")
_OTHERS = (".npz", ".csv", ".tsv", ".json", ".jsonl", ".txt", ".pt", ".safetensors", ".arrow", ".feather", ".h5", ".gz")
"""Endings by which somebody means a file, not a folder."""


def encode(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE...", help="Files, folders, BEIR folders, or - for standard input."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder, or a file that ends in .npy or .parquet.", metavar="PATH")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="A model name, a sentence-transformers folder, or KIND=SOURCE. Default: all-MiniLM-L6-v2."),
    ] = None,
    side: Annotated[str, typer.Option("--as", help="What the texts are: documents or queries.")] = "documents",
    dtype: Annotated[str, typer.Option(help="float32 or float16.")] = "float32",
    dim: Annotated[int | None, typer.Option(help="Keep the first so many numbers of each vector.")] = None,
    keep_texts: Annotated[bool, typer.Option("--keep-texts", help="Write the texts too, beside their ids.")] = False,
    shard_texts: Annotated[
        int | None, typer.Option(help="Usual number of texts in a shard, of which a stop loses less than one.")
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(
            help="Where shards are kept when --out is a file. Default: beside it until it is written.", metavar="DIR"
        ),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Every line of a text file is a text.", rich_help_panel=READING)
    ] = False,
    text_field: TextFieldOption = None,
    id_field: IdFieldOption = None,
    title_field: TitleFieldOption = None,
    format: FormatOption = None,
    encoding: EncodingOption = None,
    on_error: OnErrorOption = "fail",
    on: OnOption = "local",
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
    worker_cpus: WorkerCpusOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Turn every text into a vector and write them in order, with their ids.

    Texts are not cut into passages: what an encoder does not read of a long one is left out, and counted. Interrupted,
    the same command goes on where it stopped; given again over changed sources, it encodes what is new.
    """
    from retr.cli.placing import Place, workers_at
    from retr.cli.progress import Progress
    from retr.cli.sources import checked_sources
    from retr.encoders import DEFAULT_MODEL
    from retr.encoders.bulk.assembling import assemble, check_file
    from retr.encoders.bulk.encoding import encode_with
    from retr.encoders.bulk.folder import remove_folder
    from retr.encoders.bulk.reading import open_vectors
    from retr.retrieval.corpus import ReadReport

    place = Place(on, ray_address, workers, worker_cpus)
    target, folder, is_file = _places(out, shards)
    writing = {"side": side, "dtype": dtype, "dim": dim, "shard_texts": shard_texts, "keep_texts": keep_texts}
    settings = _bulk_settings(folder, writing)
    fields = {"text_field": text_field, "id_field": id_field, "title_field": title_field}
    reading = _reading(lines, {**fields, "format": format, "encoding": encoding, "on_error": on_error})
    chosen = checked_sources(sources, "encode", target, folder)
    if is_file:
        check_file(target)
    report = ReadReport()
    with Progress("encoded", unit="texts", quiet=quiet) as progress:
        # The first text is read before anything is written, so that a mistyped source leaves nothing behind.
        records = _records(chosen, reading, report)
        first = list(islice(records, 1))
        name = encoder or DEFAULT_MODEL
        with workers_at(place, name) as by:
            shown = _Shown(progress, report)
            done = encode_with(by, chain(first, records), folder, name=name, settings=settings, watch=shown)
        progress.total = progress.done
    found = open_vectors(folder)
    if is_file:
        assemble(found, target)
    _say(target, found, done, report, by, as_json=json)
    if is_file and shards is None:
        remove_folder(folder)


class _Shown:
    """Shows a run's report as progress; how many texts there will be is reckoned from the bytes read so far."""

    def __init__(self, progress: "Progress", read: "ReadReport") -> None:
        self._progress, self._read = progress, read
        self._started = time.monotonic()

    def __call__(self, report: "BulkReport") -> None:
        progress, read = self._progress, self._read
        done = report.encoded + report.reused
        if read.bytes_total and read.bytes:
            progress.total = max(done, round(read.documents * read.bytes_total / min(read.bytes, read.bytes_total)))
        progress.advance(done - progress.done)
        if report.tokens:
            progress.note(tokens_a_second=round(report.tokens / (time.monotonic() - self._started)))
        if report.reused:
            progress.note(reused=report.reused)


def _places(out: Path | None, shards: Path | None) -> tuple[Path, Path, bool]:
    """What was asked for, the folder of shards, and whether the first is a file."""
    from retr.retrieval.errors import BadInput

    if out is None:
        raise BadInput("Say where to write: --out FOLDER, --out FILE.npy or --out FILE.parquet.")
    if out.suffix in _FILES:
        return out, shards or out.with_name(out.name + ".shards"), True
    if out.suffix in _OTHERS and not out.is_dir():
        raise BadInput(f"{str(out)!r}: {out.suffix} cannot be written. Give a folder, or a .npy or .parquet file.")
    if shards is not None:
        raise BadInput("--shards goes with a file as --out; a folder as --out holds the shards itself. Leave it out.")
    return out, out, False


def _bulk_settings(folder: Path, given: dict[str, Any]) -> "BulkSettings":
    """The settings; the size of shards is that of the folder that is there, unless another is asked for."""
    from dataclasses import replace

    from retr.encoders.bulk.folder import MANIFEST, read_manifest
    from retr.encoders.bulk.settings import BulkSettings

    settings = BulkSettings(**{name: value for name, value in given.items() if value is not None})
    if given["shard_texts"] is None and (folder / MANIFEST).is_file():
        return replace(settings, shard_texts=read_manifest(folder).shard_texts)
    return settings


def _reading(lines: bool, given: dict[str, Any]) -> "ReadSettings":
    from retr.retrieval.corpus import ReadSettings
    from retr.retrieval.errors import BadInput

    if lines and given["format"] is not None:
        raise BadInput(f"--lines and --format {given['format']} do not go together. Leave one of them out.")
    return ReadSettings(**{**given, "format": "lines" if lines else given["format"]}, metadata_fields=())


def _records(sources: list[str], reading: "ReadSettings", report: "ReadReport") -> Iterator["Record"]:
    """What an encoder sees of each document: the title, then the text."""
    from retr.encoders.bulk import Record
    from retr.retrieval.corpus import read_documents

    for document in read_documents(sources, reading, report):
        yield Record(document.id, f"{document.title} {document.text}".strip())


def _say(
    shown: Path, found: "EncodedFolder", done: "BulkReport", read: "ReadReport", by: "Workers", *, as_json: bool
) -> None:
    from dataclasses import asdict

    from retr.cli.output import emit_json, print_line, warn
    from retr.cli.placing import counts_of, read_by

    problems = [str(problem) for problem in read.problems]
    if as_json:
        form = {"dim": found.dim, "dtype": found.manifest.dtype, "similarity": found.manifest.similarity}
        emit_json(
            {"out": shown, **asdict(done), **form, **counts_of(by), "skipped": read.skipped, "problems": problems}
        )
        return
    for problem in [*problems, *map(str, read.notes)]:
        warn(problem)
    if read.ignored:
        warn(read.ignored_text())
    counts = [f"{done.encoded:,} encoded"] if done.reused else []
    counts += [f"{done.reused:,} re-used"] if done.reused else []
    if done.cut:
        counts.append(f"{done.cut:,} longer than the {read_by(by.encoder)} tokens that are read")
    if lost := counts_of(by).get("workers_lost"):
        counts.append(f"{lost} workers lost, their shards encoded by others")
    told = f" ({', '.join(counts)})" if counts else ""
    print_line(f"{shown}: {done.texts:,} vectors of {found.dim} {found.manifest.dtype} numbers{told}")
