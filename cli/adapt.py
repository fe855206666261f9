"""`retr adapt`: a better encoder for documents that nobody has labelled, if it is one."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.options import (
    READING,
    IdFieldOption,
    JsonOption,
    OnErrorOption,
    QuietOption,
    TextFieldOption,
    TitleFieldOption,
    WaitOption,
    checked_wait,
)

if TYPE_CHECKING:
    from retr.distill.adapting import Adaptation
    from retr.index.settings import CollectionSettings
    from retr.retrieval.corpus import ReadReport, ReadSettings
    from retr.retrieval.records import Document, Query
    from retr.retrieval.runs import Qrels

_MEASURED, _SWITCH, _TRAINING = "What is measured", "The switch", "Training"


def adapt(
    corpus: Annotated[
        list[str] | None,
        typer.Option(help="Documents: a file, a folder, a BEIR folder. May be repeated. Default: the index's own."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The new encoder's folder.", metavar="DIR")] = None,
    encoder: Annotated[
        str | None, typer.Option(help="What to begin with. Default: the index's encoder, or all-MiniLM-L6-v2.")
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(help="cross=FOLDER, bi=FOLDER, … that says which text answers. May be repeated. Default: none."),
    ] = None,
    questioner: Annotated[
        list[str] | None,
        typer.Option(help="Who asks: ict, title, or module:attribute=SOURCE of your own. May be repeated."),
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", "-i", help="The index that is to be switched over.", metavar="DIR")
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="Your own queries. Default: held-out sentences.", metavar="FILE", rich_help_panel=_MEASURED),
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option(help="What is relevant to them: TREC, BEIR or JSON.", metavar="FILE", rich_help_panel=_MEASURED),
    ] = None,
    metric: Annotated[str, typer.Option(help="Of the judged queries.", rich_help_panel=_MEASURED)] = "ndcg@10",
    held_out: Annotated[
        int, typer.Option(help="Documents kept from training to ask about, at most.", rich_help_panel=_MEASURED)
    ] = 300,
    alpha: Annotated[
        float, typer.Option(help="Level of the test and the intervals.", rich_help_panel=_MEASURED)
    ] = 0.05,
    fail_if_not_better: Annotated[
        bool,
        typer.Option("--fail-if-not-better", help="Exit with 1 unless it is shown to be.", rich_help_panel=_SWITCH),
    ] = False,
    reindex: Annotated[
        bool,
        typer.Option("--reindex", help="Switch the index over if it is recommended.", rich_help_panel=_SWITCH),
    ] = False,
    wait: WaitOption = 0.0,
    method: Annotated[
        str,
        typer.Option(
            help="auto, listwise-kl, margin-mse, embedding-mse; without a teacher infonce, trans-encoder.",
            rich_help_panel=_TRAINING,
        ),
    ] = "auto",
    steps: Annotated[int, typer.Option(help="Steps of training.", rich_help_panel=_TRAINING)] = 500,
    cycles: Annotated[int, typer.Option(help="Of the method trans-encoder.", rich_help_panel=_TRAINING)] = 1,
    batch_size: Annotated[int, typer.Option(help="Pairs a step.", rich_help_panel=_TRAINING)] = 16,
    learning_rate: Annotated[float, typer.Option(help="At its highest.", rich_help_panel=_TRAINING)] = 2e-5,
    negatives: Annotated[int, typer.Option(help="Near passages a pair.", rich_help_panel=_TRAINING)] = 4,
    depth: Annotated[
        int, typer.Option(help="They are drawn from so many nearest ones.", rich_help_panel=_TRAINING)
    ] = 50,
    max_tokens: Annotated[
        int, typer.Option(help="Tokens of a text read in training; 0: all that are read.", rich_help_panel=_TRAINING)
    ] = 0,
    accelerator: Annotated[
        str, typer.Option(help="auto, cpu, gpu, … as in `retr train`.", rich_help_panel=_TRAINING)
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16 or float16.", rich_help_panel=_TRAINING)
    ] = "float32",
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    language: Annotated[str, typer.Option(help="By which sentences are told apart.", rich_help_panel=READING)] = "en",
    text_field: TextFieldOption = None,
    id_field: IdFieldOption = None,
    title_field: TitleFieldOption = None,
    on_error: OnErrorOption = "fail",
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Adapt an encoder to your documents, with no labels, and say whether it is better than before.

    Sentences and titles of the documents ask; near passages are found with the encoder as it is; a teacher, where one
    is given, says which of them answer; the encoder learns that. Then both are measured over the same queries, and the
    switch is recommended only where the new one is significantly better. Cut off at any instant, the same command goes
    on from OUT.adapting.
    """
    from retr.cli.progress import Stages
    from retr.distill.adapting import Adaptation, AdaptSettings
    from retr.distill.adapting import adapt as start
    from retr.distill.adapting.adapting import begun_with
    from retr.distill.adapting.questions import open_questioners
    from retr.retrieval.corpus import ReadReport, ReadSettings

    out, seconds = _checked(out, index, reindex=reindex), checked_wait(wait)
    settings = AdaptSettings(
        method=method,  # type: ignore[arg-type]  # checked by AdaptSettings
        steps=steps,
        cycles=cycles,
        batch_size=batch_size,
        learning_rate=learning_rate,
        negatives=negatives,
        depth=depth,
        max_tokens=max_tokens,
        held_out=held_out,
        metric=metric,
        alpha=alpha,
        language=language,
        accelerator=accelerator,
        precision=precision,  # type: ignore[arg-type]  # checked by AdaptSettings
        seed=seed,
    )
    reading = ReadSettings(
        text_field=text_field,
        id_field=id_field,
        title_field=title_field,
        on_error=on_error,  # type: ignore[arg-type]  # checked by ReadSettings
        metadata_fields=(),
    )
    found, read = _material(corpus, index, out, reading, report := ReadReport())
    started = _start(index, encoder or begun_with(out) or None)
    asked = Adaptation(out, started[0], tuple(teacher or ()), *_asked(queries, qrels), settings, started[1], found)
    asking = open_questioners(questioner or (), language, seed)
    with Stages("adapt", quiet=quiet) as stages:
        made = start(asked, read, questioners=asking, report=stages.report)
        switched = _switched(asked, index, made, seconds, stages.report) if reindex and made["recommended"] else None
    _say(asked, index, made, switched, report, as_json=json)
    if fail_if_not_better and not made["recommended"]:
        raise typer.Exit(1)


