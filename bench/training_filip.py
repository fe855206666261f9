"""FILIP beside the global loss of CLIP: the same towers from nothing, the same images, captions and steps.

    RETR_DATA=… python bench/training_filip.py [--seeds …] [--sets …] [--steps …]

On drawn scenes, where every object's place is known, and on emoji. Every cell, a set with a way to compare and a seed,
is kept in the scratch folder as soon as it is measured, and a run that was cut off goes on where it was, within a cell
too. --collect measures nothing, --fresh forgets all.
"""

import argparse
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import recording
from recording_tables import record_tables
from systems import absolute
from training_filip_data import prepare_emoji, prepare_scenes, read_lines
from training_filip_measures import of_emoji, of_scenes
from training_filip_times import step_times
from training_medquad import keep, read, run

SEEDS = (1, 2, 3)
QUARTER = "quarter"
PACKAGES = ("torch", "transformers", "pytorch-lightning", "pillow")


@dataclass(frozen=True, slots=True)
class Set:
    """Images with captions: what writes them, what measures a model on those held out, and an image's side."""

    prepare: Callable[[Path], dict[str, Any]]
    measure: Callable[[Any, Path], dict[str, dict[str, float]]]
    side: int
    ways: tuple[str, ...]


SETS = {
    "scenes": Set(prepare_scenes, of_scenes, 48, ("global", "tokens", QUARTER)),
    "emoji": Set(prepare_emoji, of_emoji, 48, ("global", "tokens")),
}
WAYS = {"global": ("global", 1.0), "tokens": ("tokens", 1.0), QUARTER: ("tokens", 0.25)}
"""A way to the interaction, and to the share of tokens that is kept."""


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    if not args.collect:
        measure(args)
    from training_filip_tables import result

    record_tables("training-filip", result(read(args.work), args), args, [*recording.retr_packages(), *PACKAGES])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--patch", type=int, default=8, help="pixels of a patch's side")
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "training-filip")
    parser.add_argument("--picture", type=absolute, help="draw where two models of the first seed look, as a PNG")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    """Make the sets, and then every cell that is not there."""
    import torch

    torch.set_num_threads(1)
    for name in args.sets:
        SETS[name].prepare(args.work / name)
    for cell, make in plan(args):
        keep(args.work, cell, make)


def plan(args: argparse.Namespace) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """The time of a step; a set and a seed at a time, both losses after one another; last a quarter of the tokens."""
    if "scenes" in args.sets:
        yield "times", partial(times, args)
    cells = [(name, way, seed) for name in args.sets for seed in args.seeds for way in SETS[name].ways]
    yield from (_cell(*cell, args) for cell in cells if cell[1] != QUARTER)
    yield from (_cell(*cell, args) for cell in cells if cell[1] == QUARTER)


def _cell(name: str, way: str, seed: int, args: argparse.Namespace) -> tuple[str, Callable[[], dict[str, Any]]]:
    return f"{name}-{way}-{seed}", partial(trained, name, way, seed, args)


def trained(name: str, way: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One set, way and seed: trained, and asked."""
    from retr.encoders.trainable.images.opening import FilipSettings, open_filip

    out = args.work / "models" / f"{name}-{way}-{seed}"
    facts = run(out, lambda: job(name, way, seed, args))
    student = open_filip(out, FilipSettings(interaction=WAYS[way][0], images=args.work / name / "images"))
    student.module.eval()
    values = SETS[name].measure(student, args.work / name)
    temperature = float(1 / student.heads.scales()[0].detach())
    return {"set": name, "way": way, "seed": seed, "values": values, "temperature": temperature, **facts}


def job(name: str, way: str, seed: int, args: argparse.Namespace) -> Any:
    """The run of one cell; the ways of a seed begin with the same weights and see the same batches."""
    from retr.encoders.objectives.filip import FILIP
    from retr.encoders.trainable.images.opening import FilipSettings, open_filip
    from retr.encoders.training.job import TrainingJob
    from retr.encoders.training.rows import RowsSettings
    from retr.encoders.training.settings import TrainSettings

    interaction, share = WAYS[way]
    settings = FilipSettings(interaction=interaction, images=args.work / name / "images")
    student = open_filip(start(name, seed, args), settings)
    rows = RowsSettings(str(args.work / name / "train.jsonl"), query="caption", positive="image")
    train = TrainSettings(
        steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate, seed=seed, schedule="cosine",
        accelerator="cpu", checkpoint_every=100,
    )  # fmt: skip
    return TrainingJob(student, rows, FILIP(token_keep=share), train)


def start(name: str, seed: int, args: argparse.Namespace) -> Path:
    """The folder of a model that knows nothing."""
    from retr.encoders.trainable.images.making import TowerSizes, make_model

    folder: Path = args.work / "starts" / f"{name}-{seed}"
    if not folder.exists():
        unfinished = folder.with_suffix(".tmp")
        shutil.rmtree(unfinished, ignore_errors=True)
        captions = [line["caption"] for line in read_lines(args.work / name / "train.jsonl")]
        make_model(unfinished, captions, TowerSizes(image=SETS[name].side, patch=args.patch), seed=seed)
        unfinished.replace(folder)
    return folder


def times(args: argparse.Namespace) -> dict[str, Any]:
    """The cost of a step on the scenes."""
    return {"values": {}, "times": step_times(start("scenes", args.seeds[0], args), args.work / "scenes")}


if __name__ == "__main__":
    main()
