"""A run's state on disk, from which it goes on to the very same weights: safetensors and JSON, never a pickle."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from retr.encoders.bulk.folder import sync_folder
from retr.retrieval.errors import Damaged

FORMAT = 1
_PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class State:
    """Everything that the next step depends on, after `step` steps; random numbers come from the seed and the step.

    `best` is the best validation and `best_step` when it was; `worse` how many in a row were no better since.
    """

    step: int
    weights: Mapping[str, torch.Tensor]
    optimiser: Mapping[str, Any]
    scaler: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None
    best_step: int = 0
    worse: int = 0


def save_state(folder: Path, state: State) -> None:
    """Write a state beside the older ones, durably, and only then remove them: a kill always leaves a whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{_PREFIX}{state.step:09}"
    unfinished = folder / f".{target.name}.tmp"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    tensors, groups = _flat(state.optimiser)
    save_file(_owned(state.weights), unfinished / "weights.safetensors")
    save_file(tensors, unfinished / "optimiser.safetensors")
    facts = {"format": FORMAT, "step": state.step, "groups": groups, "scaler": dict(state.scaler)}
    facts |= {"best": state.best, "best_step": state.best_step, "worse": state.worse}
    (unfinished / "state.json").write_text(json.dumps(facts, indent=1) + "\n")
    for path in unfinished.iterdir():
        _sync(path)
    sync_folder(unfinished)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(unfinished, target)
    sync_folder(folder)
    for path in folder.glob(f"{_PREFIX}*"):
        if path != target:
            shutil.rmtree(path, ignore_errors=True)


def latest_state(folder: Path) -> State | None:
    """The newest state; None where the run has not come to one. Damaged for a state that cannot be read."""
    found = sorted(folder.glob(f"{_PREFIX}*"))
    if not found:
        return None
    place = found[-1]
    try:
        facts = json.loads((place / "state.json").read_text())
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']}")
        optimiser = _deep(load_file(place / "optimiser.safetensors"), facts["groups"])
        weights = load_file(place / "weights.safetensors")
        names = ("step", "scaler", "best", "best_step", "worse")
        return State(weights=weights, optimiser=optimiser, **{name: facts[name] for name in names})
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Damaged(
            f"{str(place)!r} is no whole state: {reason}. Remove {str(folder.parent)!r} to begin anew."
        ) from None


def save_best(folder: Path, weights: Mapping[str, torch.Tensor], step: int) -> None:
    """The weights of the best validation so far, beside those of the one before, which an older state may name."""
    unfinished = folder / "best.tmp"
    save_file(_owned(weights), unfinished)
    unfinished.replace(folder / f"best-{step:09}.safetensors")


def forget_best_but(folder: Path, step: int) -> None:
    """Remove the weights of validations that no state names any more."""
    for path in folder.glob("best-*.safetensors"):
        if path.name != f"best-{step:09}.safetensors":
            path.unlink(missing_ok=True)


def load_best(folder: Path, module: torch.nn.Module, step: int) -> None:
    """Put the weights of the validation at that step back into the module."""
    module.load_state_dict(load_file(folder / f"best-{step:09}.safetensors"))


def _flat(optimiser: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """An optimiser's state as tensors by `number/name`, and its groups, which are JSON."""
    tensors = {
        f"{number}/{name}": value.detach().cpu().contiguous()
        for number, values in optimiser["state"].items()
        for name, value in values.items()
    }
    return tensors, optimiser["param_groups"]


def _deep(tensors: Mapping[str, torch.Tensor], groups: list[dict[str, Any]]) -> dict[str, Any]:
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        number, _, last = name.partition("/")
        states.setdefault(int(number), {})[last] = value
    return {"state": states, "param_groups": groups}


def _owned(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each tensor in memory of its own, as safetensors wants it; tied weights are written twice."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in weights.items()}


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
