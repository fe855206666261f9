"""Which part lies on which GPU, or why it does not; what was moved once is not moved again."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from retr.index.dense.gpu.moving import first_line
from retr.index.late.gpu.arithmetic import exact_way
from retr.index.late.gpu.memory import free_bytes, shortage
from retr.index.late.gpu.resident import Resident, moved, resident_codec
from retr.index.late.part import LatePart

if TYPE_CHECKING:
    import torch

    from retr.index.dense.gpu import Device


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a part is searched: on a GPU, or (`tokens` is None) on the CPU for the reason that `where` tells."""

    where: str
    gpu: int | None = None
    tokens: Resident | None = None


# Of the part itself nothing is kept here: what is moved goes when the part does.
_placed: WeakKeyDictionary[LatePart, dict[tuple[int, ...], Place]] = WeakKeyDictionary()
_moving = Lock()
_turns: dict[int, Lock] = {}
_used, _forked = False, False
_parents: list[dict[tuple[int, ...], Place]] = []


def placed(part: LatePart, device: "Device") -> Place:
    """Where the part is searched when GPUs are asked for; moved there at the first call.

    Of several GPUs a part lies on the one that has most room. How vectors of passages are spread over GPUs and searched
    there does not count for tokens.
    """
    with _moving:
        known = _placed.setdefault(part, {})
        if device.gpus not in known:
            known[device.gpus] = _move(part, device.gpus)
        return known[device.gpus]


def obstacle(gpus: tuple[int, ...]) -> str:
    """Why tokens cannot be moved to these GPUs; empty when they can."""
    if find_spec("torch") is None:
        return "torch is not installed, by which tokens are searched on a GPU; pip install torch"
    if forked():
        return "this process was forked from one that uses a GPU, which CUDA does not allow; start it afresh (spawn)"
    import torch

    if not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no GPU, and tokens are searched on one by torch"
    here = torch.cuda.device_count()
    missing = [number for number in gpus if number >= here]
    return f"there is no GPU {missing[0]} for tokens; torch sees {here}" if missing else ""


def device_of(gpu: int) -> "torch.device":
    """torch's name for a GPU."""
    import torch

    return torch.device("cuda", gpu)


def forked() -> bool:
    """Whether this process was forked from one that used a GPU."""
    return _forked


def turn(gpu: int) -> Lock:
    """Held by who searches on a GPU, so that its scratch memory is taken once."""
    return _turns.setdefault(gpu, Lock())


def _move(part: LatePart, gpus: tuple[int, ...]) -> Place:
    global _used
    reason = obstacle(gpus)
    if reason:
        return Place(f"CPU: {reason}")
    try:
        gpu = max(gpus, key=lambda number: free_bytes(device_of(number)) or 0)
        device, name = device_of(gpu), f"GPU {gpu}"
        _used = _used or device.type == "cuda"
        reason = shortage(part, device, name)
        if reason:
            return Place(f"CPU: {reason}")
        way = exact_way(device, part.codec.dim)
        if way is None:
            return Place(f"CPU: {name} gives no exact products of whole numbers, and tokens' scores need them")
        tokens = moved(part, resident_codec(part.codec, device, way))
    except RuntimeError as error:  # Out of the GPU's memory, or a driver that is too old.
        return Place(f"CPU: torch could not move the tokens ({first_line(error)})")
    return Place(f"tokens of {part.codec.bits} bits on {name}", gpu, tokens)


def _leave_to_parent() -> None:
    """In a forked process: forget locks that nobody there will open, and what is moved, but without freeing it."""
    global _moving, _forked
    _moving, _forked = Lock(), _forked or _used
    _turns.clear()
    _parents.extend(_placed.values())
    _placed.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
