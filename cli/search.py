"""`retr search`: one question, or a file of them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.hits import hit_json, show
from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, QuietOption, StoreOption, home_of

if TYPE_CHECKING:
    from retr.index.answering import RerankBy
    from retr.index.collection import Collection
    from retr.index.settings import SearchSettings

_BATCH = "Many queries at once"
_RANKING = "Ranking"
_ONE_K, _BATCH_K = 10, 100
_QUERIES_AT_ONCE = 256


def search(
    query: Annotated[
        list[str] | None, typer.Argument(metavar="QUERY...", help="The question, in one or more words.")
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="Ask with an image, where the index's encoder reads images.", metavar="FILE")
    ] = None,
    index: IndexOption = DEFAULT_INDEX,
    store: StoreOption = None,
    k: Annotated[int | None, typer.Option("-k", help="Number of hits. Default: 10, and 100 with --queries.")] = None,
    mode: Annotated[str, typer.Option(help="hybrid, dense, lexical or late.", rich_help_panel=_RANKING)] = "hybrid",
    where: Annotated[
        str | None, typer.Option(help="Only documents for which this holds, such as \"year >= 2020 and lang = 'en'\".")
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            help="A second stage: KIND=FOLDER (cross, uni, poly, dse, late, mvp, ql), or late: the index's tokens.",
            metavar="SCORER",
            rich_help_panel=_RANKING,
        ),
    ] = None,
    rerank_depth: Annotated[int, typer.Option(help="Hits that are reranked.", rich_help_panel=_RANKING)] = 50,
    fusion: Annotated[str, typer.Option(help="How hybrid joins: rrf or weighted.", rich_help_panel=_RANKING)] = "rrf",
    weights: Annotated[
        str, typer.Option(help="Weights of vectors and of words in the fusion.", rich_help_panel=_RANKING)
    ] = "1,1",
    depth: Annotated[int, typer.Option(help="Candidates of each kind that are fused.", rich_help_panel=_RANKING)] = 100,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Compare every vector, whatever the kind of index.", rich_help_panel=_RANKING),
    ] = False,
    candidates: Annotated[
        int | None,
        typer.Option(
            help="Passages that --mode late scores by all their tokens. Default: 1024, or 50 a hit.",
            rich_help_panel=_RANKING,
        ),
    ] = None,
    passages: Annotated[bool, typer.Option("--passages", help="A document may come with several passages.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show how each score came about.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Show whole passages, not snippets.")] = False,
    queries: Annotated[
        Path | None, typer.Option(help="JSONL, TSV or lines of queries, or a BEIR folder.", rich_help_panel=_BATCH)
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Write the hits of --queries here, as a TREC run.", rich_help_panel=_BATCH)
    ] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="Only the queries that this file judges.", rich_help_panel=_BATCH)
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Load the index's encoder from here; it must be the same one.")
    ] = None,
    late: Annotated[
        str | None, typer.Option(help="Load the late encoder beside it from here; it must be the same one.")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="Where vectors are compared: cpu, cuda, cuda:0,1; then +flat, +cagra, +replicate.",
            rich_help_panel=_BATCH,
        ),
    ] = "cpu",
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Find the passages that answer a question, with the words that matched marked."""
    if queries is None:
        # numpy's OpenBLAS would start a thread a core, and they spin: a quarter of one question's CPU time for nothing.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from retr.index.settings import SearchSettings
    from retr.opening import load_reranker, open

    settings = SearchSettings(
        mode=mode,  # type: ignore[arg-type]  # checked by SearchSettings
        where=where,
        group="passage" if passages else "document",
        fusion=fusion,
        weights=_weights(weights),
        depth=depth,
        rerank_depth=rerank_depth,
        explain=explain,
        exact=exact,
        candidates=candidates,
    )
    _check_call(query, queries, run, image)
    _check_files(queries, run, qrels)
    collection = open(home_of(index, store), encoder=encoder, late=late, device=device)
    _note_placement(collection, device, quiet=quiet)
    scorer: RerankBy | None = load_reranker(rerank) if rerank else None
    if queries is not None and run is not None:
        hits = _BATCH_K if k is None else k
        _batch(collection, _judged(queries, qrels), run, settings, scorer, k=hits, quiet=quiet, as_json=json)
    else:
        hits = _ONE_K if k is None else k
        _one(collection, image or " ".join(query or []), settings, scorer, k=hits, full=full, as_json=json)


