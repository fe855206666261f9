"""`retr compare`: which of several systems is better, and is the difference more than chance?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.options import JsonOption

if TYPE_CHECKING:
    from retr.retrieval.evaluation.significance import Comparison, Pair
    from retr.retrieval.evaluation.significance.changes import Change
    from retr.retrieval.evaluation.significance.comparing import Values

DEFAULT_METRIC = "ndcg@10"
_CHANCE, _GATE = "Test", "Gate"


def compare(
    run: Annotated[
        list[Path] | None, typer.Option("--run", help="What a system found: TREC or JSON; one for each system.")
    ] = None,
    qrels: Annotated[Path | None, typer.Option(help="What is relevant: TREC qrels, a BEIR table or JSON.")] = None,
    values: Annotated[
        list[Path] | None,
        typer.Option(help="A system's values by query instead of a run: JSON of `retr eval --per-query --json`."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", "-m", help=f"May be repeated. Default: {DEFAULT_METRIC}; of --values alone, all that they hold."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Hold all others against this one (a file's name without its ending).")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="The queries' texts, shown beside wins and losses.", metavar="FILE")
    ] = None,
    top: Annotated[int, typer.Option(help="So many largest losses and wins, on the first metric.")] = 5,
    plot: Annotated[Path | None, typer.Option(help="Draw each query's difference into this PNG.")] = None,
    test: Annotated[
        str, typer.Option(help="randomisation, t or bootstrap.", rich_help_panel=_CHANCE)
    ] = "randomisation",
    interval: Annotated[str, typer.Option(help="expanded, bca or percentile.", rich_help_panel=_CHANCE)] = "expanded",
    alpha: Annotated[float, typer.Option(help="Level of tests and intervals.", rich_help_panel=_CHANCE)] = 0.05,
    samples: Annotated[int, typer.Option(help="Random draws.", rich_help_panel=_CHANCE)] = 100_000,
    seed: Annotated[int, typer.Option(help="Seed of the draws.", rich_help_panel=_CHANCE)] = 0,
    fail_if_worse: Annotated[
        bool,
        typer.Option("--fail-if-worse", help="Exit with 1 if a system is shown to be worse.", rich_help_panel=_GATE),
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(
            help="Exit with 1 unless being worse by more than this is ruled out (the interval's lower end).",
            rich_help_panel=_GATE,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare systems query by query: differences with intervals, tests with Holm's correction, wins and losses.

    With two systems the first is the baseline; with more and no --baseline, every pair is compared. A judged query
    that a run does not hold counts 0, as in `retr eval`. Files of --values must be over the same ids.
    """
    from retr.cli.output import emit_json
    from retr.retrieval.errors import BadInput
    from retr.retrieval.evaluation.significance import CompareSettings
    from retr.retrieval.evaluation.significance import compare as measure
    from retr.retrieval.evaluation.significance.comparing import pairs_of
    from retr.retrieval.evaluation.significance.plotting import check_plot, draw

    settings = CompareSettings(test=test, interval=interval, alpha=alpha, samples=samples, seed=seed)
    if margin is not None and not (fail_if_worse and margin >= 0):
        raise BadInput(f"--margin takes a number of at least 0, with --fail-if-worse; got {margin:g}.")
    if top < 0:
        raise BadInput(f"--top takes a number of at least 0; got {top}.")
    systems = _systems(run or [], values or [], qrels, metric)
    places = pairs_of(list(systems), baseline)
    if fail_if_worse and baseline is None and len(systems) > 2:
        raise BadInput(f"--fail-if-worse with {len(systems)} systems needs --baseline. Known: {', '.join(systems)}.")
    if plot is not None:
        check_plot(plot, len(places) * len(next(iter(systems.values()))))
    texts = _texts(queries, systems)
    comparison = measure(systems, baseline=baseline, settings=settings)
    if plot is not None:
        draw(comparison, systems, plot)
    failed = _failed(comparison, margin) if fail_if_worse else []
    if json:
        gate = {"margin": margin, "failed": [[pair.system, pair.metric] for pair in failed]} if fail_if_worse else None
        emit_json({**_answer(comparison, systems, texts, top), "gate": gate, "plot": plot})
    else:
        _show(comparison)
        _show_changes(comparison, systems, texts, top)
    _end(failed, margin)


def _systems(
    runs: Sequence[Path], values: Sequence[Path], qrels: Path | None, metrics: list[str] | None
) -> "dict[str, Values]":
    """Each system's values by metric, the runs first."""
    from retr.retrieval.errors import BadInput
    from retr.retrieval.evaluation.significance.values import chosen, read_values, system_names

    if len(runs) + len(values) < 2:
        raise BadInput("A comparison needs two systems or more: give --run (with --qrels) or --values again.")
    if bool(runs) != (qrels is not None):
        raise BadInput("--run and --qrels go together: judgements to score the runs, and runs to be scored.")
    names = system_names([*runs, *values])
    wanted = metrics or ([DEFAULT_METRIC] if runs else [])
    scored = _scored(runs, names, qrels, wanted) if qrels is not None else {}
    read = {name: read_values(path) for name, path in zip(names[len(runs) :], values, strict=True)}
    return scored | chosen(read, wanted)


def _scored(runs: Sequence[Path], names: Sequence[str], qrels: Path, metrics: Sequence[str]) -> "dict[str, Values]":
    from retr.cli.output import warn
    from retr.retrieval.evaluation.ranking import evaluate
    from retr.retrieval.runs import Qrels, Run

    judged, found = Qrels.load(qrels), {}
    for name, path in zip(names, runs, strict=False):
        evaluation = evaluate(Run.load(path), judged, metrics)
        if evaluation.missing:
            of = f"{len(evaluation.missing)} of {evaluation.queries}"
            warn(f"Judged queries that the run {name!r} does not hold count 0: {of}.")
        found[name] = evaluation.per_query
    return found


