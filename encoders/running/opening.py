"""A model folder's network: built here from safetensors, or from its ONNX file, or run by torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.graphs.transformer import build
from retr.encoders.graphs.wire import outside_locations
from retr.encoders.reading.families import Head, is_known, read_head, read_transformer
from retr.encoders.reading.folder import inside, onnx_file
from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
from retr.encoders.running.network import TOKENS_A_RUN, Network, open_built, open_file
from retr.retrieval.errors import Damaged, NotFound, missing_package


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A network, which files its weights are in, how it is run, and the classifier that was built beside it."""

    network: Network
    files: tuple[Path, ...]
    runtime: str
    head: Head | None = None


def open_network(path: Path, config: Mapping[str, Any], *, classifier: bool = False) -> Opened:
    """The network of a folder. BERT's family is built from safetensors; others need an ONNX file, or torch.

    With `classifier` the network gives logits, either itself or by `head`.
    """
    files, onnx = weight_files(path), onnx_file(path)
    if files and is_known(config):
        tensors = read_safetensors(files)
        weights = read_transformer(tensors, config)
        segments = classifier and weights.types is not None
        network = open_built(build(weights, linears="float32", segments=segments), TOKENS_A_RUN)
        return Opened(network, tuple(files), "onnxruntime", read_head(tensors, config) if classifier else None)
    if onnx is not None:
        outside = _outside_files(onnx)  # looked at before ONNX Runtime opens any of them
        return Opened(open_file(onnx, classifier=classifier), (onnx, *outside), "onnxruntime")
    if not files:
        raise NotFound(_no_weights(path))
    return _open_torch(path, config, files, classifier)


def _open_torch(path: Path, config: Mapping[str, Any], files: list[Path], classifier: bool) -> Opened:
    kind = config.get("model_type")
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise missing_package(
            "transformers", needed_for=f"A model of the type {kind!r} without ONNX file", extra="train"
        )
    from retr.encoders.running.torch_network import open_torch

    return Opened(open_torch(path, classifier=classifier), tuple(files), "torch")


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
