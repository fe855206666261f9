"""A transformer over a context and its candidates: the compiled kernels where there are any, else ONNX Runtime."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from retr.encoders.kernels import native
from retr.encoders.kernels.rows import RowKernels, TextsOfRows, takes_rows
from retr.encoders.rankers.layout import Mask, Numbers, Positions, lay_rows, places
from retr.encoders.reading.weights import Transformer
from retr.encoders.running.session import open_session
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

TOKENS_A_ROW = 256
"""Candidates' tokens of one row by ONNX Runtime, where attention's work grows with the row's square."""


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """A context that was read: its tokens, and its keys and values in each layer where the network keeps them."""

    ids: Numbers
    kept: Floats | None = None


class RowNetwork(Protocol):
    """States of candidates, end to end [their tokens, dim]. `budget` is how many tokens of theirs share a run."""

    @property
    def budget(self) -> int:
        """Candidates' tokens of one run."""
        ...

    def read(self, context: Numbers) -> Context:
        """A context that is read without its candidates (one_way)."""
        ...

    def after(self, context: Context, candidates: Sequence[Numbers]) -> Floats:
        """Candidates that each see the context and themselves, counting on from its end."""
        ...

    def together(self, rows: Sequence[Numbers], mask: Mask, positions: Positions) -> Floats:
        """Candidates in one row with their context, which comes first in `rows`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class NativeRows:
    """In the compiled kernels: no padding, and each layer's keys and values of a context are kept."""

    kernels: RowKernels
    budget: int = native.TOKENS_A_RUN

    def read(self, context: Numbers) -> Context:
        """The context alone."""
        return Context(context, self.kernels.read(_end_to_end([context], 0, places([len(context)], "shared")))[1])

    def after(self, context: Context, candidates: Sequence[Numbers]) -> Floats:
        """The candidates alone, over what was kept."""
        assert context.kept is not None, "the context was read by another network"
        start = len(context.ids)
        where = np.concatenate([np.arange(start, start + len(one)) for one in candidates])
        return self.kernels.after(_end_to_end(candidates, 1, where), context.kept)

    def together(self, rows: Sequence[Numbers], mask: Mask, positions: Positions) -> Floats:
        """One run."""
        lengths = [len(row) for row in rows]
        texts = _end_to_end(rows, 1, places(lengths, positions))
        texts.segments[: lengths[0]] = 0
        if mask == "arrow":
            return self.kernels.arrow(texts)[lengths[0] :]
        context, candidates = _split(texts, lengths[0])
        return self.kernels.after(candidates, self.kernels.read(context)[1])


@dataclass(frozen=True, slots=True, eq=False)
class OnnxRows:
    """By ONNX Runtime, with a mask. A context is read again with each group of candidates."""

    session: Any
    inputs: tuple[str, ...]
    budget: int = TOKENS_A_ROW

    def read(self, context: Numbers) -> Context:
        """The tokens, for later."""
        return Context(context)

    def after(self, context: Context, candidates: Sequence[Numbers]) -> Floats:
        """One row."""
        return self.together([context.ids, *candidates], "one_way", "shared")

    def together(self, rows: Sequence[Numbers], mask: Mask, positions: Positions) -> Floats:
        """One row."""
        given = lay_rows([rows], mask, positions).inputs(self.inputs)
        try:
            states: Floats = self.session.run(["last_hidden_state"], given)[0]
        except Exception as error:  # ONNX Runtime's own exceptions share no public base
            reason = " ".join(str(error).split())[:200]
            raise BadInput(f"The model fails on a row of {given['input_ids'].shape[1]} tokens ({reason}).") from None
        return states[0, len(rows[0]) :]


def open_rows(weights: Transformer) -> tuple[RowNetwork, str]:
    """The network, and how it runs. Matrices with scales are multiplied in int8, each token with a scale of its own.

    BadInput for a model with a bias by relative position, whose places in the row are its positions.
    """
    if weights.relative is not None:
        raise BadInput("A model with a bias by relative position cannot read candidates side by side. Take a BERT.")
    integers = any(linear.scale is not None for linear in weights.linears())
    kernels = native.chosen()
    if kernels and native.takes(weights) and takes_rows(weights):
        segments = weights.types is not None and len(weights.types) > 1
        network = native.open_native(weights, segments=segments, kernels=kernels)
        runtime = f"retr's kernels, {'int8' if integers else 'float32'}, on {kernels}"
        return NativeRows(RowKernels(network, len(weights.layers))), runtime
    from retr.encoders.graphs.transformer import build_masked

    linears = "int8_per_block" if integers else "float32"  # per text, a candidate's scale would be the whole row's
    session = open_session(build_masked(weights, linears=linears))
    return OnnxRows(session, tuple(item.name for item in session.get_inputs())), f"onnxruntime, {linears}"


def _end_to_end(texts: Sequence[Numbers], segment: int, where: Numbers) -> TextsOfRows:
    ids = np.concatenate(texts).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    return TextsOfRows(ids, np.full_like(ids, segment), where.astype(np.int64), offsets)


def _split(texts: TextsOfRows, context: int) -> tuple[TextsOfRows, TextsOfRows]:
    """The first text, and the others."""
    first = TextsOfRows(
        texts.ids[:context], texts.segments[:context], texts.positions[:context], np.array([0, context], np.int64)
    )
    parts = (texts.ids[context:], texts.segments[context:], texts.positions[context:])
    return first, TextsOfRows(*parts, texts.offsets[1:] - context)
