"""How many requests do servers answer, and how long do callers wait, beside one another on this machine?

    python bench/serve.py --model FOLDER [--data BEIR] [--infinity-python PATH]
        [--clients 1,8,64 --seconds 6 --work DIR]

`retr serve` with its default model (int8) and with --model in float32, a script of FastAPI and sentence-transformers,
and infinity, are asked for the vectors of questions and of abstracts, and for the ten best documents, by so many
connections that each ask again as soon as they have their answer. One server runs at a time; the load comes from
another process on the same machine and takes its share of it. All servers but the first run the same weights.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import recording
from serve_systems import KINDS, PORT, System, all_systems, cpu_seconds, load, resident_mib, running
from tables import Table, number

from retr.retrieval.sample import sample_folder

PEERS = ["fastapi", "uvicorn", "sentence-transformers", "torch", "faiss-cpu", "orjson"]
INFINITY = ["infinity-emb", "torch", "sentence-transformers", "fastapi", "uvicorn"]
PASSAGES, WARM_SECONDS = 500, 1.0
QUESTIONS = 4000
"""More than retr remembers the vectors of (1,024), so that every search encodes its question."""
PATHS = {"question": "/v1/embeddings", "passage": "/v1/embeddings"}


def main() -> None:
    """Prepare, measure, record."""
    args = arguments()
    prepare(args)
    before = recording.machine()
    started = time.perf_counter()
    rows = [row for system in all_systems(args) for row in measured(system, args)]
    result: dict[str, Any] = {
        "args": recording.plain(vars(args)),
        "machine": before,
        "load_after": recording.machine()["load_1_minute"],
        "seconds": time.perf_counter() - started,
        "versions": {
            "retr": recording.versions(sys.executable, [*recording.retr_packages(), "fastapi", "uvicorn", "httptools"]),
            "script": recording.versions(sys.executable, PEERS),
            "infinity": recording.versions(str(args.infinity_python), INFINITY) if args.infinity_python else {},
        },
        "rows": rows,
        "documents": len((args.work / "corpus.jsonl").read_text().splitlines()),
    }
    tables = [table(rows, kind, args.clients) for kind in KINDS]
    result |= {"tables": [one.json() for one in tables], "caption": caption(result, args)}
    print(*(one.markdown() for one in tables), result["caption"], sep="\n\n")
    print(recording.record("serve", result, folder=args.results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="BEIR folder. Default: the sample that comes with retr")
    parser.add_argument("--model", type=Path, required=True, help="all-MiniLM-L6-v2 as sentence-transformers saves it")
    parser.add_argument("--infinity-python", type=Path, help="interpreter of infinity's environment")
    parser.add_argument("--clients", type=lambda text: [int(part) for part in text.split(",")], default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each cell")
    parser.add_argument("--core", type=int, help="pin each server to this core: where the machine has other work")
    parser.add_argument("--work", type=Path, default=Path("serve-work"), help="folder for indexes; kept and used again")
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    args = parser.parse_args()
    args.data = args.data or sample_folder()
    args.work = args.work.resolve()
    return args


def prepare(args: argparse.Namespace) -> None:
    """Indexes, the same vectors for the script, and the requests; what is there already is used."""
    args.work.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(recording.ROOT / "src")}
    for name, encoder in (("int8", "all-MiniLM-L6-v2"), ("float32", f"bi={args.model}")):
        command = [sys.executable, "-m", "retr", "index", str(args.data), "--index", str(args.work / name)]
        more = [] if (args.work / name).exists() else ["--encoder", encoder]
        subprocess.run([*command, "--quiet", *more], check=True, env=environment, stdout=subprocess.DEVNULL)
    code = "import sys; from serve import write_requests; write_requests(sys.argv[1], sys.argv[2])"
    here = {**environment, "PYTHONPATH": f"{environment['PYTHONPATH']}{os.pathsep}{Path(__file__).parent}"}
    subprocess.run([sys.executable, "-c", code, str(args.work), str(args.data)], check=True, env=here)


def write_requests(work: str, data: str) -> None:
    """The script's corpus and vectors, out of the float32 index, and one file of bodies a kind of request."""
    import numpy as np

    import retr
    from retr.retrieval.corpus.queries import read_queries

    folder, collection = Path(work), retr.open(Path(work) / "float32")
    documents = collection.get(collection.ids())
    texts = [f"{document.title} {document.text}".strip() for document in documents]
    rows = [{"_id": one.id, "title": one.title, "text": one.text} for one in documents]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if not (folder / "vectors.npy").exists():
        np.save(folder / "vectors.npy", collection.encoder.encode_documents(texts).values)
    asked = [query.text for query in read_queries(data)]
    questions = [f"{text} {number}" for number in range(-(-QUESTIONS // len(asked))) for text in asked]
    bodies: dict[str, list[dict[str, Any]]] = {
        "question": [{"input": [text], "model": "model"} for text in questions],
        "passage": [{"input": [text], "model": "model"} for text in texts[:PASSAGES]],
        "search dense": [{"query": text, "k": 10, "mode": "dense"} for text in questions],
        "search hybrid": [{"query": text, "k": 10, "mode": "hybrid"} for text in questions],
    }
    for kind, requests in bodies.items():
        text = "".join(json.dumps(body) + "\n" for body in requests)
        (folder / f"{kind.replace(' ', '-')}.jsonl").write_text(text, encoding="utf-8")


def measured(system: System, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row a kind of request and number of clients."""
    rows = []
    with running(system, args.work / "server.log", args.core) as pid:
        check(system)
        for kind in system.asked:
            bodies, path = args.work / f"{kind.replace(' ', '-')}.jsonl", PATHS.get(kind, "/v1/search")
            for clients in args.clients:
                load(path, clients, WARM_SECONDS, bodies)
                used = cpu_seconds(pid)
                found = dict(load(path, clients, args.seconds, bodies))
                found["cpu_ms"] = 1000 * (cpu_seconds(pid) - used) / max(1, found["answers"])
                rows.append(
                    {"system": system.name, "kind": kind, "clients": clients, **found, "mib": resident_mib(pid)}
                )
                print(f"{system.name}: {kind}, {clients} clients: {found}", file=sys.stderr, flush=True)
    return rows


def check(system: System) -> None:
    """The server gives a unit vector of 384 numbers: what is measured is the right work."""
    body = json.dumps({"input": ["a cell"], "model": "model"}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{PORT}/v1/embeddings", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        vector = json.load(answer)["data"][0]["embedding"]
    if len(vector) != 384 or abs(sum(part * part for part in vector) - 1) > 1e-3:
        raise SystemExit(f"{system.name} gives no unit vector of 384 numbers")


def table(rows: Sequence[Mapping[str, Any]], kind: str, clients: Sequence[int]) -> Table:
    """Requests a second and percentiles, side by side for each number of clients."""
    columns = [kind]
    for count in clients:
        columns += [f"{count}: requests/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms"]
    found: dict[str, list[str]] = {}
    for row in (row for row in rows if row["kind"] == kind):
        cells = [row["per_second"], row["p50"], row["p95"], row["p99"], row["cpu_ms"]]
        flaws = int(row["refused"] + row["failed"])
        shown = [number(cell) for cell in cells]
        shown[0] += f" ({flaws} refused)" if flaws else ""
        found.setdefault(row["system"], []).extend(shown)
    return Table(columns, [[name, *cells] for name, cells in found.items()])


def caption(result: Mapping[str, Any], args: argparse.Namespace) -> str:
    """Machine, sizes, and what must be known to read the tables."""
    machine = result["machine"]
    memory = {row["system"]: row["mib"] for row in result["rows"]}
    held = ", ".join(f"{name} {number(mib, 0)} MiB" for name, mib in memory.items())
    pinned = "" if args.core is None else ", each pinned to one core that other work shares"
    where = f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_1_minute']} before"
    return (
        "CPU ms is the server's CPU time for one answer, which neighbours change least. Corpus: "
        f"{args.data.name}, {result['documents']:,} documents. {where}. One server at a time{pinned}, "
        f"{args.seconds:g} s a cell after {WARM_SECONDS:g} s of warming; clients run on the same machine. Questions "
        "and passages are those of the corpus, one text a request. A search gives ten of its documents with their "
        "texts; retr's answers also have snippets. No question comes twice within what retr remembers. Memory in the "
        f"end: {held}."
    )


if __name__ == "__main__":
    main()
