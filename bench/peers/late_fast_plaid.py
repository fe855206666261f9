"""fast-plaid on the CPU: PLAID's stages over tokens coded in bits beside their centroid."""

from pathlib import Path
from typing import Any

import late_protocol as protocol


def run(job: protocol.Job) -> dict[str, Any]:
    """Build in the folder of the job, then search with `n_full_scores` and `n_ivf_probe`."""
    import torch
    from fast_plaid import search

    torch.set_num_threads(1)
    engine = search.FastPlaid(index=job["index"], device="cpu")
    built = protocol.Built()
    if not any(Path(job["index"]).glob("*.npy")):
        given = [torch.from_numpy(one) for one in protocol.documents(job)]
        with built:
            engine.create(documents_embeddings=given, nbits=job["bits"])

    def one(query: protocol.Floats) -> list[int]:
        asked = torch.from_numpy(query)[None]
        found = engine.search(
            queries_embeddings=asked,
            top_k=job["k"],
            n_full_scores=job["n_full_scores"],
            n_ivf_probe=job["n_ivf_probe"],
            show_progress=False,
        )
        return [int(row) for row, _ in found[0]]

    return {**built.told, "bytes": protocol.size_of(Path(job["index"])), **protocol.searched(job, one)}


if __name__ == "__main__":
    protocol.main(run)
