"""What bench/training_speed.py measured, as tables: steps a CPU second, equal losses, GradCache."""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tables import Table, number

Found = Mapping[str, Mapping[str, Any]]
"""A measurement's name to what it found."""
OWN, BARE, PEER = "lightning", "torch", "sentence-transformers"
SHOWN = {OWN: "retr train (Lightning)", BARE: "the same in bare torch", PEER: "SentenceTransformerTrainer"}


def speed_table(found: Found, args: argparse.Namespace, settings: Sequence[str], loops: Sequence[str]) -> Table:
    """Median (least to most) of the repeats; ratios are medians of those within one repeat."""
    columns = ["training", "steps/CPU s", "× bare torch", "× sentence-transformers", "steps/wall s", "peak MiB"]
    rows = []
    for setting in settings:
        runs = {
            loop: [found.get(f"speed--{setting}--{loop}--{repeat}") for repeat in range(args.repeats)] for loop in loops
        }
        for loop in loops:
            whole = [one for one in runs[loop] if one]
            if whole:
                cells = [spread([one["steps"] / one[clock] for one in whole]) for clock in ("cpu", "wall")]
                ratios = [against(runs[loop], runs[other]) for other in (BARE, PEER)]
                peak = number(max(one["peak_mib"] for one in whole), 0)
                rows.append([f"{setting}: {SHOWN[loop]}", cells[0], *ratios, cells[1], peak])
    return Table(columns, rows)


def spread(rates: Sequence[float]) -> str:
    """Median (least to most)."""
    return f"{statistics.median(rates):.3g} ({min(rates):.3g}–{max(rates):.3g})"


def against(own: Sequence[Mapping[str, Any] | None], other: Sequence[Mapping[str, Any] | None]) -> str:
    """How many times the steps a CPU second."""
    ratios = [rate(one) / rate(two) for one, two in zip(own, other, strict=True) if one and two]
    return spread(ratios) if ratios and own is not other else "-"


def rate(one: Mapping[str, Any]) -> float:
    """Steps a CPU second."""
    return float(one["steps"] / one["cpu"])


def check_table(found: Found, settings: Sequence[str], loops: Sequence[str]) -> Table:
    """First and last loss of the first steps without dropout, and the largest difference to bare torch's."""
    rows = []
    for setting in settings:
        base = found.get(f"check--{setting}--{BARE}")
        for loop in loops:
            one = found.get(f"check--{setting}--{loop}")
            if one and base:
                pairs = zip(one["losses"], base["losses"], strict=True)
                apart = max(abs(own - other) for own, other in pairs)
                ends = [f"{one['losses'][at]:.6f}" for at in (0, -1)]
                rows.append([f"{setting}: {SHOWN[loop]}", str(len(one["losses"])), *ends, f"{apart:.1e}"])
    return Table(["losses without dropout", "steps", "first", "last", "largest difference to bare torch"], rows)


def gradient_table(found: Found, chunks: Sequence[int]) -> Table:
    """Relative errors of the whole gradient by chunk, and what a step adds to the process's peak."""
    rows = []
    for precision in ("float32", "float64"):
        for chunk, error in found.get(f"error--{precision}", {}).get("errors", {}).items():
            rows.append([f"GradCache, chunks of {chunk}, {precision}, 32 rows", f"{error:.1e}", "-"])
    for chunk in chunks:
        one = found.get(f"memory--{chunk}")
        if one:
            name = f"GradCache, chunks of {chunk}" if chunk else "direct"
            rows.append([f"{name}, float32, 64 rows", "-", number(one["mib"], 0)])
    return Table(["gradient", "relative error to the direct one", "peak of a step, MiB"], rows)


def caption(args: argparse.Namespace, machine: Mapping[str, Any]) -> str:
    """Data, settings and machine."""
    return (
        f"MedQuAD's training questions with their answers, batches of {args.batch_size} rows in one order for all, "
        "InfoNCE over the batch (MultipleNegativesRankingLoss, scale 20), fused AdamW, linear schedule, clipping at 1, "
        f"float32; {args.steps} steps that count (8 times as many for 2 layers), {args.repeats} repeats by turns, one "
        "thread; CPU seconds of the whole process during its steps. "
        f"{machine['cpu']}, {machine['cores']} cores; load {machine['load_1_minute']} before."
    )
