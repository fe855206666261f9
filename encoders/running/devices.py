"""A model elsewhere than in float32 on the CPU: by torch from its weights, or by ONNX Runtime from a float16 file."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.on_torch.compute import Compute
from retr.encoders.running.network import Network, open_file
from retr.encoders.running.session import Ids
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged, NotFound, missing_package

HALF_FILES = ("onnx/model_fp16.onnx", "model_fp16.onnx")
"""Where a folder has its network in float16: as `retr export` writes it, and as hubs do."""

PROVIDER = "CUDAExecutionProvider"

TOKENS_A_RUN = 16_384
"""Tokens of one run of texts of equal length on a GPU."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceNetwork:
    """An ONNX file's network in half precision, whose states come back as float32."""

    network: Network
    budget: int = TOKENS_A_RUN

    def __call__(self, ids: Ids, segments: Ids) -> Floats:
        """As the network itself."""
        return np.asarray(self.network(ids, segments), np.float32)


@dataclass(frozen=True, slots=True)
class OnDevice:
    """A network, the files that its weights are in, how it is run, and the precision that its vectors are known by.

    float16 stays within 1e-2 of float32, less than what an index rounds away, so vectors of both may be mixed and
    compared: it is known as float32. bfloat16 is not.
    """

    network: Network
    files: tuple[Path, ...]
    runtime: str
    precision: str


def asked_for(device: str) -> Compute:
    """What `device`, or else RETR_DEVICE, says; `auto` as a GPU if torch or ONNX Runtime has one here, else the CPU."""
    compute = Compute.asked(device)
    if compute.device != "auto":
        return compute
    if find_spec("torch") is not None:
        return replace(compute, device=compute.place().device.type)
    import onnxruntime

    return replace(compute, device="cuda" if PROVIDER in onnxruntime.get_available_providers() else "cpu")


def open_as_asked(path: Path, weights: Sequence[Path], compute: Compute, *, classifier: bool) -> OnDevice:
    """The model of a folder on a device and in a precision: by torch where it is installed and there are `weights`.

    Otherwise by ONNX Runtime's CUDA provider, from the folder's float16 file.
    """
    half = next((path / name for name in HALF_FILES if (path / name).is_file()), None)
    if weights and find_spec("torch") is not None and find_spec("transformers") is not None:
        from retr.encoders.on_torch.network import open_torch

        network = open_torch(path, classifier=classifier, compute=compute)
        place = network.placement
        known_as = "bfloat16" if place.precision == "bfloat16" else "float32"
        return OnDevice(network, tuple(weights), f"torch on {place.device} in {place.precision}", known_as)
    if half is None:
        if weights:
            raise missing_package(
                "torch", needed_for=f"{path.name} on {compute.device} in {compute.precision} precision", extra="train"
            )
        raise NotFound(
            f"{path} has neither safetensors nor {HALF_FILES[0]}, one of which a GPU needs. "
            "Export the model in float16 with `retr export`, or use the CPU."
        )
    session = open_on_device(half, compute.device)
    file = open_file(half, classifier=classifier, session=session)
    return OnDevice(DeviceNetwork(file), (half,), f"onnxruntime on {compute.device} in float16", "float32")


def open_on_device(path: Path, device: str) -> Any:
    """An ONNX Runtime session on `cuda` or `cuda:N`; NotFound where it would silently run on the CPU instead."""
    import onnxruntime

    number = _cuda_number(device)
    if PROVIDER not in onnxruntime.get_available_providers():
        raise NotFound(
            f"This ONNX Runtime has no {PROVIDER}, which {device} needs. Install onnxruntime-gpu in the place of "
            "onnxruntime, or torch, or use the CPU."
        )
    try:
        session = onnxruntime.InferenceSession(
            str(path), cuda_session_options(), providers=[(PROVIDER, {"device_id": number})]
        )
    except Exception as error:  # ONNX Runtime's own exceptions share no public base
        raise Damaged(f"ONNX Runtime cannot open {path} on {device}: {' '.join(str(error).split())[:300]}") from None
    active = session.get_providers()
    if PROVIDER not in active:
        raise NotFound(
            f"ONNX Runtime opened {path.name} on {', '.join(active)} instead of {device}: it found no GPU, or not its "
            "CUDA and cuDNN libraries. Install those that it was built for, or use the CPU."
        )
    session.disable_fallback()  # it would go on on the CPU after an error, without a word
    return session


def cuda_session_options() -> Any:
    """One thread that feeds the GPU and sleeps between runs; no plan of memory for each length of text."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return options


def _cuda_number(device: str) -> int:
    kind, _, number = device.partition(":")
    if kind != "cuda":
        raise BadInput(f"ONNX Runtime runs here on cpu, cuda or cuda:N; got {device!r}.")
    return int(number or 0)
