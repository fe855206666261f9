"""What a strategy such as FSDP has spread over processes, put together again: weights, the optimiser's state, norms."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed

from retr.encoders.objectives.gathering import gathered_lists, processes, rank

Entries = dict[str, Tensor]
"""What an optimiser remembers of one parameter."""
WRAPPED = "_fsdp_wrapped_module."
"""What FSDP puts into the names of what it has wrapped."""


def layers_of(module: torch.nn.Module) -> set[type[torch.nn.Module]]:
    """The classes of the layers of all transformers inside: each layer is to be gathered, and let go of, by itself."""
    found: set[type[torch.nn.Module]] = set()
    for part in module.modules():
        count = getattr(getattr(part, "config", None), "num_hidden_layers", None)
        if hasattr(part, "gradient_checkpointing_enable") and count:
            lists = (inner for inner in part.modules() if isinstance(inner, torch.nn.ModuleList))
            found |= {type(layer) for inner in lists if len(inner) == count for layer in inner}
    return found


def plain_name(name: str) -> str:
    """A parameter's name as it was before FSDP wrapped anything."""
    return name.replace(WRAPPED, "")


class Pieces:
    """A module's parameters, of which each process may hold a piece: a run of the flattened numbers, in order of ranks.

    Made before the module is spread; every method but `shapes` is called by all processes together.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        self._keys = list(module.state_dict())
        named = self._named()
        self.shapes = {name: value.shape for name, value in named.items()}
        """By name, before they were spread."""
        firsts: dict[int, str] = {}
        self._same = {name: firsts.setdefault(id(value), name) for name, value in named.items()}
        self._spread: bool | None = None

    @property
    def spread(self) -> bool:
        """Whether some process holds less than all. It is found out once, when there are several processes."""
        if processes() == 1:
            return False
        if self._spread is None:
            here = any(value.shape != self.shapes[name] for name, value in self._named().items())
            self._spread = any(there for (there,) in gathered_lists([here]))
        return self._spread

    def weights(self) -> dict[str, Tensor]:
        """The whole state dict of the module."""
        if not self.spread:
            return self._module.state_dict()
        named = self._named()
        buffers = {plain_name(name): value for name, value in self._module.named_buffers(remove_duplicate=False)}
        return {name: self._whole(named[name], name) if name in named else buffers[name] for name in self._keys}

    def optimiser_state(self, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        """The state dict of an optimiser of the module, each tensor whole."""
        found: dict[str, Any] = optimiser.state_dict()
        if not self.spread:
            return found
        states: dict[int, Entries] = {}
        for number, name in enumerate(self._order(optimiser)):
            mine = {key: value.detach().cpu() for key, value in found["state"].get(number, {}).items()}
            parts = [part for (part,) in gathered_lists([mine])]
            states[number] = {
                key: self._joined(key, parts, name) for key in sorted({key for part in parts for key in part})
            }
        return {**found, "state": states}

    def own_state(self, optimiser: torch.optim.Optimizer, whole: Mapping[str, Any]) -> dict[str, Any]:
        """Of a whole state what this process holds."""
        if not self.spread:
            return dict(whole)
        named, order = self._named(), self._order(optimiser)
        sizes = gathered_lists([named[name].numel() for name in order])
        states: dict[int, Entries] = {}
        for number, name in enumerate(order):
            start = sum(of_rank[number] for of_rank in sizes[: rank()])
            end = start + sizes[rank()][number]
            entries = whole["state"].get(number, {})
            states[number] = {
                key: value if value.ndim == 0 else value.reshape(-1)[start:end].view(named[name].shape)
                for key, value in entries.items()
            }
        return {**whole, "state": states}

    def put_back(self) -> None:
        """Give the module whole parameters of its own again; the strategy must be done with it."""
        if not self.spread:
            return
        from torch.distributed.fsdp import FullyShardedDataParallel

        device = next(self._module.parameters()).device
        made: dict[str, torch.nn.Parameter] = {}
        weights = self.weights()
        for name, part in list(self._module.named_modules()):
            if isinstance(part, FullyShardedDataParallel):
                self._module.set_submodule(plain_name(name), part.module)
        for name, value in weights.items():
            if name in self.shapes:
                first = made.setdefault(self._same[name], torch.nn.Parameter(value.clone().to(device)))
                owner, _, last = name.rpartition(".")
                setattr(self._module.get_submodule(owner), last, first)
        self._spread = False

    def clip(self, most: float) -> None:
        """Scale all gradients so that the norm of all processes' pieces together is at most that."""
        gradients = [value.grad for value in self._module.parameters() if value.grad is not None]
        device = next(self._module.parameters()).device
        total = torch.stack(
            [torch.zeros((), device=device), *(part.float().square().sum() for part in gradients)]
        ).sum()
        distributed.all_reduce(total)
        scale = (most / (total.sqrt() + 1e-6)).clamp(max=1.0)
        for part in gradients:
            part.mul_(scale.to(part.dtype))

    def _named(self) -> dict[str, torch.nn.Parameter]:
        """Every parameter by each of its names, as they were before anything was spread."""
        return {plain_name(name): value for name, value in self._module.named_parameters(remove_duplicate=False)}

    def _whole(self, piece: Tensor, name: str) -> Tensor:
        parts = gathered_lists([piece.detach().reshape(-1).cpu()])
        return torch.cat([part for (part,) in parts]).view(self.shapes[name])

    def _joined(self, key: str, parts: list[Entries], name: str) -> Tensor:
        """One entry of every process that has it; a count is the same everywhere."""
        found = [part[key] for part in parts if key in part]
        if found[0].ndim == 0:
            return found[0]
        return torch.cat([value.reshape(-1) for value in found]).view(self.shapes[name])

    def _order(self, optimiser: torch.optim.Optimizer) -> list[str]:
        """The names of an optimiser's parameters, in its order."""
        names = {id(value): plain_name(name) for name, value in self._module.named_parameters()}
        return [names[id(value)] for group in optimiser.param_groups for value in group["params"]]


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if processes() > 1:
        distributed.barrier()
