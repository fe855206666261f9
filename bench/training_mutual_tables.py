"""What training_mutual.py records: rows, findings for the results page, values by query, tables and their caption."""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tables import Table, number
from training_mutual_kinds import KINDS, summary
from training_mutual_longer import longer, longer_table
from training_mutual_plot import draw
from training_mutual_values import Figure, Measured, measured, per_query

from retr.retrieval.evaluation.significance import Pair

CROSS, ARROW, ONE_WAY = "cross", "uni-arrow", "uni-one_way"
NAMES = {"r4@1": "R@1", "r4@2": "R@2", "mrr": "MRR", "r10@1": "R10@1", "r20@1": "R20@1"}
PLOTTED = 20
COMMAND = "python bench/training_mutual.py"
Found = Mapping[str, Any]


def result(found: Found, args: argparse.Namespace) -> dict[str, Any]:
    """What is recorded beside machine and versions."""
    known = measured(found["cells"], found["data"]["rights"], args.seed)
    costs = {kind: [cell for cell in found["cells"] if cell["kind"] == kind] for kind in KINDS}
    tables = [quality(known, costs), lists(known), pairs(known), rates(found["rates"])]
    times, more = found["times"], longer(found, args.seed)
    tables += [longer_table(more)] if more else []
    return {
        "title": "Response selection on MuTual",
        "rows": list(rows(known, costs)),
        "rates": found["rates"],
        "data": {name: value for name, value in found["data"].items() if name not in ("rights", "untrained")},
        "times": times,
        "longer": more,
        "findings": list(findings(known, args.layers)),
        "values": values(known),
        "tables": [table.json() for table in [*tables, *([timing(times)] if times else [])]],
        "caption": caption(known, found, args),
        **(plotted(known, times, args.plot) if times else {}),
    }


def rows(known: Measured, costs: Mapping[str, Sequence[Found]]) -> Iterator[dict[str, Any]]:
    """A row a kind: its learning rate, what its training took, its figures, and the tests against the cross-encoder."""
    for kind, chosen in KINDS.items():
        cells = [cell for cell in costs[kind] if cell["seed"] in known.seeds]
        taken = [{name: cell[name] for name in ("seed", "steps", "rows", "cpu_seconds", "commit")} for cell in cells]
        figures = {
            f"{NAMES[metric]}, {count} candidates": figure.json()
            for count, kinds in known.figures.items()
            for metric, figure in kinds[kind].items()
        }
        tests = [told(pair) for pair in known.pairs.values() if kind == pair.system]
        yield {
            "kind": kind,
            "title": chosen.title,
            "learning_rate": cells[0]["learning_rate"],
            "changed_files": max(cell["changed_files"] for cell in cells),
            "runs": taken,
            "figures": figures,
            "tests": tests,
        }


def told(pair: Pair) -> dict[str, Any]:
    """A comparison as it is recorded."""
    keys = ("baseline", "difference", "low", "high", "p", "adjusted_p", "wins", "ties", "losses")
    detectable = pair.detectable if math.isfinite(pair.detectable) else None
    return {"metric": NAMES[pair.metric], **{key: getattr(pair, key) for key in keys}, "detectable": detectable}


def findings(known: Measured, layers: int) -> Iterator[dict[str, Any]]:
    """What the results page shows: R@1, R@2 and MRR of each kind, and R@1 among more candidates."""
    for kind, chosen in KINDS.items():
        for count, kinds in known.figures.items():
            for metric, figure in kinds[kind].items():
                if metric == "mrr" and count != "4":
                    continue
                data = "MuTual dev" if count == "4" else f"MuTual dev, {count} candidates"
                yield {
                    "system": chosen.student,
                    "model": model_of(kind, layers),
                    "data": data,
                    "metric": NAMES[metric],
                    **{name: value for name, value in figure.json().items() if name != "seeds" and value is not None},
                    **({"seeds": len(known.seeds)} if figure.spread is not None else {}),
                    "queries": len(known.values[count][kind][metric]),
                    **against_cross(known, kind, metric, layers),
                    "command": COMMAND,
                }


