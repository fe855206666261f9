"""`retr index`: files, tables and folders into an index."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.options import (
    DEFAULT_INDEX,
    READING,
    BitsOption,
    DimOption,
    EncodingOption,
    FormatOption,
    IdFieldOption,
    IndexOption,
    JsonOption,
    KindOption,
    OnErrorOption,
    QuietOption,
    RecallOption,
    StorageOption,
    StoreOption,
    TextFieldOption,
    TitleFieldOption,
    WaitOption,
    checked_wait,
    home_of,
)
from retr.cli.placing import OnOption, RayAddressOption, WorkerCpusOption, WorkersOption

if TYPE_CHECKING:
    from retr.cli.placing import Place
    from retr.cli.progress import Progress
    from retr.index.collection import Collection
    from retr.index.settings import WriteSettings
    from retr.index.writing.writer import AddReport
    from retr.retrieval.corpus import ReadReport
    from retr.retrieval.records import Document

_NEW = "A new index"


def index(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE...", help="Files, folders (of images too), BEIR folders, or - for stdin."),
    ] = None,
    index: IndexOption = DEFAULT_INDEX,
    store: StoreOption = None,
    sample: Annotated[bool, typer.Option("--sample", help="Index the sample corpus that comes with retr.")] = False,
    text_field: TextFieldOption = None,
    id_field: IdFieldOption = None,
    title_field: TitleFieldOption = None,
    metadata_field: Annotated[
        list[str] | None,
        typer.Option(help="A column to keep as metadata; may be repeated. Default: all.", rich_help_panel=READING),
    ] = None,
    format: FormatOption = None,
    encoding: EncodingOption = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between CSV cells. Default: found out.", rich_help_panel=READING)
    ] = None,
    typed_csv: Annotated[
        bool,
        typer.Option(
            "--typed-csv/--no-typed-csv",
            help="Numbers, true and false in CSV metadata become such; or all cells stay text.",
            rich_help_panel=READING,
        ),
    ] = True,
    max_document_bytes: Annotated[
        int, typer.Option(help="Most bytes of text that one document may have.", rich_help_panel=READING)
    ] = 10 * 2**20,
    include: Annotated[
        list[str] | None, typer.Option(help="Only files like this pattern, such as '*.md'.", rich_help_panel=READING)
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="No files like this pattern.", rich_help_panel=READING)
    ] = None,
    on_error: OnErrorOption = "fail",
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A model name, a sentence-transformers folder, KIND=SOURCE, or none for words only. "
            "Default: all-MiniLM-L6-v2.",
            rich_help_panel=_NEW,
        ),
    ] = None,
    chunk_tokens: Annotated[
        int | None,
        typer.Option(
            help="Longest passage in tokens; 0: texts are not cut. Default: what the encoder reads.",
            rich_help_panel=_NEW,
        ),
    ] = None,
    chunk_overlap: Annotated[
        int | None, typer.Option(help="Tokens that neighbouring passages share. Default: 32.", rich_help_panel=_NEW)
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of the stemmer, or none. Default: english.", rich_help_panel=_NEW)
    ] = None,
    late: Annotated[
        str | None,
        typer.Option(
            help="A late-interaction encoder beside --encoder, as late=FOLDER; alone, it is given as --encoder.",
            rich_help_panel=_NEW,
        ),
    ] = None,
    bits: BitsOption = None,
    kind: KindOption = None,
    storage: StorageOption = None,
    dim: DimOption = None,
    recall: RecallOption = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Also remove documents that are in the index but not in SOURCE.")
    ] = False,
    commit_seconds: Annotated[float, typer.Option(help="Make what is done durable this often.")] = 30.0,
    on: OnOption = "local",
    ray_address: RayAddressOption = None,
    workers: WorkersOption = None,
    worker_cpus: WorkerCpusOption = None,
    wait: WaitOption = 0.0,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Read, cut, encode and commit documents; what is already there and unchanged is left alone.

    Interrupted, it goes on where it stopped when the same command is given again.
    """
    from dataclasses import replace

    from retr.cli.making import Asked, opened, reads_images
    from retr.cli.placing import Place
    from retr.cli.progress import Progress
    from retr.index.settings import WriteSettings
    from retr.retrieval.corpus import ReadReport, ReadSettings, read_documents

    settings = ReadSettings(
        text_field=text_field,
        id_field=id_field,
        title_field=title_field,
        metadata_fields=tuple(metadata_field) if metadata_field else None,
        format=format,
        encoding=encoding,
        delimiter=delimiter,
        typed_csv=typed_csv,
        max_document_bytes=max_document_bytes,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        on_error=_on_error(on_error),
    )
    _check_mirror(mirror, settings.on_error)
    place = Place(on, ray_address, workers, worker_cpus)
    chosen = _sources(sources, sample=sample)
    report, home = ReadReport(), home_of(index, store)
    vectors: dict[str, Any] = {"kind": kind, "storage": storage, "dim": dim, "recall": recall}
    vectors |= {"late": late, "bits": bits}
    asked = Asked(encoder, chunk_tokens, chunk_overlap, language, **vectors)
    settings = replace(settings, images=reads_images(home, asked))
    writing = WriteSettings(
        commit_seconds=commit_seconds,
        on_duplicate=settings.on_error,
        on_refused=settings.on_error,
        mirror=mirror,
        wait_seconds=checked_wait(wait),
    )
    with Progress("indexed", quiet=quiet) as progress:
        # The first document is read before an index is made, so that a mistyped source leaves nothing behind.
        documents = _counted(read_documents(chosen, settings, report), report, progress)
        first = list(islice(documents, 1))
        collection, added = _added(place, opened(home, asked), chain(first, documents), writing)
    _say(collection, added, report, as_json=json)


