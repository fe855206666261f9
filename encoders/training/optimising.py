"""AdamW over what is trained, the schedule of its learning rate, and the module made ready: low rank, checkpointing."""

from collections.abc import Mapping
from math import cos, pi
from typing import Any

import torch

from retr.encoders.training.settings import LoraSettings, TrainSettings
from retr.encoders.training.sharding import plain_name
from retr.retrieval.errors import BadInput, missing_package


def optimiser(
    module: torch.nn.Module, settings: TrainSettings, shapes: Mapping[str, torch.Size] | None = None
) -> torch.optim.AdamW:
    """AdamW, whose second group, of biases and norms (tensors of less than two dimensions), does not decay.

    `shapes` by name stand above those of parameters that are spread over processes and so are flat.
    """
    trained = [(plain_name(name), value) for name, value in module.named_parameters() if value.requires_grad]
    matrices = {name for name, value in trained if len(shapes[name] if shapes else value.shape) >= 2}
    groups = [
        {"params": [value for name, value in trained if name in matrices], "weight_decay": settings.weight_decay},
        {"params": [value for name, value in trained if name not in matrices], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=settings.precision == "float32",  # Under mixed precision Lightning clips for no fused optimiser.
    )


def rate_at(step: int, steps: int, settings: TrainSettings) -> float:
    """What the learning rate is multiplied by at a step, counted from 0, of all."""
    if settings.schedule_over == "batches":
        steps *= settings.accumulate
    warm = int(settings.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    done = (step - warm) / max(steps - warm, 1)
    root = ((warm + 1) / (step + 1)) ** 0.5
    shapes = {"constant": 1.0, "linear": 1.0 - done, "cosine": (1 + cos(pi * done)) / 2, "noam": root}
    return float(max(shapes[settings.schedule], 0.0))


def checkpoint_activations(module: torch.nn.Module) -> None:
    """Let the transformer inside keep its layers' inputs alone, and compute the rest again going backward."""
    found = [part for part in module.modules() if hasattr(part, "gradient_checkpointing_enable")]
    if not found:
        raise BadInput(
            "gradient_checkpointing is true, but the model has no transformer that can do it. Set it to false."
        )
    transformer: Any = found[0]
    transformer.gradient_checkpointing_enable({"use_reentrant": False})


def add_low_rank(module: torch.nn.Module, settings: LoraSettings) -> None:
    """Put low-rank updates beside the linear layers, in place; all else is frozen.

    What stands outside of a transformer, such as a Poly-Encoder's codes or a head, is new and learns in full.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError:
        raise missing_package("peft", needed_for="lora", extra="train") from None
    if any("lora_" in name for name, _ in module.named_parameters()):
        raise BadInput("The model has low-rank updates of its own that learn. Leave [train.lora] out, or merge them.")
    heads = _outside(module)
    linears = [
        name
        for name, part in module.named_modules()
        if isinstance(part, torch.nn.Linear) and not any(value is part.weight for value in heads)
    ]
    chosen = [name for name in linears if name.endswith(settings.targets)] if settings.targets else linears
    if not chosen:
        raise BadInput(f"lora: no linear layer ends in {list(settings.targets)}. There are such as {linears[:3]}.")
    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=chosen
    )
    inject_adapter_in_model(config, module)
    for value in heads:
        value.requires_grad_(True)


def _outside(module: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The parameters outside of all of transformers' encoders; none where there is no such encoder."""
    found: list[Any] = [part for part in module.modules() if hasattr(part, "base_model_prefix")]
    inside = {value for part in found for value in getattr(part, part.base_model_prefix, part).parameters()}
    return [value for value in module.parameters() if value not in inside] if found else []


def merge_low_rank(module: torch.nn.Module) -> None:
    """Add the updates into the weights and take them away, in place: the module is as it was, but trained."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, part in list(module.named_modules()):
        if isinstance(part, BaseTunerLayer):
            layer: Any = part
            layer.merge()
            owner, _, last = name.rpartition(".")
            setattr(module.get_submodule(owner), last, layer.get_base_layer())
    module.requires_grad_(True)
