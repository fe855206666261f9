"""Quality on SciFact: dense, lexical, hybrid, reranked, against sentence-transformers with the same weights.

    RETR_DATA=… python bench/scifact.py --peers-python …/bin/python --cross FOLDER_OF_A_CROSS_ENCODER

Each run is made by the command line (`retr index`, `retr search --queries … --run`) over the BEIR folder; differences
are paired by query, with bootstrap intervals.
"""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import recording
import scifact_texts
from measuring import Cost
from systems import Answers, Peer, Place, Retr, absolute, default_command, model_folder
from tables import Table, number

METRICS = ("ndcg@10", "recall@100", "mrr@10")
BASE = "dense"
DEPTH = 100


@dataclass(frozen=True, slots=True)
class Made:
    """One run with what it cost: the index it stands on, and all queries in one process."""

    name: str
    index: Cost
    search: Cost
    answers: Answers


def main() -> None:
    """Measure, print, record."""
    args = arguments()
    shutil.rmtree(args.work, ignore_errors=True)
    folder = scifact_texts.data_folder()
    corpus = scifact_texts.load(folder)
    if args.documents:
        corpus = scifact_texts.choose(corpus, args.documents, args.seed)
        folder = scifact_texts.write_part(folder, corpus, args.work / "part")
    before = recording.machine()
    made = [*retr_runs(args, folder, corpus.queries), reference(args, folder, corpus.queries)]
    rows = compared(made, corpus.qrels, args.seed)
    table = tabulate(rows)
    result = {
        "args": recording.plain(vars(args)),
        "machine": before,
        "load_after": recording.machine()["load_1_minute"],
        "versions": {
            "retr": recording.versions(args.retr.split()[0], recording.retr_packages()),
            "peers": recording.versions(str(args.peers_python), recording.peer_packages()),
        },
        "sizes": {"documents": len(corpus.texts), "queries": len(corpus.queries)},
        "rows": rows,
        "tables": [table.json()],
    }
    print(table.markdown())
    print(recording.record("scifact", {**result, "caption": caption(result)}, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peers-python",
        type=absolute,
        help="interpreter with bench/peers/requirements.txt",
        required=True,
    )
    parser.add_argument("--retr", default=default_command(), help="how retr is called: an interpreter and -m retr")
    parser.add_argument("--cross", type=absolute, help="folder of a cross-encoder; without it nothing is reranked")
    parser.add_argument("--documents", type=int, help="only so many, for a quick look; not comparable with the whole")
    parser.add_argument("--rerank-depth", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "scifact")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    return parser.parse_args()


def retr_runs(args: argparse.Namespace, folder: Path, queries: Mapping[str, str]) -> list[Made]:
    """retr's runs over three indexes: its default, one vector a text, and that in float32."""
    model = model_folder(str(args.peers_python))
    reranked = ("--rerank", f"cross={args.cross}", "--rerank-depth", str(args.rerank_depth))
    plans: list[tuple[Retr, list[tuple[str, str, Sequence[str]]]]] = [
        (
            Retr("default", args.retr),
            [(BASE, "dense", ()), ("lexical", "lexical", ()), ("hybrid", "hybrid", ())]
            + ([("hybrid + cross-encoder", "hybrid", reranked)] if args.cross else []),
        ),
        (Retr("whole", args.retr, ("--chunk-tokens", "0")), [("dense, 1 text 1 vector", "dense", ())]),
        (
            Retr("float32", args.retr, ("--chunk-tokens", "0", "--encoder", f"bi={model}")),
            [("dense, 1 text 1 vector, float32", "dense", ())],
        ),
    ]
    return [
        run
        for system, searches in plans
        for run in searched(system, searches, Place(folder, args.work / system.name), queries)
    ]


def searched(
    system: Retr, searches: Sequence[tuple[str, str, Sequence[str]]], place: Place, queries: Mapping[str, str]
) -> list[Made]:
    """One index, several runs over it."""
    place.folder.mkdir(parents=True)
    index = system.index(place)
    made = []
    for name, mode, more in searches:
        cost, answers = system.again(place, queries, mode, DEPTH, more)
        print(f"{name}: index {index.cpu_seconds:.1f} CPU s, search {cost.cpu_seconds:.1f} CPU s", flush=True)
        made.append(Made(name, index, cost, answers))
    return made


def reference(args: argparse.Namespace, folder: Path, queries: Mapping[str, str]) -> Made:
    """sentence-transformers and exact search over the same texts."""
    peer = Peer("reference", "st_faiss.py", str(args.peers_python), model_folder(str(args.peers_python)))
    place = Place(folder, args.work / peer.name)
    place.folder.mkdir(parents=True)
    first = dict(list(queries.items())[:1])
    index = peer.first(place, first)["dense"]
    search, answers = peer.again(place, queries, "dense", DEPTH)
    return Made("sentence-transformers, float32", index, search, answers)


def compared(made: Sequence[Made], qrels: Mapping[str, Mapping[str, int]], seed: int) -> list[dict[str, Any]]:
    """Means of each run, and their differences to the dense one. numpy is imported here, after all measuring."""
    from scoring import difference, per_query

    values = {run.name: per_query(run.answers, qrels, METRICS) for run in made}
    rows = []
    for run in made:
        metrics = {}
        for metric in METRICS:
            own, base = values[run.name][metric], values[BASE][metric]
            delta, low, high = difference(own, base, seed=seed)
            mean = sum(own.values()) / len(own)
            metrics[metric] = {"mean": mean, "minus_dense": delta, "low": low, "high": high}
        costs = {"index_cpu_seconds": run.index.cpu_seconds, "search_cpu_seconds": run.search.cpu_seconds}
        rows.append({"run": run.name, "metrics": metrics, **costs, "answered": sum(map(bool, run.answers.values()))})
    return rows


def tabulate(rows: Sequence[dict[str, Any]]) -> Table:
    """Means, with the interval of the difference to the dense run, and CPU seconds."""
    columns = [
        "run",
        *(text for metric in METRICS for text in (metric, "− dense [95%]")),
        "index CPU s",
        "queries CPU s",
    ]
    cells = []
    for row in rows:
        line = [row["run"]]
        for metric in METRICS:
            found = row["metrics"][metric]
            interval = f"{found['minus_dense']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
            line += [number(found["mean"], 4), "" if row["run"] == BASE else interval]
        cells.append([*line, number(row["index_cpu_seconds"]), number(row["search_cpu_seconds"])])
    return Table(columns, cells)


def caption(result: dict[str, Any]) -> str:
    """One sentence that says where the numbers come from."""
    machine, sizes = result["machine"], result["sizes"]
    return (
        f"SciFact test, {sizes['documents']:,} abstracts, {sizes['queries']} claims; "
        f"{machine['cpu']}, {machine['cores']} cores; "
        f"intervals: paired bootstrap over queries, seed {result['args']['seed']}."
    )


if __name__ == "__main__":
    main()
