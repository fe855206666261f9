"""Many texts to pooled vectors: sorted by length, cut into runs, each core or the GPU kept busy."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retr.encoders.on_torch.network import TorchNetwork
from retr.encoders.running.pooling import pool
from retr.encoders.running.session import equal_lengths, on_all_cores
from retr.retrieval.embeddings import Floats

Tokens = Sequence[NDArray[np.integer[Any]]]
"""One array of token numbers a text, each of at least one."""

RUNS_AHEAD = 2
"""Runs that a GPU may have been given before the first one's vectors are fetched: it never waits for the CPU."""


def runs_of_tokens(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Rows, longest first, in runs of at most `budget` tokens or of one row: texts of any length share a run."""
    runs: list[list[int]] = []
    room = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not runs or lengths[row] > room:
            runs.append([])
            room = budget
        runs[-1].append(row)
        room -= lengths[row]
    return runs


def pooled_vectors(network: TorchNetwork, ids: Tokens, modes: Sequence[str], skip: int = 0) -> Floats:
    """float32 [texts, dim x modes], in order. Pooled where the model runs; one copy back a run.

    A text's vector is the same in any company but for the rounding of matrix products of another height: float32
    stays within 1e-5 of the text alone, float16 within 1e-2.
    """
    lengths = [len(text) for text in ids]
    out = np.empty((len(ids), network.model.config.hidden_size * len(modes)), np.float32)
    if not network.packs:

        def alone(rows: list[int]) -> Floats:
            batch = np.stack([ids[row] for row in rows]).astype(np.int64)
            return pool(network(batch, np.zeros_like(batch)), modes, skip)

        runs = equal_lengths(lengths, network.budget)
        return on_all_cores(runs, alone, out) if network.placement.on_cpu else _in_turn(runs, alone, out)
    runs = runs_of_tokens(lengths, network.budget)
    if network.placement.on_cpu:
        return on_all_cores(runs, lambda rows: network.pooled([ids[row] for row in rows], modes, skip).numpy(), out)
    return _overlapped(network, ids, runs, out, modes, skip)


def _in_turn(runs: Sequence[list[int]], work: Any, out: Floats) -> Floats:
    for rows in runs:
        out[rows] = work(rows)
    return out


def _overlapped(
    network: TorchNetwork, ids: Tokens, runs: Sequence[list[int]], out: Floats, modes: Sequence[str], skip: int
) -> Floats:
    """The runs on a GPU, each started before the vectors of the ones before it are asked for."""
    waiting: deque[tuple[list[int], torch.Tensor]] = deque()
    for rows in runs:
        waiting.append((rows, network.pooled([ids[row] for row in rows], modes, skip)))
        if len(waiting) > RUNS_AHEAD:
            done, vectors = waiting.popleft()
            out[done] = vectors.cpu().numpy()
    for done, vectors in waiting:
        out[done] = vectors.cpu().numpy()
    return out