def _added(
    place: "Place", collection: "Collection", documents: Iterator["Document"], writing: "WriteSettings"
) -> tuple["Collection", "AddReport"]:
    """The collection with the documents, encoded where they are to be."""
    from dataclasses import replace

    from retr.cli.placing import filled_at

    with filled_at(place, collection) as (filled, more):
        return filled, filled.add(documents, settings=replace(writing, **more))


def _on_error(value: str) -> Any:
    from retr.retrieval.errors import unknown

    if value not in ("fail", "skip"):
        raise unknown("--on-error", value, ("fail", "skip"))
    return value


def _check_mirror(mirror: bool, on_error: str) -> None:
    from retr.retrieval.errors import BadInput

    if mirror and on_error == "skip":
        raise BadInput(
            "--mirror and --on-error skip do not go together: a document that cannot be read today would be removed. "
            "Leave one of them out."
        )


def _sources(sources: list[str] | None, *, sample: bool) -> list[str]:
    from retr.retrieval.errors import BadInput
    from retr.retrieval.sample import sample_folder

    chosen = [*(sources or []), *([str(sample_folder())] if sample else [])]
    if not chosen:
        raise BadInput("Nothing to index. Name files or folders, - for standard input, or --sample.")
    return chosen


def _counted(documents: Iterator["Document"], report: "ReadReport", progress: "Progress") -> Iterator["Document"]:
    """The documents themselves; how many there will be is reckoned from the bytes read so far."""
    for document in documents:
        done = progress.done + 1
        if report.bytes_total and report.bytes:
            progress.total = max(done, round(done * report.bytes_total / min(report.bytes, report.bytes_total)))
        progress.advance()
        if report.skipped:
            progress.note(skipped=report.skipped)
        yield document
    progress.total = progress.done


def _say(collection: "Collection", added: "AddReport", read: "ReadReport", *, as_json: bool) -> None:
    from dataclasses import asdict

    from retr.cli.output import emit_json, print_line, warn

    problems = [str(problem) for problem in read.problems] + added.problems
    skipped = read.skipped + added.duplicates + added.refused
    if as_json:
        counts = {**asdict(added), "problems": problems, "skipped": skipped, "repaired": read.repaired}
        emit_json({"index": collection.home, "documents": len(collection), **counts, "ignored": dict(read.ignored)})
        return
    for problem in [*problems, *map(str, read.notes)]:
        warn(problem)
    if skipped + read.repaired > len(problems):
        warn(f"{skipped:,} records skipped and {read.repaired:,} repaired; the first {len(problems)} are named above")
    if read.ignored:
        warn(read.ignored_text())
    changes = (
        (added.added, "added"),
        (added.updated, "updated"),
        (added.unchanged, "unchanged"),
        (added.removed, "removed"),
    )
    said = ", ".join(f"{count:,} {word}" for count, word in changes if count) or "nothing new"
    print_line(
        f"{collection.home}: {len(collection):,} documents, {collection.manifest.live_passages:,} passages ({said})"
    )