def _texts(path: Path | None, systems: "Mapping[str, Values]") -> dict[str, str]:
    from retr.retrieval.corpus import read_queries
    from retr.retrieval.errors import Mismatch

    if path is None:
        return {}
    ids = {qid for values in next(iter(systems.values())).values() for qid in values}
    texts = {query.id: query.text for query in read_queries(path) if query.id in ids}
    if not texts:
        raise Mismatch(f"{str(path)!r} has none of the queries compared, such as {min(ids, default='')!r}.")
    return texts


def _failed(comparison: "Comparison", margin: float | None) -> "list[Pair]":
    from retr.retrieval.evaluation.significance.gates import perhaps_worse, shown_worse

    return shown_worse(comparison) if margin is None else perhaps_worse(comparison, margin)


def _end(failed: "Sequence[Pair]", margin: float | None) -> None:
    """One line on standard error and exit code 1 when a gate is not passed."""
    from retr.cli.failures import report

    if not failed:
        return
    what = "worse" if margin is None else f"perhaps worse by more than {margin:g}"
    said = [
        f"{pair.system} than {pair.baseline} in {pair.metric} ({pair.difference:+.4f}, {_between(pair)}, "
        f"adjusted p {_probability(pair.adjusted_p)})"
        for pair in failed
    ]
    report(f"{what}: {'; '.join(said)}")
    raise typer.Exit(1)


def _answer(
    comparison: "Comparison", systems: "Mapping[str, Values]", texts: Mapping[str, str], top: int
) -> dict[str, Any]:
    from dataclasses import asdict

    from retr.retrieval.evaluation.significance.changes import changes, largest

    pairs = []
    for pair in comparison.pairs:
        losses, wins = largest(changes(systems, pair), top)
        fields = {name: _finite(value) for name, value in asdict(pair).items()}
        shown = {"losses": [_change(change, texts) for change in losses], "wins": [_change(c, texts) for c in wins]}
        pairs.append({**fields, "verdict": comparison.verdict(pair), "largest": shown})
    return {
        "systems": comparison.systems,
        "baseline": comparison.baseline,
        "settings": asdict(comparison.settings),
        "queries": comparison.queries,
        "means": comparison.means,
        "pairs": pairs,
    }


def _finite(value: Any) -> Any:
    """JSON has no infinity, as d_z is where all differences are the same, and no NaN."""
    return None if isinstance(value, float) and value - value != 0 else value


def _change(change: "Change", texts: Mapping[str, str]) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(change), "text": texts[change.query]} if change.query in texts else asdict(change)


def _show(comparison: "Comparison") -> None:
    from retr.cli.output import print_line, print_table

    settings = comparison.settings
    level = f"{100 * (1 - settings.alpha):g}%"
    columns = ["metric", "system", "mean", "difference", f"{level} interval", "p", "Holm p", "d_z"]
    rows: list[Sequence[object]] = []
    for metric, means in comparison.means.items():
        first = comparison.baseline or comparison.systems[0]
        rows.append([metric, first, means[first], *[None] * 7, ""])
        pairs = [pair for pair in comparison.pairs if pair.metric == metric]
        rows += [_row(pair, means[pair.system], comparison) for pair in pairs]
    print_table([*columns, "wins/ties/losses", "detectable", ""], rows)
    counts = sorted(set(comparison.queries.values()))
    drawn = "" if settings.test == "t" else f" ({settings.samples:,} draws, seed {settings.seed})"
    print_line(
        f"{' or '.join(f'{count:,}' for count in counts)} queries; {settings.test} test{drawn}, two-sided; "
        f"Holm's correction over {_plural(len(comparison.pairs), 'comparison')} at {settings.alpha:g}"
    )
    print_line(f"detectable: the smallest true difference found with a probability of {settings.power:g}")


def _row(pair: "Pair", mean: float, comparison: "Comparison") -> list[object]:
    from math import isnan

    system = pair.system if comparison.baseline is not None else f"{pair.system} − {pair.baseline}"
    return [
        *(pair.metric, system, mean, f"{pair.difference:+.4f}", _between(pair)),
        *(_probability(pair.p), _probability(pair.adjusted_p), f"{pair.effect:+.2f}"),
        f"{pair.wins}/{pair.ties}/{pair.losses}",
        *("unknown" if isnan(pair.detectable) else f"{pair.detectable:.4f}", comparison.verdict(pair)),
    ]


def _between(pair: "Pair") -> str:
    return f"{pair.low:+.4f} to {pair.high:+.4f}"


def _probability(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _show_changes(
    comparison: "Comparison", systems: "Mapping[str, Values]", texts: Mapping[str, str], top: int
) -> None:
    from retr.cli.output import print_line, print_table
    from retr.retrieval.evaluation.significance.changes import changes, largest

    metric = next(iter(comparison.means))
    for pair in comparison.pairs:
        if pair.metric != metric or top == 0:
            continue
        for what, found in zip(("losses", "wins"), largest(changes(systems, pair), top), strict=True):
            if not found:
                continue
            print_line(f"\n{metric}: largest {what} of {pair.system} against {pair.baseline}")
            rows = [[c.query, c.before, c.after, f"{c.difference:+.4f}", texts.get(c.query, "")] for c in found]
            print_table(["query", pair.baseline, pair.system, "difference", "text" if texts else ""], rows)
