"""Does `retr compare` cry wolf, and what can it see? False alarms, coverage and power over real per-query values.

    RETR_DATA=… python bench/compare_power.py [--pairs 2000 --samples 10000]

The values are nDCG@10 of SciFact's test queries under three searches of one index: lexical, dense and hybrid. Of two
such systems, as many queries as wanted are drawn with replacement, for each of many pairs:

- equal by swapping: in each query, a coin decides which system gets which value; nothing is left to be found;
- equal by centring: the mean difference of all queries is taken from each, which keeps the differences' skewness;
- unequal: centred, and then so much is added to each difference.

The tests get each pair's differences as `retr compare` would make them. A false alarm is p <= alpha.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import recording
import report
import scifact_texts
from numpy.typing import NDArray
from tables import Table, number

from retr.retrieval.evaluation.ranking import evaluate
from retr.retrieval.evaluation.significance.effects import power as expected_power
from retr.retrieval.evaluation.significance.intervals import INTERVALS, intervals
from retr.retrieval.evaluation.significance.resampling import Draws
from retr.retrieval.evaluation.significance.testing import TESTS, holm
from retr.retrieval.runs import Qrels, Run

Floats = NDArray[np.float64]

NAME = "compare-power"
PAGE = recording.ROOT / "docs" / "comparing.md"
MODES = ("lexical", "dense", "hybrid")
METRICS = ("ndcg@10", "mrr@10", "recall@100")
SYSTEMS = {"dense against lexical": ("lexical", "dense"), "hybrid against dense": ("dense", "hybrid")}
SIZES = (50, 100, 300)
SHIFTS = (0.01, 0.02, 0.05)
ALPHA = 0.05

Values = Mapping[str, Mapping[str, Floats]]
"""{mode: {metric: [queries]}}, the queries in the same order everywhere."""


def main() -> None:
    """Search, draw, test, record."""
    args = arguments()
    folder = scifact_texts.data_folder()
    before = recording.machine()
    values = searched(args.work, folder)
    rng = np.random.default_rng(args.seed)
    draws = Draws(args.samples, args.seed)
    rows = {
        "false_alarms": list(false_alarms(values, args.pairs, draws, rng)),
        "families": list(families(values, args.pairs, draws, rng)),
        "coverage": list(coverage(values, args.pairs, draws, rng)),
        "power": list(powers(values, args.pairs, draws, rng)),
    }
    tables = [alarm_table(rows), coverage_table(rows["coverage"]), power_table(rows["power"])]
    result = {
        "args": recording.plain(vars(args)),
        "machine": before,
        "versions": {"retr": recording.versions(sys.executable, recording.retr_packages())},
        "means": {mode: {metric: float(column.mean()) for metric, column in values[mode].items()} for mode in MODES},
        **rows,
        "tables": [table.json() for table in tables],
        "caption": caption(args, values),
    }
    print(*(table.markdown() for table in tables), result["caption"], sep="\n\n")
    print(recording.record(NAME, result, folder=args.results))
    if args.results == recording.RESULTS:
        write_page()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000, help="pairs of systems drawn for each figure")
    parser.add_argument("--samples", type=int, default=10_000, help="draws of the tests and intervals")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", type=Path, default=recording.ROOT / "bench" / "scratch" / "compare")
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    parser.add_argument("--fresh", action="store_true", help="make the index and the runs again")
    args = parser.parse_args()
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    return args


def searched(work: Path, folder: Path) -> Values:
    """Index SciFact, search it in three ways, and evaluate; what is there already is used."""
    work.mkdir(parents=True, exist_ok=True)
    retr, index, qrels = [sys.executable, "-m", "retr"], str(work / "index"), folder / "qrels" / "test.tsv"
    if not (work / "index").exists():
        subprocess.run([*retr, "index", str(folder), "--index", index], check=True)
    found: dict[str, dict[str, Floats]] = {}
    for mode in MODES:
        run = work / f"{mode}.trec"
        if not run.exists():
            asked = ["--queries", str(folder), "--qrels", str(qrels), "--run", str(run), "--mode", mode]
            subprocess.run([*retr, "search", "--index", index, *asked], check=True)
        scored = evaluate(Run.load(run), Qrels.load(qrels), METRICS).per_query
        found[mode] = {metric: np.array([scored[metric][qid] for qid in sorted(scored[metric])]) for metric in METRICS}
    return found


def differences(values: Values, systems: str, metric: str = METRICS[0]) -> Floats:
    """All queries' differences of two searches."""
    before, after = SYSTEMS[systems]
    return np.asarray(values[after][metric] - values[before][metric])


def swapped(rng: np.random.Generator, population: Floats, queries: int, pairs: int) -> Floats:
    """[queries, pairs]: drawn, and each with either sign."""
    drawn = rng.choice(population, (queries, pairs))
    return np.where(rng.random(drawn.shape) < 0.5, drawn, -drawn)


def centred(rng: np.random.Generator, population: Floats, queries: int, pairs: int) -> Floats:
    """[queries, pairs]: drawn from a population whose mean is 0."""
    return rng.choice(population - population.mean(), (queries, pairs))