def _note_placement(collection: "Collection", device: str, *, quiet: bool) -> None:
    """Say what was asked for a GPU and is searched on the CPU, and why."""
    reasons = sorted({where for where in collection.placement if where.startswith("CPU: ")}) if device != "cpu" else []
    for reason in reasons if not quiet else ():
        typer.echo(f"retr: --device {device}: on the {reason}", err=True)


def _weights(text: str) -> tuple[float, float]:
    from retr.retrieval.errors import BadInput

    try:
        dense, lexical = (float(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"--weights takes two numbers, of vectors and of words, such as 1,0.5; got {text!r}.") from None
    return dense, lexical


def _check_call(query: list[str] | None, queries: Path | None, run: Path | None, image: Path | None) -> None:
    from retr.retrieval.errors import BadInput

    if image is not None and (queries is not None or query):
        raise BadInput(
            f"Give either --image or a question in words, not both; got {' '.join(query or ['--queries'])!r}."
        )
    if queries is not None and query:
        raise BadInput(f"Give either a QUERY or --queries, not both; got {' '.join(query)!r}.")
    if queries is None and run is None and image is None and not query:
        raise BadInput("No query. Say what to look for, or give --image FILE, or --queries FILE --run OUT.")


def _check_files(queries: Path | None, run: Path | None, qrels: Path | None) -> None:
    from retr.retrieval.errors import BadInput

    if (queries is None) != (run is None):
        raise BadInput("--queries FILE and --run OUT go together: questions from the one, hits into the other.")
    if qrels is not None and queries is None:
        raise BadInput("--qrels says which of --queries FILE are asked. Give both, or leave it out.")


def _one(
    collection: "Collection",
    asked: "str | Path",
    settings: "SearchSettings",
    scorer: "RerankBy | None",
    *,
    k: int,
    full: bool,
    as_json: bool,
) -> None:
    import time

    query, image = ("", asked) if isinstance(asked, Path) else (asked, None)
    started = time.perf_counter()
    hits = collection.search(query, k, image=image, settings=settings, rerank=scorer)
    took = (time.perf_counter() - started) * 1000
    if as_json:
        from retr.cli.output import emit_json

        found = [hit_json(collection, hit, query) for hit in hits]
        generation = collection.manifest.generation
        told = {"query": query, **({"image": image} if image is not None else {}), "hits": found}
        emit_json({**told, "took_ms": round(took, 1), "mode": settings.mode, "generation": generation})
        return
    show(collection, hits, query, full=full)


def _judged(path: Path, qrels: Path | None) -> Any:
    from retr.retrieval.corpus import read_queries

    queries = read_queries(path)
    if qrels is None:
        return queries
    from retr.retrieval.runs import Qrels

    judged = set(Qrels.load(qrels))
    return [query for query in queries if query.id in judged]


def _batch(
    collection: "Collection",
    queries: Any,
    path: Path,
    settings: "SearchSettings",
    scorer: "RerankBy | None",
    *,
    k: int,
    quiet: bool,
    as_json: bool,
) -> None:
    import time

    from retr.cli.output import emit_json, print_line
    from retr.cli.progress import Progress
    from retr.retrieval.runs import Run, check_ids

    check_ids(path, [query.id for query in queries])
    started = time.perf_counter()
    found: dict[str, dict[str, float]] = {}
    at_once = 1 if scorer not in (None, "late") else _QUERIES_AT_ONCE
    with Progress("searched", total=len(queries), unit="queries", quiet=quiet) as progress:
        for start in range(0, len(queries), at_once):
            part = queries[start : start + at_once]
            for query, hits in zip(
                part,
                collection.search_many([one.text for one in part], k, settings=settings, rerank=scorer),
                strict=True,
            ):
                check_ids(path, [hit.id for hit in hits])
                found[query.id] = {hit.id: hit.score for hit in reversed(hits)}
            progress.advance(len(part))
    Run(found).save(path)
    took = round((time.perf_counter() - started) * 1000, 1)
    if as_json:
        emit_json({"queries": len(queries), "run": path, "k": k, "mode": settings.mode, "took_ms": took})
    else:
        print_line(f"{path}: {len(queries):,} queries, up to {k} hits each")
