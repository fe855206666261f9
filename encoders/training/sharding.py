"""What a strategy such as FSDP has spread over processes, put together again: weights, the optimiser's state, norms."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed

from retr.encoders.objectives.gathering import gathered_lists, processes, rank

Entries = dict[str, Tensor]
"""What an optimiser remembers of one parameter."""


class Pieces:
    """A module's parameters, of which each process may hold a piece: a run of the flattened numbers, in order of ranks.

    Made before the module is spread; every method but `shapes` is called by all processes together.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self._module = module
        named = dict(module.named_parameters(remove_duplicate=False))
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
            named = self._module.named_parameters(remove_duplicate=False)
            here = any(value.shape != self.shapes[name] for name, value in named)
            self._spread = any(there for (there,) in gathered_lists([here]))
        return self._spread

    def weights(self) -> dict[str, Tensor]:
        """The whole state dict of the module."""
        found = self._module.state_dict()
        if not self.spread:
            return found
        return {name: self._whole(value, name) if name in self.shapes else value for name, value in found.items()}

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
        named = dict(self._module.named_parameters())
        order = self._order(optimiser)
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
        device = next(self._module.parameters()).device
        made: dict[str, torch.nn.Parameter] = {}
        for name, value in self.weights().items():
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
        names = {id(value): name for name, value in self._module.named_parameters()}
        return [names[id(value)] for group in optimiser.param_groups for value in group["params"]]


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if processes() > 1:
        distributed.barrier()
