"""Does a folder grow when half of it is deleted and added again, round after round? And is what was deleted gone?

    python bench/churn.py [--documents 50000 --rounds 20 --kind auto]

Reads the real vectors and texts that `index_vectors.py` made. In every round a random half of the documents is deleted
and added again with other texts and vectors; at the end a twentieth is deleted for good. Sizes are those of all files
of the folder, each inode once, as a multiple of a fresh build of the same documents.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import recording
from numpy.typing import NDArray
from tables import Table
from tables import number as shown

import retr
from retr.index.erasing.erasure import compact_verified
from retr.index.lexical.postings import passages_in
from retr.index.writing.compaction import folder_bytes

MEBI = 1 << 20
QUERIES = 200
DELETED_LAST = 20
"""Each so-manieth document is deleted before the compaction, which would have nothing to erase otherwise."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Texts and vectors to draw from; the same row gives the same document."""

    texts: list[str]
    vectors: NDArray[np.float32]

    def documents(self, numbers: NDArray[np.int64], version: int) -> tuple[list[retr.Document], NDArray[np.float32]]:
        """Documents by number, in a version; each version has other rows of the pool."""
        rows = (numbers + version * 37_003) % len(self.texts)
        found = [
            retr.Document(f"doc-{number:06d}", self.texts[row], metadata={"version": version, "number": int(number)})
            for number, row in zip(numbers.tolist(), rows.tolist(), strict=True)
        ]
        return found, self.vectors[rows]


def main() -> None:
    """Churn, compact, prove, record."""
    args = arguments()
    pool = read_pool(args.vectors)
    folder = args.work / "churn"
    before = recording.machine()
    shutil.rmtree(folder, ignore_errors=True)
    numbers = np.arange(args.documents)
    collection = new(folder, pool, args.kind)
    documents, vectors = pool.documents(numbers, 0)
    collection.add(documents, vectors=vectors)
    rounds = []
    for one in churned(collection, pool, numbers, args.rounds):
        rounds.append(one)
        print(one, flush=True)
    collection.delete([f"doc-{number:06d}" for number in numbers[::DELETED_LAST]])
    numbers = np.delete(numbers, np.s_[::DELETED_LAST])
    end = ended(collection, np.load(args.vectors / "queries.npy")[:QUERIES])
    latest = np.array([one.metadata["version"] for one in collection.get([f"doc-{n:06d}" for n in numbers])])
    shutil.rmtree(folder)
    fresh = fresh_bytes(folder, pool, numbers, latest, args.kind)
    shutil.rmtree(folder)
    result = {
        "args": recording.plain(vars(args)),
        "machine": before,
        "machine_after": recording.machine(),
        "versions": {"retr": recording.versions(sys.executable, recording.retr_packages())},
        "documents": args.documents,
        "documents_left": len(numbers),
        "dim": pool.vectors.shape[1],
        "fresh_mib": fresh / MEBI,
        "rounds": [{**one, "of_fresh": one["mib"] * MEBI / fresh} for one in rounds],
        **end,
        "compacted_of_fresh": end["compacted_mib"] * MEBI / fresh,
    }
    result |= {"tables": [tabulate(result).json()], "caption": caption(result)}
    print(tabulate(result).markdown(), result["caption"], sep="\n\n")
    print(recording.record("churn", result, folder=args.results))


def tabulate(result: Mapping[str, Any]) -> Table:
    """Size and state after some of the rounds, and after the compaction."""
    rounds = result["rounds"]
    rows = [
        [
            f"after round {one['round']}",
            shown(one["mib"]),
            shown(one["of_fresh"], 3),
            str(len(one["segments"])),
            shown(one["delete_seconds"], 1),
            shown(one["add_seconds"], 1),
        ]
        for one in rounds
        if one["round"] in (1, 5, 10, 15, len(rounds))
    ]
    compacted = [shown(result["compacted_mib"]), shown(result["compacted_of_fresh"], 3), "-", "-", "-"]
    return Table(
        ["folder", "MiB", "× fresh", "segments", "delete, s", "add, s"],
        [*rows, ["compacted", *compacted], ["fresh", shown(result["fresh_mib"]), "1.000", "-", "-", "-"]],
    )


