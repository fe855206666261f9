"""xtr-warp-rs on the CPU: tokens kept by centroid, scores summed as lists stream by."""

from pathlib import Path
from typing import Any

import late_protocol as protocol


def run(job: protocol.Job) -> dict[str, Any]:
    """Build in the folder of the job, then search with `nprobe` (0: its own choice)."""
    import torch
    from xtr_warp import XTRWarp

    torch.set_num_threads(1)
    engine, built = XTRWarp(job["index"], device="cpu"), protocol.Built()
    if not any(Path(job["index"]).glob("*")):
        given = [torch.from_numpy(one) for one in protocol.documents(job)]
        with built:
            engine.create(given, device="cpu", nbits=job["bits"], show_progress=False)
    engine.load("cpu")

    def one(query: protocol.Floats) -> list[int]:
        asked = torch.from_numpy(query)[None]
        found = engine.search(asked, top_k=job["k"], num_threads=1, nprobe=job["nprobe"] or None, show_progress=False)
        return [int(row) for row, _ in found[0]]

    return {**built.told, "bytes": protocol.size_of(Path(job["index"])), **protocol.searched(job, one)}


if __name__ == "__main__":
    protocol.main(run)
