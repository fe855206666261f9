"""`retr mine`: hard negatives for training, from any index."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, QuietOption

if TYPE_CHECKING:
    from retr.index.collection import Collection
    from retr.retrieval.protocols import Scorer

_BELIEVED = "Which candidates are believed"


def mine(
    queries: Annotated[Path, typer.Option(help="JSONL, TSV or lines of queries, or a BEIR folder.", metavar="FILE")],
    qrels: Annotated[Path, typer.Option(help="What is relevant: TREC, BEIR or JSON.", metavar="FILE")],
    out: Annotated[Path, typer.Option(help="The rows, as .jsonl; a .json beside it says how.", metavar="FILE")],
    index: IndexOption = DEFAULT_INDEX,
    mode: Annotated[str, typer.Option(help="hybrid, dense or lexical.")] = "hybrid",
    depth: Annotated[int, typer.Option(help="Documents a query that are looked at.")] = 100,
    negatives: Annotated[int, typer.Option(help="Negatives a row, at most.")] = 8,
    skip_top: Annotated[int, typer.Option(help="Pass over the best so many candidates.")] = 0,
    sample: Annotated[str, typer.Option(help="Take the top ones, or draw: uniform, or weighted by rank.")] = "top",
    scorer: Annotated[
        str | None,
        typer.Option(
            help="cross=FOLDER, bi=FOLDER, index (its own encoder: the default) or none.",
            rich_help_panel=_BELIEVED,
        ),
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option(
            help="Drop what scores above the positive less this: a number, or auto.",
            metavar="M|auto",
            rich_help_panel=_BELIEVED,
        ),
    ] = None,
    relative_margin: Annotated[
        float | None,
        typer.Option(
            help="The same as a share of the positive's score. Default for cosines: 0.05.",
            metavar="SHARE",
            rich_help_panel=_BELIEVED,
        ),
    ] = None,
    max_score: Annotated[
        float | None, typer.Option(help="Drop what scores above this.", rich_help_panel=_BELIEVED)
    ] = None,
    false_negatives: Annotated[
        float, typer.Option(help="For auto: the largest chance to be relevant.", rich_help_panel=_BELIEVED)
    ] = 0.05,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the histogram of scores into this PNG.", metavar="FILE")
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the negatives, and the queries measured for auto.")] = 0,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Find texts that come near to a question and do not answer it: hard negatives to train with.

    Each judged query is searched. What the qrels call relevant is left out, and so is what a scorer puts too near to
    the relevant text, or above it: it is probably relevant too, and nobody has labelled it.
    """
    from retr.cli.output import emit_json
    from retr.cli.progress import Stages
    from retr.distill.mining import MiningSettings
    from retr.distill.mining import mine as start
    from retr.distill.mining.plotting import draw
    from retr.distill.mining.writing import write
    from retr.distill.rows_file import check_rows_file
    from retr.opening import open
    from retr.retrieval.corpus import read_queries
    from retr.retrieval.plotting import check_plot
    from retr.retrieval.runs import Qrels

    settings = MiningSettings(
        mode=mode,  # type: ignore[arg-type]  # checked by MiningSettings, as is sample
        depth=depth,
        negatives=negatives,
        skip_top=skip_top,
        sample=sample,  # type: ignore[arg-type]
        seed=seed,
        margin=_margin(margin),
        relative_margin=relative_margin,
        max_score=max_score,
        false_negatives=false_negatives,
    )
    check_rows_file(out)
    if plot is not None:
        check_plot(plot)
    asked, judged = read_queries(queries), Qrels.load(qrels)
    collection = open(index)
    judge = _scorer(collection, scorer)
    _check_scored(judge, plot)
    with Stages("mine", quiet=quiet) as stages:
        mining = start(collection, asked, judged, settings, scorer=judge, report=stages.report)
        about = write(mining, out, queries=asked, qrels=judged)
    if plot is not None:
        draw(mining, plot)
    if json:
        emit_json({"out": out, "plot": plot, **about})
    else:
        _show(out, about)


def _margin(text: str | None) -> Any:
    from retr.retrieval.errors import BadInput

    if text is None or text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"--margin takes a number, or auto; got {text!r}.") from None


def _scorer(collection: "Collection", spec: str | None) -> "Scorer | None":
    from retr.distill.mining.judging import EncoderScorer, index_scorer
    from retr.encoders import ENCODERS, load_encoder, load_scorer
    from retr.retrieval.errors import BadInput
    from retr.retrieval.protocols import Encoder, Scorer

    if spec == "none":
        return None
    if spec is None or spec == "index":
        own = index_scorer(collection)
        if own is None and spec is not None:
            raise BadInput("--scorer index: this index has no encoder to score with. Give cross=FOLDER or bi=FOLDER.")
        return own
    if "=" not in spec:
        raise BadInput(f"--scorer takes cross=FOLDER, bi=FOLDER, index or none; got {spec!r}.")
    if spec.partition("=")[0] in ENCODERS:
        return EncoderScorer(load_encoder(spec))
    loaded: object = load_scorer(spec)
    if isinstance(loaded, Encoder) and not isinstance(loaded, Scorer):
        return EncoderScorer(loaded)
    assert isinstance(loaded, Scorer)
    return loaded


def _check_scored(scorer: "Scorer | None", plot: Path | None) -> None:
    from retr.retrieval.errors import BadInput

    if scorer is None and plot is not None:
        raise BadInput("--plot draws scores, and there is no scorer. Give --scorer cross=FOLDER, or leave --plot out.")


def _show(out: Path, about: dict[str, Any]) -> None:
    from retr.cli.output import print_line

    counts, bounds, choice = about["counts"], about["bounds"], about["choice"]
    print_line(f"{out}: {counts['rows']:,} rows of {counts['queries']:,} queries, {counts['negatives']:,} negatives")
    if about["scorer"] is None:
        print_line("no scorer: relevant texts that nobody labelled may be among the negatives")
        return
    in_force = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in bounds.items() if value is not None)
    dropped = f"{counts['false_negatives']:,} of {counts['candidates']:,} candidates"
    print_line(f"taken for relevant and dropped: {dropped} ({in_force})")
    if choice is not None:
        measured = f"margin from {about['histogram']['queries']:,} queries"
        relevant = f"{choice['share']:.1%} of candidates, {choice['share_kept']:.1%} of those kept"
        print_line(f"{measured}; estimated to be relevant: {relevant}")
    if counts["rows_with_fewer"] or counts["rows_without_negatives"]:
        print_line(
            f"fewer negatives than asked for: {counts['rows_with_fewer']:,} rows; "
            f"none, and so no row: {counts['rows_without_negatives']:,}"
        )
