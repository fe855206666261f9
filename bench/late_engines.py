"""The engines of bench/late.py that run in retr's own environment: a collection of token vectors, and exact MaxSim."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "peers"))

import late_protocol as protocol
import numpy as np

DIM = 128


class Files:
    """An encoder whose documents' texts are their numbers: their tokens come from the files."""

    dim, similarity, fingerprint = DIM, "maxsim", "files"

    def __init__(self, job: protocol.Job) -> None:
        self._documents = protocol.documents(job)

    def encode_documents(self, texts: Sequence[str]) -> Any:
        from retr.retrieval.embeddings import TokenVectors

        chosen = [np.zeros((1, DIM), np.float32) + DIM**-0.5] if "golden" in str(texts) else []
        chosen = chosen or [self._documents[int(text)] for text in texts]
        return TokenVectors(np.concatenate(chosen), np.cumsum([0, *map(len, chosen)]).astype(np.int64))

    encode_queries = encode_documents


def collection(job: protocol.Job) -> dict[str, Any]:
    """`retr index`, its postings and documents among it, merged into one segment; searched by its token index alone."""
    from retr.index.collection import Collection
    from retr.index.late.settings import Effort, LateSettings
    from retr.index.settings import CollectionSettings
    from retr.retrieval.embeddings import TokenVectors
    from retr.retrieval.records import Document

    folder, built = Path(job["index"]), protocol.Built()
    if not folder.exists():
        encoder, settings = Files(job), CollectionSettings(late=LateSettings(bits=job["bits"]))
        with built:
            made = Collection.create(folder, encoder=encoder, settings=settings)
            made.add(Document(str(row), str(row)) for row in range(int(job["documents"])))
            made.compact()
    opened = Collection.open(folder, load=lambda _: None)  # type: ignore[arg-type, return-value]
    index, facts = opened._snapshot.late, opened.describe()
    assert index is not None
    exact, effort = bool(job.get("exact")), Effort(candidates=job.get("candidates"))

    def one(query: protocol.Floats) -> list[int]:
        asked = TokenVectors(query, np.array([0, len(query)]))
        return index.search(asked, job["k"], exact=exact, effort=effort).rows[0].tolist()

    held = [segment["bits"] for segment in facts["late"]]
    size = int(facts["bytes_a_token"] * facts["tokens"])
    return {**built.told, "bytes": size, "tokens": facts["tokens"], "kept_bits": held, **protocol.searched(job, one)}


def torch_exact(job: protocol.Job) -> dict[str, Any]:
    """A matrix product with all tokens in float32, then the largest of each document's by `segment_reduce`."""
    import torch

    torch.set_num_threads(1)
    held = list(protocol.blocks(job))
    values = torch.from_numpy(np.concatenate([block for block, _ in held]))
    lengths = torch.from_numpy(np.concatenate([np.diff(ends) for _, ends in held]))
    del held

    def one(query: protocol.Floats) -> list[int]:
        with torch.inference_mode():
            similarities = values @ torch.from_numpy(query).T
            best = torch.segment_reduce(similarities, "max", lengths=lengths, axis=0, unsafe=True)
            return torch.topk(best.sum(1), job["k"]).indices.tolist()

    return {"bytes": values.nbytes, "tokens": len(values), **protocol.searched(job, one)}


ENGINES = {"retr": collection, "torch": torch_exact}


if __name__ == "__main__":
    engine = ENGINES[sys.argv.pop(1)]
    protocol.main(engine)
