"""ChEBI-20: descriptions to molecules, by one vector, by late interaction, and by optimal transport of the tokens.

    RETR_DATA=… python bench/training_chebi.py [--seeds …] [--steps …]

The same small model from nothing, rows, batches and steps; only what is made of the tokens' states differs. Every
cell, a way with a seed, is kept in the scratch folder as soon as it is measured, and a run that was cut off goes on
where it was, within a cell too. --collect measures nothing, --fresh forgets all.
"""

import argparse
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import recording
from recording_tables import record_tables
from systems import absolute
from training_chebi_data import make_start, prepare
from training_late import changed
from training_late_data import read_lines
from training_late_measures import Values, by_tokens, by_vectors, places, values_of
from training_late_tables import About, result
from training_medquad import keep, read, run

PACKAGES = ("torch", "transformers", "tokenizers", "pytorch-lightning")
WAYS: dict[str, dict[str, Any]] = {
    "single": {"name": "infonce", "temperature": 0.05},
    "late": {"name": "late-infonce", "temperature": 1.0},
    "ot": {"name": "late-infonce", "temperature": 0.02},
}
"""Each way's objective."""
USUAL = {"seeds": [1, 2, 3], "steps": 825, "batch_size": 32, "learning_rate": 2e-3, "queries": 300}
EPSILON, ITERATIONS = 0.1, 10
DIM, DEPTH = 64, 50
TOKENS = 48


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    if not args.collect:
        measure(args)
    found = result(read(args.work), about(args))
    record_tables("training-chebi", found, args, [*recording.retr_packages(), *PACKAGES])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=USUAL["seeds"])
    parser.add_argument("--steps", type=int, default=USUAL["steps"])
    parser.add_argument("--batch-size", type=int, default=USUAL["batch_size"])
    parser.add_argument("--learning-rate", type=float, default=USUAL["learning_rate"])
    parser.add_argument("--queries", type=int, default=USUAL["queries"], help="descriptions that are tested")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "training-chebi")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    """A seed at a time, all ways after one another."""
    import torch

    torch.set_num_threads(1)
    prepare(args.work / "data")
    for seed in args.seeds:
        for way in WAYS:
            keep(args.work, f"{way}-{seed}", partial(trained, way, seed, args))


def trained(way: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One way with one seed: trained, asked."""
    out = args.work / "models" / f"{way}-{seed}"
    facts = run(out, lambda: job(way, seed, args))
    found = tested(way, student(way, out), args)
    shutil.rmtree(out)
    return {"way": way, "seed": seed, "values": found, **facts}


def job(way: str, seed: int, args: argparse.Namespace) -> Any:
    """The run of one cell; all ways of a seed begin with the same weights and see the same batches."""
    from retr.encoders.objectives import objective_from
    from retr.encoders.training.job import TrainingJob
    from retr.encoders.training.rows import RowsSettings
    from retr.encoders.training.settings import TrainSettings

    file = args.work / "data" / "train.jsonl"
    sizes = {"width": args.width, "layers": args.layers, "seed": seed}
    start = make_start(args.work / "starts" / f"start-{seed}", read_lines(file), **sizes)
    settings = TrainSettings(
        steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate, seed=seed, schedule="cosine",
        accelerator="cpu", checkpoint_every=50,
    )  # fmt: skip
    rows = RowsSettings(str(file), query_id="id", positive_id="id")
    return TrainingJob(student(way, start, seed), rows, objective_from(WAYS[way], way), settings)


def student(way: str, folder: Path, seed: int = 0) -> Any:
    """The model of a folder as it learns in this way."""
    from retr.encoders.late.folder import is_late
    from retr.encoders.trainable.backbone import BackboneSettings
    from retr.encoders.trainable.bi import open_bi
    from retr.encoders.trainable.late import LateSettings, open_late
    from retr.retrieval.transport import TransportSettings

    running = BackboneSettings(max_tokens=TOKENS, seed=seed)
    if way == "single":
        return open_bi(folder, running=running)
    settings = LateSettings(
        dim=DIM, query_tokens=TOKENS, document_tokens=TOKENS, skip_punctuation=False,
        scoring="ot" if way == "ot" else "maxsim", transport=TransportSettings(EPSILON, ITERATIONS),
    )  # fmt: skip
    return open_late(folder, None if is_late(folder) else settings, running)


def tested(way: str, model: Any, args: argparse.Namespace) -> Values:
    """The first descriptions over all molecules to be tested; transport sees the best of MaxSim by its own tokens."""
    rows = read_lines(args.work / "data" / "test.jsonl")
    queries, molecules = [row["query"] for row in rows[: args.queries]], [row["positive"] for row in rows]
    if way == "single":
        scores = by_vectors(model, queries, molecules)
    else:
        scores = by_tokens(model, queries, molecules, depth=DEPTH if way == "ot" else 0)
    return values_of([row["id"] for row in rows[: args.queries]], places(scores, range(len(queries))).tolist())


def about(args: argparse.Namespace) -> About:
    """What the page says of it."""
    data = prepare(args.work / "data")
    return About(
        title="Descriptions to molecules",
        data="ChEBI-20 test, of its own molecules",
        ways={
            "late": "late interaction, small BERT from nothing",
            "ot": "optimal transport, small BERT from nothing",
            "single": "one vector, small BERT from nothing",
        },
        others={"single": "bi"},
        baseline="single",
        metrics={"mrr": "MRR", "r@1": "R@1", "r@10": "R@10"},
        command=" ".join(["python bench/training_chebi.py", *changed(args, USUAL)]),
        caption=(
            f"ChEBI-20: its {data['train']:,} validation pairs of a description and a molecule to train on, since its "
            f"training pairs were not at hand, and {data['test']:,} test molecules ({data['left_out']:,} that were "
            f"trained on are left out), searched by the first {args.queries:,} descriptions; published figures rank "
            "all 33,010 molecules and are of other training data, so they do not compare. A molecule is its SMILES, a "
            f"token an atom, bond or ring. A BERT of {args.layers} layers, {args.width} wide, from nothing, reads "
            f"both, the first {TOKENS} tokens; {args.steps} steps of {args.batch_size} pairs with the batch as "
            f"negatives, AdamW at {args.learning_rate:g}, cosine. One vector: the mean, InfoNCE at 0.05. The others: "
            f"{DIM} numbers a token; MaxSim at a temperature of 1; transport at 0.02, epsilon {EPSILON:g}, "
            f"{ITERATIONS} iterations, tested on the {DEPTH} molecules that MaxSim of the same tokens puts first. "
            "Seeds draw the weights, the batches and dropout."
        ),
    )


if __name__ == "__main__":
    main()