def _checked(out: Path | None, index: Path | None, *, reindex: bool) -> Path:
    """The new encoder's folder, or BadInput."""
    from retr.retrieval.errors import BadInput

    if out is None:
        raise BadInput("Say where to write the new encoder: --out DIR.")
    if reindex and index is None:
        raise BadInput("--reindex switches an index over, and none is named. Give --index DIR.")
    return out


def _material(
    corpus: list[str] | None, index: Path | None, out: Path, reading: "ReadSettings", report: "ReadReport"
) -> "tuple[tuple[str, ...], Callable[[], Iterator[Document]]]":
    """What the documents are called, and what reads them: the sources, or else the index."""
    from retr.cli.sources import checked_sources
    from retr.retrieval.corpus import read_documents
    from retr.retrieval.errors import BadInput

    if corpus:
        chosen = checked_sources(corpus, "adapt to", out, out.with_name(f"{out.name}.adapting"))
        if "-" in chosen:
            raise BadInput("--corpus reads files and folders, not standard input, which an interrupted run would lack.")
        return tuple(chosen), lambda: read_documents(chosen, reading, report)
    if index is None:
        raise BadInput("Nothing to adapt to. Give --corpus DOCUMENTS, or --index DIR for those of an index.")
    return (f"index {index}",), lambda: _documents_of(index)


def _documents_of(index: Path, at_once: int = 256) -> "Iterator[Document]":
    from retr.opening import open

    collection = open(index)
    ids = collection.ids()
    for start in range(0, len(ids), at_once):
        yield from collection.get(ids[start : start + at_once])


