"""`retr pairs`: rows to train with out of texts that nobody has labelled."""

from collections.abc import Iterator
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

if TYPE_CHECKING:
    from retr.cli.progress import Progress
    from retr.retrieval.corpus import ReadReport
    from retr.retrieval.records import Document

_TEXTS = "Sentences and passages"


def pairs(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE...", help="Files, folders, BEIR folders, or - for standard input."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The rows, as .jsonl; a .json beside it says how.", metavar="FILE")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="ict: a sentence and its passage; bfs: the document's first section and another; wlp: links; "
            "generate: a decoder's question to each passage."
        ),
    ] = "ict",
    seed: Annotated[int, typer.Option(help="Draws sentences and passages.")] = 0,
    rows: Annotated[int, typer.Option(help="Rows of each passage (ict), document (bfs) or link (wlp), at most.")] = 1,
    keep_prob: Annotated[float, typer.Option(help="How often the sentence stays in its passage (ict).")] = 0.1,
    passage_words: Annotated[
        int, typer.Option(help="About how many words a passage has.", rich_help_panel=_TEXTS)
    ] = 180,
    min_words: Annotated[int, typer.Option(help="Fewest words of a sentence.", rich_help_panel=_TEXTS)] = 4,
    max_words: Annotated[int, typer.Option(help="Most words of a sentence.", rich_help_panel=_TEXTS)] = 64,
    language: Annotated[
        str, typer.Option(help="Code of the language by which sentences are told apart.", rich_help_panel=_TEXTS)
    ] = "en",
    links_field: Annotated[
        str | None,
        typer.Option(help="Metadata field of links to ids, titles or URLs (wlp).", rich_help_panel=READING),
    ] = None,
    generator: Annotated[
        str, typer.Option(help="Folder of a decoder that writes the questions (generate).", metavar="DIR")
    ] = "",
    copy: Annotated[
        bool, typer.Option("--copy/--no-copy", help="Keep questions to the words of their text (generate).")
    ] = True,
    text_field: TextFieldOption = None,
    id_field: IdFieldOption = None,
    title_field: TitleFieldOption = None,
    format: FormatOption = None,
    encoding: EncodingOption = None,
    on_error: OnErrorOption = "fail",
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Make pairs of a question-like sentence and a text that answers it, for `retr train`.

    No judgements are needed. The same documents and seed give the same rows, in whatever order documents come.
    """
    from retr.cli.progress import Progress
    from retr.cli.sources import checked_sources
    from retr.distill.pairs import PairSettings
    from retr.distill.pairs.writing import write
    from retr.distill.rows_file import check_rows_file
    from retr.retrieval.corpus import ReadReport, ReadSettings, read_documents
    from retr.retrieval.errors import BadInput

    settings = PairSettings(
        method, seed, rows, keep_prob, passage_words, min_words, max_words, language, links_field, generator, copy
    )
    reading = ReadSettings(
        text_field=text_field,
        id_field=id_field,
        title_field=title_field,
        format=format,
        encoding=encoding,
        on_error=on_error,  # type: ignore[arg-type]  # checked by ReadSettings
    )
    if out is None:
        raise BadInput("Say where to write: --out FILE.jsonl.")
    check_rows_file(out)
    chosen = checked_sources(sources, "make pairs of", out)
    report = ReadReport()
    with Progress("read", quiet=quiet) as progress:
        documents = _counted(read_documents(chosen, reading, report), report, progress)
        about = write(documents, out, settings, reading=reading)
        progress.total = progress.done
    _say(out, about, report, as_json=json)


def _counted(documents: Iterator["Document"], report: "ReadReport", progress: "Progress") -> Iterator["Document"]:
    """The documents themselves; how many there will be is reckoned from the bytes read so far."""
    for document in documents:
        done = progress.done + 1
        if report.bytes_total and report.bytes:
            progress.total = max(done, round(done * report.bytes_total / min(report.bytes, report.bytes_total)))
        progress.advance()
        yield document


def _say(out: Path, about: dict[str, Any], report: "ReadReport", *, as_json: bool) -> None:
    from retr.cli.output import emit_json, print_line, warn

    problems = [str(problem) for problem in report.problems]
    if as_json:
        emit_json({"out": out, **about, "skipped": report.skipped, "problems": problems})
        return
    for problem in [*problems, *map(str, report.notes)]:
        warn(problem)
    if report.ignored:
        warn(report.ignored_text())
    counts = about["counts"]
    links = f", {counts['links']:,} links" if about["settings"]["method"] == "wlp" else ""
    print_line(f"{out}: {counts['rows']:,} rows of {counts['documents']:,} documents{links}")
