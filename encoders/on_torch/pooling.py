"""States of texts end to end to one vector a text, on the device where they are."""

from collections.abc import Callable, Sequence

import torch

from retr.encoders.on_torch.packing import Packing

POOLINGS: dict[str, Callable[[torch.Tensor, int], torch.Tensor]] = {
    "cls": lambda states, skip: states[:, skip],
    "max": lambda states, skip: states[:, skip:].amax(dim=1),
    "mean": lambda states, skip: states[:, skip:].mean(dim=1),
    "mean_sqrt_len_tokens": lambda states, skip: states[:, skip:].sum(dim=1) / (states.shape[1] - skip) ** 0.5,
    "weightedmean": lambda states, skip: _weighted_mean(states, skip),
    "lasttoken": lambda states, skip: states[:, -1],
}
"""The same names and meanings as `running.pooling.POOLINGS`, which is their oracle."""


def _weighted_mean(states: torch.Tensor, skip: int) -> torch.Tensor:
    weights = torch.arange(skip + 1, states.shape[1] + 1, dtype=states.dtype, device=states.device)
    return torch.einsum("nth,t->nh", states[:, skip:], weights) / weights.sum()


def pool_packed(states: torch.Tensor, packing: Packing, modes: Sequence[str], skip: int = 0) -> torch.Tensor:
    """[tokens, dim] to float32 [texts, dim x modes]: the poolings side by side, without each text's first `skip`.

    One run of equal lengths at a time: a text's vector is summed in one order, whatever stands beside it, and torch's
    own `segment_reduce` took 16 times as long on a CPU.
    """
    parts = []
    for run in packing.runs:
        part = states[run.tokens].view(run.texts, run.length, -1).float()
        kept = min(skip, run.length - 1)
        parts.append(torch.cat([POOLINGS[mode](part, kept) for mode in modes], dim=1))
    return torch.cat(parts)
