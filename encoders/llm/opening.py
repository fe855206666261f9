"""A decoder opened to serve: on torch, its direction proven, as texts end to end where the model takes them so."""

import inspect
from typing import Any

import torch

from retr.encoders.llm.canary import prove_direction
from retr.encoders.llm.folder import POOLING_FILE, LlmFolder
from retr.encoders.llm.latent import LatentPooling
from retr.encoders.llm.loading import Attention, Loading, load_model, window_of
from retr.encoders.llm.network import LlmNetwork
from retr.encoders.llm.settings import LATENT_LAYERS
from retr.encoders.on_torch.compute import Compute, Placement
from retr.encoders.on_torch.network import TOKENS_ON_GPU, TorchNetwork, network_of
from retr.encoders.running.opening import Opened
from retr.retrieval.errors import BadInput, Damaged, NotFound

BITS = {"int8": 8, "int4": 4}
"""What may stand behind a device, as in `cuda+int4`, to the bits of a weight."""

ATTENTIONS: tuple[Attention, ...] = ("auto", "eager")
"""Tried in this order: some models look the right way in one of them alone."""


def open_llm_network(folder: LlmFolder, device: str = "") -> Opened:
    """The network of a decoder's folder; BadInput where no attention of the model looks the way it is told to."""
    where, _, precision = device.partition("+")
    bits = BITS.get(precision, 0)
    if bits:
        network, told = _quantised(folder, where, bits), f"{precision} weights, bfloat16"
    else:
        placement = Compute.asked(device).place()
        network, told = network_of(proven_model(folder), placement), placement.precision
    pooling = open_pooling(folder, network.model)
    if pooling is not None:
        pooling = pooling.requires_grad_(False).eval().to(network.placement.device)
    runtime = f"torch on {network.placement.device}"
    return Opened(LlmNetwork(network, folder.table, pooling), folder.weight_files, runtime, precision=told)


def proven_model(folder: LlmFolder, bits: int = 0) -> Any:
    """The model with the first attention in which it looks the way it is told to; in float32 unless of few bits."""
    window = window_of(folder)
    for attention in ATTENTIONS:
        model = load_model(folder, Loading(attention=attention, bits=bits))
        try:
            _prove(model, folder, window)
        except BadInput:
            if attention == ATTENTIONS[-1]:
                raise
            continue
        return model
    raise AssertionError("the last attention returns or raises")


def open_pooling(folder: LlmFolder, model: Any) -> LatentPooling | None:
    """The learned pooling of a folder; None where its pooling is a rule."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    shape = folder.table.latent
    if shape is None:
        return None
    layers = int(model.config.num_hidden_layers) if folder.table.pooling == LATENT_LAYERS else 0
    pooling, file = LatentPooling(int(model.config.hidden_size), shape, layers), folder.path / POOLING_FILE
    try:
        pooling.load_state_dict(load_file(str(file)))
    except (SafetensorError, RuntimeError, ValueError, FileNotFoundError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Damaged(f"{file} does not fit its model ({reason}). Get the folder again.") from None
    return pooling


def _prove(model: Any, folder: LlmFolder, window: int) -> None:
    def states(ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model(input_ids=ids).last_hidden_state
        return found

    prove_direction(states, model, folder.table.attention, window, folder.table.max_tokens)


def _quantised(folder: LlmFolder, device: str, bits: int) -> TorchNetwork:
    """Weights of few bits, which cannot be moved: texts of equal length share a run."""
    if device not in ("cuda", "auto"):
        raise NotFound(
            f"Weights of {bits} bits run on an NVIDIA GPU alone; got the device {device!r}. Use cuda+int{bits}."
        )
    model = proven_model(folder, bits).requires_grad_(False)
    inputs = frozenset(inspect.signature(model.forward).parameters)
    return TorchNetwork(model, False, inputs, Placement(model.device, torch.bfloat16), None, TOKENS_ON_GPU)
