"""`retr eval`: score a run, an index or a model against what people judged."""

from pathlib import Path
from typing import Annotated

import typer

from retr.cli.options import JsonOption, QuietOption

_RUNS = "Runs and judgements"
_SEARCH = "Searching"
_TEXTS = "Pairs, candidates, evidence, images"
_SHOW = "What is shown"


def evaluate(
    run: Annotated[
        list[Path] | None,
        typer.Option("--run", help="What was found: TREC, a table or JSON; may be repeated.", rich_help_panel=_RUNS),
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option(help="What is relevant: TREC qrels, a BEIR table or JSON.", rich_help_panel=_RUNS),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A BEIR folder: corpus, queries, judgements. Without --run it is indexed and searched.",
            metavar="FOLDER",
            rich_help_panel=_RUNS,
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which judgements of --data. Default: test.", rich_help_panel=_RUNS)
    ] = None,
    drop_self: Annotated[
        bool,
        typer.Option("--drop-self", help="Leave out documents with the query's own id.", rich_help_panel=_RUNS),
    ] = False,
    index: Annotated[
        Path | None,
        typer.Option(
            "--index",
            "-i",
            help="Search this index; with --data it is made if it is not there. Default: a temporary one.",
            metavar="DIR",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="Queries of your own for --index, judged by --qrels.", rich_help_panel=_SEARCH),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="The model of a new index, or of pairs. Default: all-MiniLM-L6-v2.", rich_help_panel=_SEARCH),
    ] = None,
    chunk_tokens: Annotated[
        int | None,
        typer.Option(help="Longest passage of a new index; 0: one vector a document.", rich_help_panel=_SEARCH),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="hybrid (default), dense or lexical; may be repeated.", rich_help_panel=_SEARCH),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "-k", help="Hits a query. Default: 100, or as many as the metrics look at.", rich_help_panel=_SEARCH
        ),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            help="A second stage for hits, or for a --run with --data; or the model of pairs and candidates.",
            metavar="SCORER",
            rich_help_panel=_SEARCH,
        ),
    ] = None,
    rerank_depth: Annotated[
        int | None, typer.Option(help="Hits that are reranked. Default: 50.", rich_help_panel=_SEARCH)
    ] = None,
    save_run: Annotated[
        Path | None,
        typer.Option(help="Write what was found here; {mode} stands for the run's name.", rich_help_panel=_SEARCH),
    ] = None,
    pairs: Annotated[
        list[Path] | None,
        typer.Option(help="Two texts with a score or a label a row; several files are joined.", rich_help_panel=_TEXTS),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="Columns of --pairs: text,text,value. Default: found out.", rich_help_panel=_TEXTS),
    ] = None,
    similarity: Annotated[
        str | None, typer.Option(help="cosine or dot. Default: the encoder's own.", rich_help_panel=_TEXTS)
    ] = None,
    candidates: Annotated[
        Path | None, typer.Option(help="Queries, each with its candidates and the right one.", rich_help_panel=_TEXTS)
    ] = None,
    evidence: Annotated[
        Path | None,
        typer.Option(help="Questions with the facts to find in the passages of --index.", rich_help_panel=_TEXTS),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Vectors of images, .npy.", rich_help_panel=_TEXTS)] = None,
    captions: Annotated[Path | None, typer.Option(help="Vectors of their texts, .npy.", rich_help_panel=_TEXTS)] = None,
    image_of: Annotated[
        Path | None,
        typer.Option(help="The row of each text's image, a line each. Default: equal shares.", rich_help_panel=_TEXTS),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="retrieval, sts, pairs, selection, evidence or image-text. Default: found out."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            "-m",
            help="Such as ndcg@10; may be repeated. Default: what the task usually reports.",
            rich_help_panel=_SHOW,
        ),
    ] = None,
    per_query: Annotated[
        bool, typer.Option("--per-query", help="Show every query's own values too.", rich_help_panel=_SHOW)
    ] = False,
    ci: Annotated[bool, typer.Option("--ci", help="Show 95% bootstrap intervals.", rich_help_panel=_SHOW)] = False,
    seed: Annotated[int, typer.Option(help="Of the intervals.", rich_help_panel=_SHOW)] = 0,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Say how good a run, an index or a model is, with trec_eval's numbers.

    `--run RUN --qrels FILE` scores what was found; `--data FOLDER` indexes a BEIR folder, searches it and scores that;
    `--pairs FILE` is for sentence similarity and pair classification, `--candidates FILE` for response selection.

    Metrics of runs: ndcg, map, mrr, recall, precision, hits, judged; `@k` cuts the ranking. The mean is over all judged
    queries: one that the run does not hold counts 0, and one without judgements is left out.
    """
    from retr.cli.evaluating.asked import TASKS, Asked, task_of
    from retr.cli.evaluating.showing import Shape, show
    from retr.retrieval.evaluation.bootstrap import IntervalSettings
    from retr.retrieval.kinds import resolve

    asked = Asked(
        task=task,
        metric=tuple(metric or ()),
        run=tuple(run or ()),
        qrels=qrels,
        data=data,
        split=split,
        queries=queries,
        index=index,
        encoder=encoder,
        chunk_tokens=chunk_tokens,
        mode=tuple(mode or ()),
        k=k,
        rerank=rerank,
        rerank_depth=rerank_depth,
        save_run=save_run,
        drop_self=drop_self,
        pairs=tuple(pairs or ()),
        columns=columns,
        candidates=candidates,
        similarity=similarity,
        evidence=evidence,
        images=images,
        captions=captions,
        image_of=image_of,
        quiet=quiet,
    )
    shape = Shape(per_query, IntervalSettings(seed=seed) if ci else None, json)
    show(resolve(task_of(asked), TASKS, "task")(asked), shape)
