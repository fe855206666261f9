"""LLM-QL: does learning to tell the query first make better vectors, and does its ranking beat that by words?

    RETR_DATA=… python bench/llm_ql.py [--seeds …]

Model, questions and recipe of the vectors are those of training_llm.py, whose cells `causal-SEED` are stage 2 alone:
run that one first. Stage 1 learns to tell MedQuAD's questions from one token of their answers; its ranking reads that
token's stored keys. Every cell is kept in the scratch folder as soon as it is measured, and a run that was cut off goes
on where it was. --collect measures nothing, --fresh forgets all.
"""

import argparse
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import recording
from llm_ql_words import Pool, dirichlet
from recording_tables import record_tables
from retrieval_sets import sample
from scoring import per_query
from systems import absolute
from training_llm import PACKAGES, SEEDS, VARIANTS, asked, held_out, job, starting_model
from training_medquad import keep, read, run
from training_medquad_data import prepare

METRICS = ("ndcg@10", "mrr@10")
SAMPLE = 7
COMPARED_BY_COST = 40
"""Questions over which keys are held against reading the whole."""

Lists = Mapping[str, Mapping[str, float]]


def main() -> None:
    """Measure what is missing; print and record what there is."""
    args = arguments()
    if args.fresh:
        shutil.rmtree(args.work, ignore_errors=True)
    if not args.collect:
        measure(args)
    from llm_ql_tables import result

    cells = {**stage_2_alone(args), **read(args.work)}
    record_tables("llm-ql", result(cells, args), args, [*recording.retr_packages(), *PACKAGES])


def arguments() -> argparse.Namespace:
    """The command line; what stage 2 shares with training_llm.py has its defaults."""
    scratch = recording.ROOT / "bench" / "scratch"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--layers", type=int, default=6, help="of the model's 30, from the first")
    parser.add_argument("--telling-steps", type=int, default=60, help="of stage 1")
    parser.add_argument("--telling-rate", type=float, default=2e-4, help="learning rate of stage 1, of all weights")
    parser.add_argument("--corruption", type=float, default=0.6)
    parser.add_argument("--steps", type=int, default=40, help="of stage 2")
    parser.add_argument("--longer-steps", type=int, default=80, help="of stage 2 alone, for as much training as both")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="of stage 2")
    parser.add_argument("--rank", type=int, default=16, help="of stage 2's low-rank updates")
    parser.add_argument("--max-tokens", type=int, default=64, help="of a text, in stage 2 and as a vector")
    parser.add_argument("--telling-tokens", type=int, default=84, help="of an answer and its question, in stage 1")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--queries", type=int, default=300, help="test questions whose answers are ranked")
    parser.add_argument("--depth", type=int, default=20, help="answers of BM25 that are ranked")
    parser.add_argument("--collect", action="store_true", help="record what is there; train nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what was trained")
    parser.add_argument("--rows", type=absolute, default=scratch / "training-medquad", help="made by training_medquad")
    parser.add_argument("--decoders", type=absolute, default=scratch / "training-llm", help="made by training_llm")
    parser.add_argument("--work", type=absolute, default=scratch / "llm-ql")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    """Words, then each seed's stage 1, what its keys are worth, stage 2 behind it, and stage 2 alone for longer."""
    prepare(args.rows)
    args.decoders.mkdir(parents=True, exist_ok=True)
    start = starting_model(argparse.Namespace(layers=args.layers, work=args.decoders))
    test = held_out(args.decoders)
    pool = Pool.open(test, "test", args.work / "words")
    questions = sample(pool.queries, args.queries, SAMPLE)
    lists = pool.best(questions, args.depth)
    keep(args.work, "bm25", lambda: {"values": values_of(lists, pool)})
    keep(args.work, "dirichlet", lambda: by_words(lists, pool, args))
    for seed in args.seeds:
        keep(args.work, f"telling-{seed}", partial(told, seed, start, lists, pool, args))
        if seed == args.seeds[0]:
            keep(args.work, "keys", partial(keys, seed, lists, pool, args))
        keep(args.work, f"both-{seed}", partial(embedder, "both", seed, args.work / "stage-1" / str(seed), test, args))
        keep(args.work, f"longer-{seed}", partial(embedder, "longer", seed, start, test, args))
        shutil.rmtree(args.work / "stage-1" / str(seed), ignore_errors=True)


def stage_2_alone(args: argparse.Namespace) -> dict[str, Any]:
    """The cells of training_llm.py."""
    found = read(args.decoders)
    return {f"alone-{seed}": found[f"causal-{seed}"] for seed in args.seeds if f"causal-{seed}" in found}


def by_words(lists: Lists, pool: Pool, args: argparse.Namespace) -> dict[str, Any]:
    """Query likelihood of words with Dirichlet's prior, whose weight is the best one for the dev questions."""
    dev = Pool.open(args.rows / "dev", "dev", args.work / "words-dev")
    dev_lists = dev.best(sample(dev.queries, args.queries, SAMPLE), args.depth)
    tried = {}
    for weight in (100, 250, 500, 1000, 2000):
        found = values_of(dirichlet(dev_lists, dev, weight), dev)[METRICS[0]]
        tried[weight] = sum(found.values()) / len(found)
    weight = max(tried, key=tried.__getitem__)
    return {"values": values_of(dirichlet(lists, pool, weight), pool), "weight": weight, "dev": tried}