def model_of(kind: str, layers: int) -> str:
    """As the results page names it."""
    return f"{KINDS[kind].title}, first {layers} layers of MiniLM-L6, trained here"


def against_cross(known: Measured, kind: str, metric: str, layers: int) -> dict[str, Any]:
    """The difference to the cross-encoder over the same queries."""
    for one, other, sign in ((kind, CROSS, 1), (CROSS, kind, -1)):
        pair = known.pairs.get((metric, one, other))
        if pair is not None:
            ends = sorted((sign * pair.low, sign * pair.high))
            difference = {"difference": sign * pair.difference, "low": ends[0], "high": ends[1], "p": pair.adjusted_p}
            return {"against": {"model": model_of(CROSS, layers), **difference}}
    return {}


def values(known: Measured) -> dict[str, Any]:
    """Each query's R@1 and MRR as its mean over seeds: ids once, a list a kind."""
    ids = list(known.values["4"][CROSS]["mrr"])
    by_metric = {
        NAMES[metric]: {kind: [round(found[metric][id], 4) for id in ids] for kind, found in known.values["4"].items()}
        for metric in ("r4@1", "mrr")
    }
    return {"queries": " ".join(ids), **by_metric}


def quality(known: Measured, costs: Mapping[str, Sequence[Found]]) -> Table:
    """Means with their spread over seeds and their interval over queries, and what a training took."""
    columns = ["trained on MuTual", *(f"{NAMES[metric]} [95%]" for metric in ("r4@1", "r4@2", "mrr"))]
    lines = []
    for kind, chosen in KINDS.items():
        figures = known.figures["4"][kind]
        minutes = [cell["cpu_seconds"] / 60 for cell in costs[kind] if cell["seed"] in known.seeds]
        cells = [shown(figures[metric]) for metric in ("r4@1", "r4@2", "mrr")]
        lines.append([chosen.title, *cells, number(sum(minutes) / len(minutes))])
    return Table([*columns, "CPU minutes a training"], lines)


def lists(known: Measured) -> Table:
    """R@1 among more candidates."""
    lines = []
    for kind, chosen in KINDS.items():
        found = [known.figures[count][kind][f"r{count}@1"] for count in ("10", "20")]
        lines.append([chosen.title, *map(shown, found)])
    return Table(["among more candidates", "R10@1 [95%]", "R20@1 [95%]"], lines)


def pairs(known: Measured) -> Table:
    """The differences that were asked for."""
    asked = [(ARROW, CROSS), (ONE_WAY, CROSS), (ONE_WAY, ARROW), (ONE_WAY, "bi"), ("poly", CROSS), ("poly", ONE_WAY)]
    lines = []
    for system, baseline in asked:
        found = [known.pair(metric, system, baseline) for metric in NAMES if metric != "r4@2"]
        name = f"{KINDS[system].title} − {KINDS[baseline].title}"
        lines.append([name, *map(difference, found)])
    return Table(["difference", *(f"{NAMES[metric]} [95%], p" for metric in NAMES if metric != "r4@2")], lines)


def difference(pair: Pair) -> str:
    """With its interval and its adjusted p."""
    p = f"{pair.adjusted_p:.3f}" if pair.adjusted_p >= 0.001 else "<0.001"
    return f"{pair.difference:+.3f} [{pair.low:+.3f}, {pair.high:+.3f}], {p}"


def shown(figure: Figure) -> str:
    """Mean, spread over seeds, interval over queries."""
    spread = "" if figure.spread is None else f" ± {figure.spread:.3f}"
    return f"{figure.mean:.3f}{spread} [{figure.low:.3f}, {figure.high:.3f}]"


def rates(found: Sequence[Found]) -> Table:
    """Held-out loss at each learning rate; the smallest of a kind is the one taken."""
    tried = sorted({one["rate"] for one in found})
    lines = []
    for kind in dict.fromkeys(one["kind"] for one in found):
        own = {one["rate"]: one for one in found if one["kind"] == kind}
        least = min(own.values(), key=lambda one: one["held_out_loss"])["rate"]
        cells = [
            f"{own[rate]['held_out_loss']:.3f}, {own[rate]['held_out_r1']:.3f}{' (taken)' if rate == least else ''}"
            if rate in own
            else "-"
            for rate in tried
        ]
        lines.append([KINDS[kind].title, *cells])
    return Table(["held-out loss, R@1 at a learning rate", *(f"{rate:g}" for rate in tried)], lines)