def caption(result: Mapping[str, Any]) -> str:
    """What was done, what was proved, and on which machine."""
    proof, found = result["proof"], result["recall_at_10"]
    largest = max(one["of_fresh"] for one in result["rounds"])
    did = f"{result['documents']:,} documents of {result['dim']} numbers, {len(result['rounds'])} rounds; the largest"
    pieces, seconds = sum(proof["probes"].values()), result["compact_and_prove_seconds"]
    recall = f"{found['churned']:.4f} before the compaction, {found['compacted']:.4f} after it"
    return (
        f"{did} folder was {largest:.3f} times a fresh one. Then {proof['deleted_documents']:,} documents were deleted "
        f"for good: compacting and proving took {seconds:.1f} s; {pieces:,} pieces of {proof['sampled']:,} of them "
        f"were looked for in {proof['searched_mib']:.0f} MiB, {proof['found']} found. Recall@10 {recall}. "
        f"{result['machine']['cpu']}, {result['machine']['cores']} cores; load {result['machine']['load_1_minute']} "
        f"before, {result['machine_after']['load_1_minute']} after."
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scratch = recording.ROOT / "bench" / "scratch"
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kind", default="auto")
    parser.add_argument("--vectors", type=Path, default=scratch / "vectors", help="Written by index_vectors.py.")
    parser.add_argument("--work", type=Path, default=scratch)
    parser.add_argument("--results", type=Path, default=recording.RESULTS)
    return parser.parse_args()


def read_pool(folder: Path) -> Pool:
    """The largest matrix of `index_vectors.py`, and its texts row by row."""
    import pyarrow.parquet as pq

    vectors = max(folder.glob("*k.npy"), key=lambda path: path.stat().st_size)
    values = np.load(vectors, mmap_mode="r")
    texts = pq.read_table(folder / "meta.parquet", columns=["text"]).column("text").to_pylist()
    return Pool(texts[: len(values)], values)


def new(folder: Path, pool: Pool, kind: Any) -> retr.Collection:
    """An empty collection for given vectors."""
    settings = retr.CollectionSettings(dense=retr.DenseSettings(kind=kind))
    return retr.create(folder, encoder=retr.GivenVectors(pool.vectors.shape[1]), settings=settings)


def churned(
    collection: retr.Collection, pool: Pool, numbers: NDArray[np.int64], rounds: int
) -> Iterator[dict[str, Any]]:
    """Delete and add a random half, and say what the folder is like after it."""
    rng = np.random.default_rng(0)
    for version in range(1, rounds + 1):
        chosen = np.sort(rng.choice(len(numbers), len(numbers) // 2, replace=False))
        started = time.perf_counter()
        collection.delete([f"doc-{number:06d}" for number in chosen])
        deleted = time.perf_counter()
        documents, vectors = pool.documents(chosen, version)
        collection.add(documents, vectors=vectors)
        ended = time.perf_counter()
        manifest = collection.manifest
        postings, dead = passages_in(collection.folder / manifest.lexical_folder)
        yield {
            "round": version,
            "mib": folder_bytes(collection.folder) / MEBI,
            "live_generation_mib": sum(facts.bytes for facts in manifest.files().values()) / MEBI,
            "segments": [segment.documents for segment in manifest.segments],
            "dead_documents": manifest.next_document - manifest.live_documents,
            "postings": postings,
            "dead_postings": dead,
            "delete_seconds": deleted - started,
            "add_seconds": ended - deleted,
        }


def ended(collection: retr.Collection, queries: NDArray[np.float32]) -> dict[str, Any]:
    """What a compaction leaves, what the proof of erasure searched and found, and how good the answers are."""
    before = recall(collection, queries)
    started = time.perf_counter()
    report, proof = compact_verified(collection)
    seconds = time.perf_counter() - started
    return {
        "compacted_mib": report.bytes / MEBI,
        "compact_and_prove_seconds": seconds,
        "proof": {
            "erased": proof.erased,
            "deleted_documents": proof.documents,
            "sampled": proof.sampled,
            "probes": dict(proof.probes),
            "searched_mib": proof.bytes_searched / MEBI,
            "found": len(proof.found),
        },
        "recall_at_10": {"churned": before, "compacted": recall(collection, queries)},
    }


def recall(collection: retr.Collection, queries: NDArray[np.float32]) -> float:
    """The share of the exact ten nearest that a search finds."""
    found, exact = collection.nearest(queries), collection.nearest(queries, exact=True)
    shared = [len({one.id for one in ours} & {one.id for one in best}) for ours, best in zip(found, exact, strict=True)]
    return sum(shared) / sum(len(best) for best in exact)


def fresh_bytes(folder: Path, pool: Pool, numbers: NDArray[np.int64], latest: NDArray[np.int64], kind: Any) -> int:
    """The size of a new folder with the very same documents."""
    collection = new(folder, pool, kind)
    documents: list[retr.Document] = []
    vectors = []
    for version in np.unique(latest).tolist():
        some, values = pool.documents(numbers[latest == version], version)
        documents += some
        vectors.append(values)
    collection.add(documents, vectors=np.concatenate(vectors))
    return folder_bytes(folder)


if __name__ == "__main__":
    main()