def values_of(scores: Lists, pool: Pool) -> dict[str, dict[str, float]]:
    """Each question's metrics."""
    judged = {id: pool.qrels.grades[id] for id in scores}
    return {
        name: {id: round(v, 5) for id, v in found.items()} for name, found in per_query(scores, judged, METRICS).items()
    }


def told(seed: int, start: Path, lists: Lists, pool: Pool, args: argparse.Namespace) -> dict[str, Any]:
    """Stage 1 with a seed: trained, and its ranking from stored keys."""
    from retr.encoders import load_scorer
    from retr.encoders.llm.ql_keys import keep_keys

    model, folder = args.work / "stage-1" / str(seed), args.work / "keys" / str(seed)
    facts = run(model, lambda: telling(seed, start, args))
    shutil.rmtree(folder, ignore_errors=True)
    began = time.process_time()
    keep_keys(str(model), texts_of(lists, pool), folder)
    reading = round(time.process_time() - began, 1)
    scorer, began = load_scorer(f"ql={folder}"), time.process_time()
    scores = ranked(scorer, lists, pool)
    shutil.rmtree(folder)
    seconds = {"reading_cpu_seconds": reading, "cpu_seconds": round(time.process_time() - began, 1)}
    return {"values": values_of(scores, pool), "seed": seed, "kind": "telling", **seconds, **facts}


def texts_of(lists: Lists, pool: Pool) -> list[str]:
    """The texts of all answers in the lists, once each."""
    return list(dict.fromkeys(pool.documents[one].text for answers in lists.values() for one in answers))


def ranked(scorer: Any, lists: Lists, pool: Pool) -> dict[str, dict[str, float]]:
    """The lists' answers with the scorer's scores."""
    found = {}
    for id, answers in lists.items():
        scores = scorer.score(pool.text_of(id), [pool.documents[one].text for one in answers])
        found[id] = dict(zip(answers, map(float, scores), strict=True))
    return found


def telling(seed: int, start: Path, args: argparse.Namespace) -> Any:
    """The run of stage 1: all weights learn; its last step counts."""
    from retr.encoders.objectives.query_likelihood import QueryLikelihood
    from retr.encoders.trainable.backbone import BackboneSettings
    from retr.encoders.trainable.llm.opening import open_llm
    from retr.encoders.trainable.llm.settings import LlmSettings
    from retr.encoders.training.job import TrainingJob
    from retr.encoders.training.rows import RowsSettings
    from retr.encoders.training.settings import TrainSettings

    settings = LlmSettings("causal", "lasttoken", generates=True, query_likelihood="stop")
    student = open_llm(start, settings, BackboneSettings(max_tokens=args.telling_tokens, seed=seed))
    rows = RowsSettings(str(args.rows / "hard.jsonl"), query_id="query_id", positive_id="positive_id")
    training = TrainSettings(
        steps=args.telling_steps, batch_size=args.batch_size, learning_rate=args.telling_rate, seed=seed,
        weight_decay=0.0, precision=args.precision, accelerator="cpu", checkpoint_every=30,
    )  # fmt: skip
    return TrainingJob(student, rows, QueryLikelihood(corruption=args.corruption), training)


def embedder(name: str, seed: int, start: Path, test: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Stage 2 from a start, as `causal` of training_llm.py: trained, asked."""
    out = args.work / "models" / f"{name}-{seed}"
    steps = args.longer_steps if name == "longer" else args.steps
    recipe = argparse.Namespace(**{**vars(args), "steps": steps})
    facts = run(out, lambda: job(VARIANTS["causal"], seed, start, recipe))
    found = asked(out, test)
    shutil.rmtree(out)
    return {**found, **facts, "kind": name, "seed": seed}


def keys(seed: int, lists: Lists, pool: Pool, args: argparse.Namespace) -> dict[str, Any]:
    """Scores from stored keys beside those of reading each answer with each question: differences, bytes, CPU time."""
    import numpy as np

    from retr.encoders import load_scorer
    from retr.encoders.bulk import open_vectors
    from retr.encoders.llm.ql_keys import keep_keys

    model, folder = args.work / "stage-1" / str(seed), args.work / "keys"
    few = dict(list(lists.items())[:COMPARED_BY_COST])
    texts = texts_of(few, pool)
    forms: dict[str, Any] = {"whole": f"ql={model}"}
    for dtype in ("float32", "float16"):
        shutil.rmtree(folder / dtype, ignore_errors=True)
        keep_keys(str(model), texts, folder / dtype, dtype=dtype)  # type: ignore[arg-type]
        forms[dtype] = f"ql={folder / dtype}"
    found: dict[str, Any] = {}
    scores = {}
    for name, source in forms.items():
        scorer, began = load_scorer(source), time.process_time()
        scores[name] = ranked(scorer, few, pool)
        found[name] = {"cpu_seconds": round(time.process_time() - began, 2)}
        mine, whole = (np.array([v for one in scores[of].values() for v in one.values()]) for of in (name, "whole"))
        found[name]["largest_difference"] = float(np.abs((mine - whole) / whole).max())
        found[name]["same_order"] = sum(
            sorted(one, key=one.__getitem__) == sorted(scores["whole"][id], key=scores["whole"][id].__getitem__)
            for id, one in scores[name].items()
        )
    dim = open_vectors(folder / "float16").dim
    shutil.rmtree(folder)
    pairs = sum(map(len, few.values()))
    return {
        "values": values_of(scores["whole"], pool),
        "forms": found,
        "numbers": dim,
        "pairs": pairs,
        "lists": len(few),
    }


if __name__ == "__main__":
    main()
