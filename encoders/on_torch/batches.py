"""Many texts to pooled vectors: sorted by length, cut into runs, each core or the GPU kept busy."""

from collections import deque
from collections.abc import Callable, Sequence
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
    width = network.model.config.hidden_size * len(modes)
    if network.packs:
        return _in_rows(network, ids, width, lambda rows: network.pooled(_some(ids, rows), modes, skip))

    def alike(rows: list[int]) -> Floats:
        batch = np.stack(_some(ids, rows)).astype(np.int64)
        return pool(network(batch, np.zeros_like(batch)), modes, skip)

    return _in_batches(network, ids, width, alike)


def all_logits(network: TorchNetwork, ids: Tokens, segments: Tokens) -> Floats:
    """A classifier's float32 [texts, labels], in order; as near to each text alone as vectors are."""
    width = network.model.config.num_labels
    if network.packs:
        return _in_rows(network, ids, width, lambda rows: network.classified(_some(ids, rows), _some(segments, rows)))

    def alike(rows: list[int]) -> Floats:
        return network(np.stack(_some(ids, rows)).astype(np.int64), np.stack(_some(segments, rows)).astype(np.int64))

    return _in_batches(network, ids, width, alike)


def _some(texts: Tokens, rows: Sequence[int]) -> list[NDArray[np.integer[Any]]]:
    return [texts[row] for row in rows]


def _in_batches(network: TorchNetwork, ids: Tokens, width: int, work: Callable[[list[int]], Floats]) -> Floats:
    """Texts of equal length together, for models whose texts cannot share a row."""
    runs = equal_lengths([len(text) for text in ids], network.budget)
    out = np.empty((len(ids), width), np.float32)
    if network.placement.on_cpu:
        return on_all_cores(runs, work, out)
    for rows in runs:
        out[rows] = work(rows)
    return out


def _in_rows(network: TorchNetwork, ids: Tokens, width: int, work: Callable[[list[int]], torch.Tensor]) -> Floats:
    """Texts of any length end to end: on a CPU a row a core, on a GPU one after the other without waiting."""
    runs = runs_of_tokens([len(text) for text in ids], network.budget)
    out = np.empty((len(ids), width), np.float32)
    if network.placement.on_cpu:
        return on_all_cores(runs, lambda rows: work(rows).numpy(), out)
    return _overlapped(runs, work, out)


def _overlapped(runs: Sequence[list[int]], work: Callable[[list[int]], torch.Tensor], out: Floats) -> Floats:
    """Each run is started before the answers of the ones before it are asked for."""
    waiting: deque[tuple[list[int], torch.Tensor]] = deque()
    for rows in runs:
        waiting.append((rows, work(rows)))
        if len(waiting) > RUNS_AHEAD:
            done, answers = waiting.popleft()
            out[done] = answers.cpu().numpy()
    for done, answers in waiting:
        out[done] = answers.cpu().numpy()
    return out
