"""Static students beside their teacher: SciFact, similarity sets, and texts a CPU second.

    RETR_DATA=… python bench/static.py [--wordllama FOLDER_OF_THE_PACKAGE] [--peers-python …/bin/python]

Students are made here from all-MiniLM-L6-v2: without a corpus, with general English (textcorpus), and with the
abstracts that are then searched (whose queries and judgements take no part). Set RETR_THREADS=1 and OMP_NUM_THREADS=1.
"""

import argparse
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import recording
import scifact_texts
import static_texts
from scoring import difference, per_query
from static_texts import Pairs
from systems import absolute
from tables import Table, number

from retr.distill.static.distilling import distil_static
from retr.distill.static.figures import spearman
from retr.distill.static.settings import StaticSettings
from retr.encoders import DEFAULT_MODEL, load_encoder
from retr.retrieval.corpus import read_documents
from retr.retrieval.version import VERSION

SETS = {"STS-B": "stsb", "STS13": "sts13", "SICK": "sick"}
METRIC = "ndcg@10"
DEPTH = 100
REPEATS = 3
SENTENCES = 10_000


def main() -> None:
    """Make, measure, print, record."""
    args = arguments()
    data = scifact_texts.data_folder().parent
    before = recording.machine()
    models, made = students(args, data)
    corpus = scifact_texts.load(data / "scifact")
    pairs = {name: Pairs.load(data / folder / "test.tsv") for name, folder in SETS.items()}
    measured = {name: measure(load, corpus, pairs) for name, load in models.items()}
    if args.peers_python:
        speeds = peer_speeds(args, args.work / "no corpus", speed_texts(corpus))
        measured["no corpus, in sentence-transformers"] = {"speed": speeds}
    rows = compare(measured, corpus.qrels, pairs, args.seed)
    quality, speed = quality_table(rows), speed_table(rows)
    result = {
        "args": recording.plain(vars(args)),
        "machine": before,
        "load_after": recording.machine()["load_1_minute"],
        "versions": versions(args),
        "sizes": {"documents": len(corpus.texts), "queries": len(corpus.queries)},
        "students": made,
        "rows": rows,
        "tables": [quality.json(), speed.json()],
    }
    print(quality.markdown(), speed.markdown(), sep="\n\n")
    print(recording.record("static", {**result, "caption": caption(result)}, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wordllama", type=Path, help="the unpacked package wordllama, whose table is then a row")
    parser.add_argument(
        "--peers-python", type=absolute, help="an interpreter with sentence-transformers, for its speed"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", action="store_true", help="use the students of the last run where they are there")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "static")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def students(args: argparse.Namespace, data: Path) -> tuple[dict[str, Callable[[], Any]], dict[str, Any]]:
    """What loads each model, and what is known of the making of the students."""
    if not args.keep:
        shutil.rmtree(args.work, ignore_errors=True)
    args.work.mkdir(parents=True, exist_ok=True)
    models: dict[str, Callable[[], Any]] = {"teacher": lambda: load_encoder(DEFAULT_MODEL)}
    made = {}
    for name, source in {"no corpus": None, "general English": "textcorpus", "own documents": "scifact"}.items():
        out = args.work / name
        if not out.exists():
            started = time.process_time()
            documents = None if source is None else read_documents([data / source / "corpus.jsonl.gz"])
            told = distil_static(
                load_encoder(DEFAULT_MODEL), out, StaticSettings(), documents=documents, seed=args.seed
            )
            (args.work / f"{name}.json").write_text(json.dumps({"cpu_seconds": time.process_time() - started, **told}))
            print(f"{name}: {time.process_time() - started:.0f} CPU s, {told['figures']}", flush=True)
        made[name] = json.loads((args.work / f"{name}.json").read_text())
        models[name] = lambda out=out: load_encoder(f"static={out}")
    if args.wordllama:
        folder = args.work / "wordllama"
        folder.mkdir(exist_ok=True)
        shutil.copy(args.wordllama / "weights" / "l2_supercat_256.safetensors", folder / "model.safetensors")
        shutil.copy(args.wordllama / "tokenizers" / "l2_supercat_tokenizer_config.json", folder / "tokenizer.json")
        models["wordllama l2_supercat_256"] = lambda: load_encoder(f"static={folder}")
    return models, made


def measure(load: Callable[[], Any], corpus: scifact_texts.Corpus, pairs: Mapping[str, Pairs]) -> dict[str, Any]:
    """Answers on SciFact, cosines of the similarity sets, and speed, of one model."""
    encoder = load()
    ids = list(corpus.texts)
    documents = encoder.encode_documents(list(corpus.texts.values())).values
    scores = encoder.encode_queries(list(corpus.queries.values())).values @ documents.T
    answers = {}
    for query, row in zip(corpus.queries, scores, strict=True):
        answers[query] = {ids[place]: float(row[place]) for place in np.argsort(-row, kind="stable")[:DEPTH]}
    cosines = {name: some.cosines(encoder) for name, some in pairs.items()}
    slow = encoder.describe()["runtime"] != "numpy"
    texts = {name: some[: len(some) // 20] if slow else some for name, some in speed_texts(corpus).items()}
    speed = {name: texts_a_second(load, some) for name, some in texts.items()}
    print(encoder.describe()["name"], speed, flush=True)
    return {"answers": answers, "cosines": cosines, "speed": speed}


def speed_texts(corpus: scifact_texts.Corpus) -> dict[str, list[str]]:
    """Whole abstracts, and their sentences."""
    whole = list(corpus.texts.values())
    return {"abstracts": whole, "sentences": [part for text in whole for part in text.split(". ")][:SENTENCES]}


def texts_a_second(load: Callable[[], Any], texts: Sequence[str]) -> dict[str, float]:
    """Texts a CPU second the first time, and then the best of some."""
    encoder = load()
    encoder.encode_documents(["a"])
    found = []
    for _ in range(1 + REPEATS):
        started = time.process_time()
        encoder.encode_documents(texts)
        found.append(len(texts) / (time.process_time() - started))
    return {"first": found[0], "again": max(found[1:])}


def peer_speeds(args: argparse.Namespace, folder: Path, texts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The same of sentence-transformers, in a process of its own on one thread."""
    job = args.work / "job.json"
    job.write_text(json.dumps({"model": str(folder), "texts": texts, "repeats": REPEATS}))
    single = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    script = recording.ROOT / "bench" / "peers" / "static_embedding.py"
    command = [str(args.peers_python), str(script), str(job)]
    done = subprocess.run(command, env={**os.environ, **single}, check=True, capture_output=True, text=True)
    seconds = json.loads(done.stdout.splitlines()[-1])
    return {name: {"again": len(some) / seconds[name]} for name, some in texts.items()}


def compare(
    measured: Mapping[str, Any], qrels: Mapping[str, Mapping[str, int]], pairs: Mapping[str, Pairs], seed: int
) -> list[dict[str, Any]]:
    """A row a model: each score, and its difference to the teacher's with a 95% interval."""
    base = measured["teacher"]
    first = per_query(base["answers"], qrels, [METRIC])[METRIC]
    rows = []
    for name, found in measured.items():
        scores = {}
        if "answers" in found:
            own = per_query(found["answers"], qrels, [METRIC])[METRIC]
            scores["SciFact"] = {"mean": float(np.mean(list(own.values()))), "delta": difference(own, first, seed=seed)}
        for some, cosines in found.get("cosines", {}).items():
            grades = pairs[some].grades
            delta = static_texts.compared(cosines, base["cosines"][some], grades, seed=seed)
            scores[some] = {"mean": spearman(cosines, grades), "delta": delta}
        rows.append({"model": name, "scores": scores, "speed": found["speed"]})
    return rows


def quality_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """nDCG@10 on SciFact and Spearman's correlation on the others, each with its distance to the teacher."""
    names = ["SciFact", *SETS]
    columns = ["model", *(text for name in names for text in (name, "− teacher [95%]"))]
    cells = []
    for row in rows:
        if row["scores"]:
            line = [row["model"]]
            for name in names:
                delta, low, high = row["scores"][name]["delta"]
                interval = "" if row["model"] == "teacher" else f"{delta:+.3f} [{low:+.3f}, {high:+.3f}]"
                line += [number(row["scores"][name]["mean"], 4), interval]
            cells.append(line)
    return Table(columns, cells)


def speed_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Texts a CPU second."""
    kinds = [(name, time) for name in ("abstracts", "sentences") for time in ("first", "again")]
    columns = ["texts a CPU second", *(f"{name}, {time}" for name, time in kinds)]
    cells = [[row["model"], *(number(row["speed"][name].get(time), 0) for name, time in kinds)] for row in rows]
    return Table(columns, cells)


def versions(args: argparse.Namespace) -> dict[str, Any]:
    """retr's own packages, and sentence-transformers where it was asked."""
    import sys

    peers = recording.versions(str(args.peers_python), ["sentence-transformers", "torch"]) if args.peers_python else {}
    return {"retr": {**recording.versions(sys.executable, recording.retr_packages()), "retr": VERSION}, "peers": peers}


def caption(result: Mapping[str, Any]) -> str:
    """One sentence that says where the numbers come from."""
    machine, sizes = result["machine"], result["sizes"]
    return (
        f"SciFact test, {sizes['documents']:,} abstracts, {sizes['queries']} claims, nDCG@10; Spearman's correlation "
        f"on the test sets of the others. Teacher: all-MiniLM-L6-v2 in int8. Intervals: paired bootstrap, seed "
        f"{result['args']['seed']}. Speed: {machine['cpu']}, one thread, other work on the machine; first: no word "
        "seen before."
    )


if __name__ == "__main__":
    main()