def timing(times: Found) -> Table:
    """CPU milliseconds a context, median of the rounds, and how often the cross-encoder's time contains it."""
    counts = list(times["rounds"][CROSS])
    middle = {
        way: {count: summary(found[count])["median"] for count in counts} for way, found in times["rounds"].items()
    }
    lines = []
    for way, found in middle.items():
        cells = [f"{number(found[count])} ({middle[like(way)][count] / found[count]:.1f}×)" for count in counts]
        lines.append([way, *cells])
    return Table(["CPU ms a context (cross-encoder / it)", *(f"{count} candidates" for count in counts)], lines)


def like(way: str) -> str:
    """The cross-encoder asked in the same way."""
    return f"{CROSS}, served" if "served" in way else CROSS


def plotted(known: Measured, times: Found, path: Path) -> dict[str, str]:
    """Draw the plot, of the ways in which everything is read in the call; what the results page says of it."""
    points = []
    for kind, chosen in KINDS.items():
        figure = known.figures["4"][kind]["r4@1"]
        taken = summary(times["rounds"][kind][str(PLOTTED)])["median"]
        points.append((chosen.title, taken, figure.mean, figure.low, figure.high))
    draw(points, PLOTTED, path)
    return {
        "plot": f"results/{path.name}",
        "plot_about": f"R@1 of each kind beside its CPU time with {PLOTTED} candidates",
    }


def caption(known: Measured, found: Found, args: argparse.Namespace) -> str:
    """How the numbers were made."""
    data = found["data"]
    untrained = per_query(data["untrained"], data["rights"], "4")["r4@1"]
    several = f"{len(known.seeds)} seeds" if len(known.seeds) > 1 else "one seed"
    text = (
        f"All kinds begin with the first {args.layers} layers of all-MiniLM-L6-v2 and take {args.steps} steps of "
        f"{args.batch_size} dialogues in the same order (AdamW, linear schedule with a tenth of warm-up, clipped at 1, "
        f"{args.precision}), softmax cross-entropy over the four candidates, {several}; heads and codes begin at "
        f"random. Training dialogues that begin like one of dev were left out: {data['training']:,} remain. A context "
        f"keeps its newest turns within {data['context_tokens']} tokens, a reply {data['candidate_tokens']}. The "
        "learning rate of a kind is the one with the smallest loss on a tenth of the training dialogues after one "
        "epoch of another fifth of them (arrow takes one-way's); dev was not looked at. "
        f"R@1, R@2 and MRR over the {data['tested']} dialogues of dev, the last weights of each run, ties counted as "
        f"wrong; chance is 0.25, and all-MiniLM-L6-v2 untrained has {fmean(untrained.values()):.3f} by cosine. "
        "±: standard deviation of the seeds' means; intervals: percentile bootstrap over queries, each being its mean "
        "over the seeds, 10,000 draws; p: paired randomisation, adjusted by Holm over all pairs of kinds and metrics. "
        f"R10@1 and R20@1: {args.sampled} of the dialogues, their lists filled with "
        "replies of other talks, the same ones for every kind."
    )
    text += unlearned(found["rates"])
    if found["times"]:
        text += (
            f" Times: models of the first seed, one thread, float32, {found['times']['contexts']} contexts one after "
            "the other, the ways taking turns, median of the rounds."
        )
    return text


def unlearned(found: Sequence[Found]) -> str:
    """Which kinds did not learn in their trials: with every rate their held-out loss is still chance's."""
    best = {
        kind: min(losses)
        for kind in KINDS
        if (losses := [one["held_out_loss"] for one in found if one["kind"] == kind])
    }
    kinds = [kind for kind in best if best[kind] > math.log(4) - 0.01]
    return "".join(
        f" The {KINDS[kind].title} did not learn in its trials: its loss on the held-out part stayed at chance's, ln 4 "
        "= 1.386, with every rate. Differences to it say nothing of one that was trained for longer."
        for kind in kinds
    )