def false_alarms(values: Values, pairs: int, draws: Draws, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """The share of equal pairs that each test takes for different."""
    for systems in SYSTEMS:
        population = differences(values, systems)
        for null in (swapped, centred):
            for queries in SIZES:
                drawn = null(rng, population, queries, pairs)
                rates = {name: float((test(drawn, draws) <= ALPHA).mean()) for name, test in TESTS.items()}
                yield {"systems": systems, "equal_by": null.__name__, "queries": queries, **rates}


def families(values: Values, pairs: int, draws: Draws, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Two systems against a third on three metrics, all equal: how often is any of the six found to differ?

    In each query the three searches' rows of metrics are dealt out by chance.
    """
    whole = np.stack([[values[mode][metric] for metric in METRICS] for mode in MODES])  # [modes, metrics, queries]
    for queries in SIZES:
        drawn = rng.integers(0, whole.shape[2], (pairs, queries))
        deal = rng.permuted(np.tile(np.arange(len(MODES)), (pairs, queries, 1)), axis=2)
        dealt = whole[deal, :, drawn[..., None]]  # [pairs, queries, modes, metrics]
        deltas = dealt[:, :, 1:] - dealt[:, :, :1]
        columns = np.moveaxis(deltas.reshape(pairs, queries, -1), 1, 0).reshape(queries, -1)
        for name, test in TESTS.items():
            p_values = test(columns, draws).reshape(pairs, -1)
            adjusted = np.array([holm(row) for row in p_values])
            rates = {"alone": p_values, "holm": adjusted}
            yield {
                "queries": queries,
                "test": name,
                "comparisons": p_values.shape[1],
                **{what: float((found.min(axis=1) <= ALPHA).mean()) for what, found in rates.items()},
            }


def coverage(values: Values, pairs: int, draws: Draws, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """The share of intervals that hold the true mean difference, 0."""
    for systems in SYSTEMS:
        population = differences(values, systems)
        for queries in SIZES:
            drawn = centred(rng, population, queries, pairs)
            held = {}
            for name in INTERVALS:
                ends = np.array(intervals(drawn, draws, ALPHA, name))
                held[name] = float(((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean())
            yield {"systems": systems, "queries": queries, **held}


def powers(values: Values, pairs: int, draws: Draws, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """The share of pairs with a known difference that each test finds, beside what t's theory expects."""
    for systems in SYSTEMS:
        population = differences(values, systems)
        deviation = float(population.std(ddof=1))
        for shift in SHIFTS:
            for queries in SIZES:
                drawn = centred(rng, population, queries, pairs) + shift
                rates = {name: float((test(drawn, draws) <= ALPHA).mean()) for name, test in TESTS.items()}
                theory = expected_power(shift / deviation, queries, ALPHA)
                yield {"systems": systems, "shift": shift, "queries": queries, **rates, "theory": theory}


def percent(share: float) -> str:
    """`4.7%`."""
    return f"{number(100 * share)}%"


def alarm_table(rows: Mapping[str, Any]) -> Table:
    """False alarms of single comparisons, then of families of six."""
    body = [
        [f"{row['systems']}, {row['equal_by']}", str(row["queries"]), *(percent(row[name]) for name in TESTS)]
        for row in rows["false_alarms"]
    ]
    for what, said in (("alone", "any of 6, uncorrected"), ("holm", "any of 6, Holm")):
        for queries in SIZES:
            rates = {row["test"]: row[what] for row in rows["families"] if row["queries"] == queries}
            body.append([said, str(queries), *(percent(rates[name]) for name in TESTS)])
    return Table(["false alarms", "queries", *TESTS], body)


def coverage_table(rows: list[dict[str, Any]]) -> Table:
    """Coverage of 95% intervals."""
    body = [[row["systems"], str(row["queries"]), *(percent(row[name]) for name in INTERVALS)] for row in rows]
    return Table(["95% intervals that hold the truth", "queries", *INTERVALS], body)


def power_table(rows: list[dict[str, Any]]) -> Table:
    """Power by difference and queries."""
    body = [
        [
            f"{row['systems']}, +{row['shift']:.2f}",
            str(row["queries"]),
            *(percent(row[name]) for name in (*TESTS, "theory")),
        ]
        for row in rows
    ]
    return Table(["differences found", "queries", *TESTS, "t in theory"], body)


def caption(args: argparse.Namespace, values: Values) -> str:
    """What was drawn from what."""
    spreads = ", ".join(f"{systems} {differences(values, systems).std(ddof=1):.3f}" for systems in SYSTEMS)
    error = percent(2 * (ALPHA * (1 - ALPHA) / args.pairs) ** 0.5)
    return (
        f"nDCG@10 of SciFact's {len(next(iter(values.values()))[METRICS[0]])} test queries; {args.pairs:,} pairs a "
        f"figure, so a true 5% comes out as 5% ± {error} (two standard errors); {args.samples:,} draws, seed "
        f"{args.seed}. Standard deviation of the per-query differences: {spreads}."
    )


def write_page() -> None:
    """Put the newest result between its markers in the guide."""
    if PAGE.exists():
        old = PAGE.read_text(encoding="utf-8")
        new = report.BLOCK.sub(lambda block: f"{block[1]}{report.rendered(block['name'])}\n{block[3]}", old)
        PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
