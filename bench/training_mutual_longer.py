"""The MuTual bench's cross-encoder, trained for longer than the others: does it then pass what read less?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tables import Table
from training_mutual_kinds import KINDS
from training_mutual_values import averaged, figures_of, per_query

from retr.retrieval.evaluation.significance import CompareSettings, Pair, compare

CROSS = "cross"
METRICS = {"r4@1": "R@1", "mrr": "MRR"}
Cells = Sequence[Mapping[str, Any]]


def longer(found: Mapping[str, Any], seed: int) -> dict[str, Any] | None:
    """The longer trainings' figures, and every kind with the usual steps against them, over the seeds of both."""
    mine = {cell["seed"]: cell for cell in found["longer"]}
    others = {kind: {cell["seed"]: cell for cell in found["cells"] if cell["kind"] == kind} for kind in KINDS}
    seeds = sorted(set(mine).intersection(*others.values()))
    if not seeds:
        return None
    rights = found["data"]["rights"]

    def values(cells: Mapping[int, Mapping[str, Any]]) -> list[Any]:
        return [per_query(cells[one]["scores"]["4"], rights, "4") for one in seeds]

    runs = values(mine)
    mean = averaged(runs)
    return {
        "seeds": seeds,
        "steps": mine[seeds[0]]["steps"],
        "cpu_seconds": [mine[one]["cpu_seconds"] for one in seeds],
        "figures": {METRICS[metric]: figures_of(runs, mean, seed)[metric].json() for metric in METRICS},
        "differences": [
            told for kind, cells in others.items() for told in differences(kind, averaged(values(cells)), mean, seed)
        ],
    }


def differences(kind: str, own: Mapping[str, Any], baseline: Mapping[str, Any], seed: int) -> Iterator[dict[str, Any]]:
    """A kind's R@1 and MRR less those of the longer training, paired by dialogue."""
    runs = {kind: own, "longer": baseline}
    chosen = {name: {metric: run[metric] for metric in METRICS} for name, run in runs.items()}
    for pair in compare(chosen, baseline="longer", settings=CompareSettings(seed=seed)).pairs:
        yield {"kind": kind, "metric": METRICS[pair.metric], **ends(pair)}


def ends(pair: Pair) -> dict[str, float]:
    """Difference, its 95% interval and p; of MRR and R@1 together p is adjusted."""
    return {"difference": pair.difference, "low": pair.low, "high": pair.high, "p": pair.adjusted_p}


def longer_table(told: Mapping[str, Any]) -> Table:
    """Each kind beside the cross-encoder of more steps."""
    shown = [f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" for value in told["figures"].values()]
    seeds = len(told["seeds"])
    lines = [[f"{KINDS[CROSS].title}, {told['steps']} steps, {seeds} seed{'s' * (seeds > 1)}", *shown]]
    for kind in KINDS:
        own = [one for one in told["differences"] if one["kind"] == kind]
        cells = [f"{one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]" for one in own]
        lines.append([f"{KINDS[kind].title} − it", *cells])
    return Table(["a longer training", *(f"{name} [95%]" for name in METRICS.values())], lines)