def _start(index: Path | None, encoder: str | None) -> "tuple[str, CollectionSettings]":
    """The encoder to begin with, and how the index cuts texts and keeps them."""
    from retr.encoders.models import DEFAULT_MODEL
    from retr.index.settings import CollectionSettings
    from retr.opening import open
    from retr.retrieval.chunking import ChunkSettings
    from retr.retrieval.errors import BadInput

    if index is None:
        return encoder or DEFAULT_MODEL, CollectionSettings()
    manifest = open(index).manifest
    if encoder is None and manifest.encoder is None:
        raise BadInput(f"The index {str(index)!r} has no encoder to begin with. Give --encoder.")
    spec = encoder or (manifest.encoder.spec if manifest.encoder is not None else "")
    return spec, CollectionSettings(
        chunk=ChunkSettings(**manifest.settings["chunk"]), language=str(manifest.settings["language"])
    )


def _asked(queries: Path | None, qrels: Path | None) -> "tuple[tuple[Query, ...], Qrels | None]":
    from retr.retrieval.corpus import read_queries
    from retr.retrieval.runs import Qrels

    judged = None if qrels is None else Qrels.load(qrels)
    return (() if queries is None else tuple(read_queries(queries))), judged


def _switched(
    asked: "Adaptation", index: Path | None, made: Mapping[str, Any], seconds: float, report: Any
) -> dict[str, Any]:
    from retr.distill.adapting.switching import switch

    assert index is not None
    return switch(index, asked.out, tuple(query.text for query in asked.queries), report, seconds)


def _told(made: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made.items() if name != "asked"}


def _next(out: Path, index: Path | None, made: Mapping[str, Any], switched: Any) -> str | None:
    if switched is not None or not made["recommended"]:
        return None
    if index is None:
        return f"retr index DOCUMENTS --encoder bi={out}"
    return f"retr reindex --encoder bi={out} --index {index} --shadow"


def _say(
    asked: "Adaptation", index: Path | None, made: Mapping[str, Any], switched: Any, report: Any, *, as_json: bool
) -> None:
    from retr.cli.output import emit_json

    if not as_json:
        _show(asked, index, made, switched, report)
        return
    following = _next(asked.out, index, made, switched)
    emit_json({"out": asked.out, **_told(made), "switched": switched, "next": following})


def _show(asked: "Adaptation", index: Path | None, made: Mapping[str, Any], switched: Any, report: Any) -> None:
    from retr.cli.output import print_line, print_table, warn
    from retr.distill.adapting.reporting import verdict

    for problem in [*report.problems, *report.notes]:
        warn(str(problem))
    counts, measured = made["counts"], made[made["evaluation"]]
    taught = " + ".join(one["name"] for one in made["teachers"]) or "no teacher"
    print_line(
        f"{asked.out}: {made['method']} from {taught}, {made['training']['steps']:,} steps over {counts['rows']:,} "
        f"rows of {counts['documents']:,} documents"
    )
    label = f"{measured['metric']} ({made['evaluation']})"
    rows = [
        [name, f"{measured[name]['mean']:{sign}.4f}", f"{measured[name]['low']:{sign}.4f}",
         f"{measured[name]['high']:{sign}.4f}"]
        for name, sign in (("before", ""), ("after", ""), ("difference", "+"))
    ]  # fmt: skip
    print_table([label, "mean", "low", "high"], rows)
    print_line(f"{measured['queries']:,} {measured['about']}; p {measured['difference']['p']:.4f}")
    print_line(verdict({**measured, "kind": made["evaluation"]}))
    if switched is not None:
        _show_switch(index, switched)
    elif (command := _next(asked.out, index, made, switched)) is not None:
        print_line(f"next: {command}")


def _show_switch(index: Path | None, switched: Mapping[str, Any]) -> None:
    from retr.cli.output import print_line

    if switched["already"]:
        print_line(f"{index}: has the vectors of this encoder already")
        return
    if (compared := switched["overlap"]) is not None:
        print_line(f"overlap@{compared['k']}: {compared['mean']:.3f} of the best documents stay")
    print_line(
        f"{index}: live as generation {switched['generation']}; back with: retr rollback --to {switched['snapshot']} "
        f"--index {index}"
    )
