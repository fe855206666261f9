"""Where a model runs and in which precision: what a user asks for, and what this machine has."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from retr.retrieval.errors import BadInput, NotFound

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "float32", "float16", "bfloat16"]

DEVICES = "cpu, cuda, cuda:N, mps or auto"
NATIVE = {
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}
"""Flags of which a CPU must have one, or a matrix product is emulated: measured five times slower than float32."""

_FORM = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


@dataclass(frozen=True, slots=True)
class Compute:
    """A device and a precision as asked for; `place` finds out what they mean here.

    The device `auto` is a GPU where there is one. The precision `auto` is float32 on a CPU, whatever instructions it
    has, and float16 on a GPU. float16 stays within 1e-2 of float32, relative to a vector's length, and bfloat16 within
    2e-2. On a CPU they need the instructions (with AVX512_BF16, bfloat16 measured 2.6 to 3 times as fast as float32).
    """

    device: str = "cpu"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if _FORM.fullmatch(self.device) is None:
            raise BadInput(f"A device is {DEVICES}; got {self.device!r}.")
        if self.precision not in get_args(Precision):
            raise BadInput(f"A precision is {', '.join(get_args(Precision))}; got {self.precision!r}.")

    @classmethod
    def asked(cls, text: str = "") -> "Compute":
        """`cuda:1`, or with a precision `cuda:1+bfloat16`; of an empty text, what RETR_DEVICE says, else the CPU."""
        if text:
            return cls._parse(text)
        named = os.environ.get("RETR_DEVICE", "").strip()
        try:
            return cls._parse(named or "cpu")
        except BadInput as error:
            raise BadInput(f"RETR_DEVICE is {named!r}. {error} Or unset it to use the CPU.") from None

    @classmethod
    def _parse(cls, text: str) -> "Compute":
        device, plus, precision = text.partition("+")
        return cls(device, cast(Precision, precision) if plus else "auto")

    @property
    def usual(self) -> bool:
        """Whether nothing but the CPU in float32 is asked for."""
        return self.device == "cpu" and self.precision in ("auto", "float32")

    def place(self) -> "Placement":
        """The torch device and the number format; NotFound when this machine has no such device."""
        import torch

        device = torch.device(_best() if self.device == "auto" else self.device)
        _check_present(device)
        default = "float32" if device.type == "cpu" else "float16"
        name = default if self.precision == "auto" else self.precision
        if device.type == "cpu":
            _check_native(name, cpu_flags())
        return Placement(device, getattr(torch, name))


@dataclass(frozen=True, slots=True)
class Placement:
    """A device that is there, and the number format of weights and states on it."""

    device: "torch.device"
    dtype: "torch.dtype"

    @property
    def precision(self) -> str:
        """`float32`, `float16` or `bfloat16`."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def on_cpu(self) -> bool:
        """Whether it is the CPU, where each core takes batches of its own."""
        return self.device.type == "cpu"


def _best() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check_present(device: "torch.device") -> None:
    import torch

    if device.type == "mps" and not torch.backends.mps.is_available():
        raise NotFound("The device mps is not there: this torch or this machine has no Metal. Use cpu, or auto.")
    if device.type != "cuda":
        return
    if not torch.cuda.is_available():
        reason = "this torch is a build for CPUs" if torch.version.cuda is None else "torch sees no GPU"
        raise NotFound(f"The device {device} is not there: {reason}. Install torch for CUDA, or use cpu, or auto.")
    count = torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        raise NotFound(f"The device {device} is not there: torch sees {count}, from cuda:0 to cuda:{count - 1}.")


def cpu_flags(source: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The instruction sets that Linux names for this CPU; empty where it does not tell."""
    text = source.read_text() if source.is_file() else ""
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(match[1].split()) if match else set()


def _check_native(precision: str, flags: set[str]) -> None:
    """BadInput for half precision on a CPU that is known to lack the instructions."""
    needed = NATIVE.get(precision, set())
    if needed and flags and not needed & flags:
        raise BadInput(
            f"{precision} on this CPU would be emulated, about five times slower than float32: it has none of "
            f"{', '.join(sorted(needed))}. Use float32, or a GPU."
        )
