"""Where vectors are to be searched, as a user says it, and why that cannot be."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from retr.index.dense.engine import faiss
from retr.retrieval.errors import BadInput

Search = Literal["kind", "flat", "cagra"]
Spread = Literal["shard", "replicate"]

_FORM = re.compile(r"cuda(?::(\d+(?:,\d+)*))?(?:\+(flat|cagra))?(?:\+(replicate))?")


@dataclass(frozen=True, slots=True)
class Device:
    """Where vectors are searched. No GPUs: the CPU.

    `search` is by the part's own lists where it has some and by comparing all vectors where not (`kind`), always by
    comparing all (`flat`), or by the CAGRA graph (arXiv 2308.15136), which only builds of FAISS with cuVS have. Over
    several GPUs, vectors are cut into shards, or each GPU holds all and takes a share of the queries.
    """

    gpus: tuple[int, ...] = ()
    search: Search = "kind"
    spread: Spread = "shard"

    def __post_init__(self) -> None:
        if self.search not in get_args(Search):
            raise BadInput(f"A GPU searches by {', '.join(get_args(Search))}; got {self.search!r}.")
        if self.spread not in get_args(Spread):
            raise BadInput(f"Several GPUs {' or '.join(get_args(Spread))}; got {self.spread!r}.")
        if self.search == "cagra" and len(self.gpus) > 1:
            raise BadInput("CAGRA searches on one GPU. Name one, such as cuda:0, or use the flat search.")

    @classmethod
    def parse(cls, text: str) -> "Device":
        """`cpu`, `cuda` (every GPU there is), `cuda:1`, `cuda:0,1`; then `+flat` or `+cagra`, and `+replicate`."""
        if text == "cpu":
            return cls()
        match = _FORM.fullmatch(text)
        if match is None:
            raise BadInput(
                f"A device is cpu, cuda, cuda:N or cuda:N,M, with +flat, +cagra or +replicate after it where wanted; "
                f"got {text!r}."
            )
        search: Search = "cagra" if match[2] == "cagra" else "flat" if match[2] == "flat" else "kind"
        spread: Spread = "replicate" if match[3] else "shard"
        if match[1] is not None:
            return cls(tuple(dict.fromkeys(int(number) for number in match[1].split(","))), search, spread)
        count = 1 if search == "cagra" else max(1, gpus_here())
        return cls(tuple(range(count)), search, spread)


def gpus_here() -> int:
    """How many GPUs FAISS can use; 0 for a build without GPU support."""
    count = getattr(faiss(), "get_num_gpus", None)
    return 0 if count is None or not hasattr(faiss(), "StandardGpuResources") else int(count())


def obstacle(device: Device) -> str:
    """Why vectors cannot be moved to the device; empty when they can."""
    from retr.index.dense.gpu.cards import forked

    if not hasattr(faiss(), "StandardGpuResources"):
        return "this FAISS has no GPU support (faiss-cpu is installed; see docs/gpu.md for faiss-gpu)"
    if forked():
        return "this process was forked from one that uses a GPU, which CUDA does not allow; start it afresh (spawn)"
    here = gpus_here()
    missing = [number for number in device.gpus if number >= here]
    if missing:
        return f"there is no GPU {missing[0]}; FAISS sees {here}"
    if device.search == "cagra" and not hasattr(faiss(), "GpuIndexCagra"):
        return "this FAISS was built without cuVS, so it has no CAGRA (see docs/gpu.md for faiss-gpu-cuvs)"
    return ""
