"""Texts' tokens to their vectors: in the kernels or by ONNX Runtime, no padding; filled-up queries under a mask."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from retr.encoders.graphs.transformer import build_masked
from retr.encoders.kernels.native import NativeNetwork
from retr.encoders.late.marking import Marked
from retr.encoders.rankers.layout import MASKED
from retr.encoders.rankers.uni import in_runs
from retr.encoders.reading.folder import Dense
from retr.encoders.reading.weights import Transformer
from retr.encoders.running.network import TOKENS_A_RUN, Network
from retr.encoders.running.pooling import unit
from retr.encoders.running.session import Ids, equal_lengths, open_session, threads
from retr.retrieval.embeddings import Floats


@dataclass(frozen=True, slots=True, eq=False)
class TokenHead:
    """What follows on each token's state."""

    dense: tuple[Dense, ...]
    normalised: bool

    def __call__(self, states: Floats) -> Floats:
        """[tokens, dim of the states] to [tokens, dim of the vectors]."""
        for layer in self.dense:
            states = layer(states)
        return unit(states) if self.normalised else np.asarray(states, np.float32)


class MaskedNetwork(Protocol):
    """Texts of equal length whose last tokens are seen by none."""

    def __call__(self, ids: Ids, real: NDArray[np.int64]) -> Floats:
        """int64 [texts, tokens], and how many of each text's tokens are seen, to states [texts, tokens, dim]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MaskedGraph:
    """A graph that was built here with a mask, in ONNX Runtime."""

    session: Any
    inputs: tuple[str, ...]

    def __call__(self, ids: Ids, real: NDArray[np.int64]) -> Floats:
        """One run."""
        texts, tokens = ids.shape
        seen = np.arange(tokens)[None, None, None, :] < real[:, None, None, None]
        bias = np.broadcast_to(np.where(seen, np.float32(0), np.float32(MASKED)), (texts, 1, tokens, tokens))
        given = {
            "input_ids": ids,
            "position_ids": np.broadcast_to(np.arange(tokens, dtype=np.int64), ids.shape).copy(),
            "token_type_ids": np.zeros_like(ids),
            "attention_bias": np.ascontiguousarray(bias),
        }
        states: Floats = self.session.run(["last_hidden_state"], {name: given[name] for name in self.inputs})[0]
        return states


@dataclass(frozen=True, slots=True, eq=False)
class MaskedFile:
    """An ONNX file that reads a mask of the tokens that are seen."""

    session: Any
    inputs: tuple[str, ...]
    output: str

    def __call__(self, ids: Ids, real: NDArray[np.int64]) -> Floats:
        """One run."""
        seen = (np.arange(ids.shape[1])[None] < real[:, None]).astype(np.int64)
        given = {"input_ids": ids, "attention_mask": seen, "token_type_ids": np.zeros_like(ids)}
        states: Floats = self.session.run([self.output], {name: given[name] for name in self.inputs})[0]
        return np.asarray(states, np.float32)


def open_masked_graph(weights: Transformer) -> MaskedGraph:
    """The graph of weights that have no bias by relative position."""
    integers = any(linear.scale is not None for linear in weights.linears())
    session = open_session(build_masked(weights, linears="int8_per_block" if integers else "float32"))
    return MaskedGraph(session, tuple(item.name for item in session.get_inputs()))


def token_vectors(network: Network, masked: MaskedNetwork | None, marked: Marked, head: TokenHead, dim: int) -> Floats:
    """The vectors of all tokens of all texts end to end, float32 [tokens, dim], those that do not count among them."""
    lengths = [len(row) for row in marked.ids]
    starts = [0, *accumulate(lengths)]
    out = np.empty((starts[-1], dim), np.float32)

    def put(rows: Sequence[int], states: Floats) -> None:
        at = 0
        for row in rows:  # Text by text: a matrix product's last bits depend on how many rows it has.
            out[starts[row] : starts[row + 1]] = head(states[at : at + lengths[row]])
            at += lengths[row]

    apart = set(marked.filled()) if masked is not None else set()
    plain = [row for row in range(len(lengths)) if row not in apart and lengths[row]]
    work: list[tuple[Callable[[list[int]], Floats], list[int]]] = []
    work += [(lambda rows: _together(network, marked, rows), run) for run in _runs(network, lengths, plain)]
    if masked is not None:
        hidden: MaskedNetwork = masked
        groups = _grouped(equal_lengths([lengths[row] for row in sorted(apart)], TOKENS_A_RUN), sorted(apart))
        work += [(lambda rows: _under_mask(hidden, marked, rows), run) for run in groups]
    _on_all_cores([lambda make=make, run=run: put(run, make(run)) for make, run in work])  # type: ignore[misc]
    return out


def _runs(network: Network, lengths: Sequence[int], rows: list[int]) -> list[list[int]]:
    """Rows in runs: of any lengths in the kernels, else of equal lengths."""
    sizes = [lengths[row] for row in rows]
    packs = isinstance(network, NativeNetwork)
    return _grouped(in_runs(sizes, network.budget) if packs else equal_lengths(sizes, network.budget), rows)


def _grouped(runs: list[list[int]], rows: list[int]) -> list[list[int]]:
    return [[rows[place] for place in run] for run in runs]


def _together(network: Network, marked: Marked, rows: list[int]) -> Floats:
    """The states of one run's tokens, end to end."""
    if isinstance(network, NativeNetwork):
        ids = np.concatenate([marked.ids[row] for row in rows])
        offsets = np.concatenate([[0], np.cumsum([len(marked.ids[row]) for row in rows])]).astype(np.int64)
        return network.packed(ids, np.zeros_like(ids), offsets)
    batch = np.stack([marked.ids[row] for row in rows])
    states = network(batch, np.zeros_like(batch))
    return states.reshape(-1, states.shape[-1])


def _under_mask(masked: MaskedNetwork, marked: Marked, rows: list[int]) -> Floats:
    states = masked(np.stack([marked.ids[row] for row in rows]), np.array([marked.real[row] for row in rows]))
    return states.reshape(-1, states.shape[-1])


def _on_all_cores(tasks: Sequence[Callable[[], None]]) -> None:
    workers = min(threads(), len(tasks))
    if workers <= 1:
        for task in tasks:
            task()
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="retr-encode") as pool:
        for _ in pool.map(lambda task: task(), tasks):
            pass
