"""A model folder's network: what `retr export` wrote, or built here from safetensors, or its ONNX file, or torch's."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.graphs.wire import outside_locations
from retr.encoders.on_torch.compute import Compute
from retr.encoders.reading.exported import read_exported
from retr.encoders.reading.families import Head, is_known, read_head, read_transformer
from retr.encoders.reading.folder import inside, onnx_file
from retr.encoders.reading.record import Record, read_record
from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
from retr.encoders.reading.weights import Transformer
from retr.encoders.running.devices import asked_for, open_as_asked
from retr.encoders.running.network import ONE_TEXT, TOKENS_A_RUN, Network, open_file
from retr.encoders.running.transformer import open_transformer
from retr.retrieval.errors import Damaged, NotFound, missing_package


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A network, which files its weights are in, how it is run, and the classifier that was built beside it.

    `precision` is "as stored" where a file is run of which nothing is known.
    """

    network: Network
    files: tuple[Path, ...]
    runtime: str
    head: Head | None = None
    precision: str = "float32"


def open_network(path: Path, config: Mapping[str, Any], *, classifier: bool = False, device: str = "") -> Opened:
    """The network of a folder. BERT's family is built from weights; others need an ONNX file, or torch.

    With `classifier` the network gives logits, either itself or by `head`. What `retr export` wrote comes first. A
    `device` (or RETR_DEVICE) other than the CPU takes what can run there.
    """
    compute = asked_for(device)
    if not compute.usual:
        found = open_as_asked(path, weight_files(path), compute, classifier=classifier)
        return Opened(found.network, found.files, found.runtime, precision=found.precision)
    record = read_record(path, "cross" if classifier else "bi")
    if record is not None:
        return open_exported(path, record, classifier)
    files, onnx = weight_files(path), onnx_file(path)
    if files and is_known(config):
        tensors = read_safetensors(files)
        head = read_head(tensors, config) if classifier else None
        network, runtime = open_weights(read_transformer(tensors, config), classifier)
        return Opened(network, tuple(files), runtime, head)
    if onnx is not None:
        outside = _outside_files(onnx)  # looked at before ONNX Runtime opens any of them
        network = open_file(onnx, classifier=classifier)
        return Opened(network, (onnx, *outside), "onnxruntime", precision="as stored" if classifier else "float32")
    if not files:
        raise NotFound(_no_weights(path))
    return _open_torch(path, config, files, classifier)


def open_weights(weights: Transformer, classifier: bool) -> tuple[Network, str]:
    """The network of a transformer's weights, in int8 where any of its matrices is, and how it runs."""
    return open_transformer(weights, segments=classifier and weights.types is not None)


def open_exported(path: Path, record: Record, classifier: bool) -> Opened:
    """The network that an export chose and measured. One that torch wrote runs as it is; it reads a mask.

    Texts share its runs where the export found that they do not change each other.
    """
    file = inside(path, record.network)
    outside = _outside_files(file)
    files = (file, *outside)
    if record.built == "retr":
        weights, head = read_exported(file)
        network, runtime = open_weights(weights, classifier)
        return Opened(network, files, runtime, head, record.precision)
    given = open_file(file, classifier=classifier)
    given = replace(given, budget=TOKENS_A_RUN if record.batch_independent else ONE_TEXT)
    return Opened(given, files, "onnxruntime", precision=record.precision)


def _open_torch(path: Path, config: Mapping[str, Any], files: list[Path], classifier: bool) -> Opened:
    kind = config.get("model_type")
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise missing_package(
            "transformers", needed_for=f"A model of the type {kind!r} without ONNX file", extra="train"
        )
    from retr.encoders.on_torch.network import open_torch

    network = open_torch(path, classifier=classifier, compute=Compute())
    return Opened(network, tuple(files), "torch", precision="as stored" if classifier else "float32")


def _no_weights(path: Path) -> str:
    if (path / "pytorch_model.bin").is_file():
        return f"{path} has only pytorch_model.bin, a pickle, which is never read. Save the model as safetensors."
    names = ", ".join(sorted(item.name for item in path.iterdir())[:8])
    return f"{path} has neither model.safetensors nor model.onnx; it holds {names}. Get the folder again."


def _outside_files(onnx: Path) -> list[Path]:
    """The data files that an ONNX file refers to; one outside of its folder is an error."""
    if not onnx.stat().st_size:
        raise Damaged(f"{onnx} is empty. Get the folder again.")
    names = sorted(set(outside_locations(np.memmap(onnx, np.uint8, mode="r").data)))
    return [inside(onnx.parent, name) for name in names]
