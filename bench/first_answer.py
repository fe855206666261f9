"""From a folder of text files to the first answer, and the second answer from a new process: retr and its peers.

    RETR_DATA=… python bench/first_answer.py --peers-python …/bin/python

Every system answers the same queries over the same files with the same weights. Costs are those of whole processes,
interpreter start included; systems take turns, so that a busy minute does not hit one of them alone.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import recording
import scifact_texts
from measuring import Cost, folder_mib, run, summary
from systems import Answers, Peer, Place, Retr, System, absolute, default_command, model_folder, retr_environment
from tables import Table, number

BASELINE = "sentence-transformers + FAISS"
METRICS = ("ndcg@10", "recall@10")
Row = tuple[str, str]  # system, mode


def main() -> None:
    """Measure, print, record."""
    args = arguments()
    corpus = scifact_texts.choose(scifact_texts.load(scifact_texts.data_folder()), args.files, args.seed)
    shutil.rmtree(args.work, ignore_errors=True)
    scifact_texts.write_files(corpus.texts, args.work / "files")
    systems = [
        system for system in all_systems(args) if not args.only or any(word in system.name for word in args.only)
    ]
    before = recording.machine()
    warm_up(systems, corpus, args)
    firsts, seconds = measure(systems, corpus, args)
    places = [(system, Place(args.work / "files", folder_of(args, system))) for system in systems]
    quality = {
        row: answers for system, place in places for row, answers in answer_all(system, place, corpus.queries).items()
    }
    indexes = {system.name: about(system, place) for system, place in places}
    rows = [
        {
            "system": row[0],
            "mode": row[1],
            "first": summary(firsts[row]),
            "second": summary(seconds[row]),
            "encoded": indexes[row[0]]["encoded"],
            "metrics": scored(quality[row], corpus),
        }
        for row in firsts
    ]
    result = {
        "args": recording.plain(vars(args)),
        "machine": before,
        "load_after": recording.machine()["load_1_minute"],
        "versions": environment(args),
        "sizes": sizes(corpus),
        "rows": rows,
        "indexes": indexes,
    }
    table = tabulate(rows)
    print(table.markdown())
    print(
        recording.record(
            args.name, {**result, "tables": [table.json()], "caption": caption(result)}, folder=args.results
        )
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--peers-python",
        type=absolute,
        help="interpreter with bench/peers/requirements.txt",
        required=True,
    )
    parser.add_argument("--retr", default=default_command(), help="how retr is called")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--queries", type=int, default=5, help="second answers a repeat and system")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="*", help="systems whose name contains one of these words")
    parser.add_argument("--work", type=absolute, default=recording.ROOT / "bench" / "scratch" / "first-answer")
    parser.add_argument("--results", type=absolute, default=recording.RESULTS)
    parser.add_argument("--name", default="first-answer", help="name of the result")
    return parser.parse_args()


def all_systems(args: argparse.Namespace) -> list[System]:
    """The rows of the table."""
    python, model = str(args.peers_python), model_folder(str(args.peers_python))
    return [
        Retr("retr", args.retr),
        Retr("retr, 1 text 1 vector", args.retr, ("--chunk-tokens", "0"), ("dense",)),
        Retr("retr, float32", args.retr, ("--encoder", f"bi={model}"), ("dense",)),
        Peer(BASELINE, "st_faiss.py", python, model),
        Peer("txtai", "txtai_peer.py", python, model),
        Peer("Chroma", "chroma_peer.py", python, model),
    ]


def warm_up(systems: Sequence[System], corpus: scifact_texts.Corpus, args: argparse.Namespace) -> None:
    """A few files through every system, untimed: byte code compiled, files in the page cache."""
    few = args.work / "few"
    scifact_texts.write_files(dict(list(corpus.texts.items())[:20]), few)
    for system in systems:
        system.first(Place(few, fresh(folder_of(args, system))), {"0": "warm up"})


def measure(
    systems: Sequence[System], corpus: scifact_texts.Corpus, args: argparse.Namespace
) -> tuple[dict[Row, list[Cost]], dict[Row, list[Cost]]]:
    """Costs of first and of second answers. The systems take turns in each repeat, and for each query."""
    rows = [(system.name, mode) for system in systems for mode in system.modes]
    firsts: dict[Row, list[Cost]] = {row: [] for row in rows}
    seconds: dict[Row, list[Cost]] = {row: [] for row in rows}
    for repeat in range(args.repeats):
        opening, *others = scifact_texts.pick(corpus.queries, args.queries + 1, args.seed + repeat)
        for system in systems:
            place = Place(args.work / "files", fresh(folder_of(args, system)))
            for mode, cost in system.first(place, {opening: corpus.queries[opening]}).items():
                firsts[system.name, mode].append(cost)
                progress(repeat, system, mode, "first", cost)
        for id in others:
            for system in systems:
                for mode in system.modes:
                    place = Place(args.work / "files", folder_of(args, system))
                    cost, _ = system.again(place, {id: corpus.queries[id]}, mode)
                    seconds[system.name, mode].append(cost)
        for row, costs in seconds.items():
            print(f"repeat {repeat + 1}: {row[0]} ({row[1]}) second: {summary(costs)}", flush=True)
    return firsts, seconds


def answer_all(system: System, place: Place, queries: Any) -> dict[Row, Answers]:
    """All queries, each mode in one process: for quality, not timed."""
    return {(system.name, mode): system.again(place, queries, mode)[1] for mode in system.modes}


def scored(answers: Answers, corpus: scifact_texts.Corpus) -> dict[str, float]:
    """Means over all queries. Imported here: what is measured must be larger than this process (see measuring.py)."""
    from scoring import means

    return means(answers, corpus.qrels, METRICS)


def about(system: System, place: Place) -> dict[str, Any]:
    """Size of the index, how much was encoded for it, and what retr says of its own."""
    ours = isinstance(system, Retr)
    words = ["index", str(place.index)] if ours else ["files", str(place.source)]
    script = str(recording.ROOT / "bench" / "counting.py")
    counted = run([sys.executable, script, *words], cwd=place.folder, env=retr_environment(place.folder)).stdout
    facts: dict[str, Any] = {"index_mib": round(folder_mib(place.index), 2), "encoded": json.loads(counted)}
    return facts | ({"info": recording.plain(system.info(place))} if isinstance(system, Retr) else {})


def sizes(corpus: scifact_texts.Corpus) -> dict[str, int]:
    """How much was indexed and asked."""
    return {
        "files": len(corpus.texts),
        "bytes": sum(len(text.encode()) for text in corpus.texts.values()),
        "queries": len(corpus.queries),
        "judged_documents": len({id for judged in corpus.qrels.values() for id in judged}),
    }


def tabulate(rows: Sequence[dict[str, Any]]) -> Table:
    """Best (and median) wall and CPU seconds, how many times less CPU than the baseline, memory, quality."""
    columns = [
        "system",
        "mode",
        "first: wall s",
        "CPU s",
        "× less",
        "second: wall s",
        "CPU s",
        "× less",
        "MiB",
        "vectors",
        "tokens",
    ]
    base = next((row for row in rows if row["system"] == BASELINE), None)
    cells = []
    for row in rows:
        line = [row["system"], row["mode"]]
        for part in ("first", "second"):
            digits = 1 if part == "first" else 2
            ratio = base[part]["cpu_best"] / row[part]["cpu_best"] if base else None
            best_and_median = (
                f"{number(row[part][f'{kind}_best'], digits)} ({number(row[part][f'{kind}_median'], digits)})"
                for kind in ("wall", "cpu")
            )
            line += [*best_and_median, number(ratio)]
        memory = max(row["first"]["memory_mib"], row["second"]["memory_mib"])
        line += [number(memory, 0), *(number(row["encoded"][name], 0) for name in ("vectors", "tokens"))]
        cells.append([*line, *(number(row["metrics"][name], 4) for name in METRICS)])
    return Table([*columns, *METRICS], cells)


def environment(args: argparse.Namespace) -> dict[str, dict[str, str]]:
    """Versions on both sides."""
    words = args.retr.split()
    python = words[0] if "python" in Path(words[0]).name else None
    peers = recording.versions(str(args.peers_python), recording.peer_packages())
    return {"retr": recording.versions(python, recording.retr_packages()) if python else {}, "peers": peers}


def caption(result: dict[str, Any]) -> str:
    """One sentence that says where the numbers come from."""
    machine, sizes, args = result["machine"], result["sizes"], result["args"]
    return (
        f"{sizes['files']:,} files ({sizes['bytes'] / 1e6:.1f} MB), quality over {sizes['queries']} queries; "
        f"best (median) of {args['repeats']} first answers and of {args['repeats'] * args['queries']} second ones; "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"load {machine['load_1_minute']} before, {result['load_after']} after."
    )


def folder_of(args: argparse.Namespace, system: System) -> Path:
    """Scratch folder of a system."""
    return Path(args.work) / "".join(letter if letter.isalnum() else "-" for letter in system.name)


def fresh(folder: Path) -> Path:
    """The folder, empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def progress(repeat: int, system: System, mode: str, part: str, cost: Cost) -> None:
    """One line, so that a long run can be watched."""
    print(
        f"repeat {repeat + 1}: {system.name} ({mode}) {part}: {cost.wall_seconds:.1f} s, {cost.cpu_seconds:.1f} CPU s",
        flush=True,
    )


if __name__ == "__main__":
    main()
