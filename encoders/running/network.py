"""From token numbers to token states, whatever computes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retr.encoders.graphs.graph import BuiltModel
from retr.encoders.running.session import Ids, open_session
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

TOKENS_A_RUN = 512
"""Tokens of one run where texts share runs: measured, larger runs leave the core's cache and are slower."""

ONE_TEXT = 0
"""A budget of no tokens: every text runs alone."""

KNOWN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
STATES = ("last_hidden_state", "token_embeddings")
LOGITS = ("logits",)


class Network(Protocol):
    """Texts of exactly equal length to their states. `budget` is how many tokens may share a run."""

    @property
    def budget(self) -> int:
        """Tokens that one run may hold; 0 where a text must run alone."""
        ...

    def __call__(self, ids: Ids, segments: Ids) -> Floats:
        """[texts, tokens] twice to [texts, tokens, dim] (or [texts, labels] from a classifier)."""
        ...


@runtime_checkable
class PoolingNetwork(Network, Protocol):
    """A network that batches texts of any length as suits its device, and pools their states there."""

    def vectors(self, ids: Sequence[NDArray[np.integer[Any]]], modes: Sequence[str], skip: int) -> Floats:
        """float32 [texts, dim x modes], in order: the poolings side by side, without each text's first `skip`."""
        ...


@runtime_checkable
class ClassifyingNetwork(Network, Protocol):
    """A classifier that batches texts of any length as suits its device."""

    def logits(self, ids: Sequence[NDArray[np.integer[Any]]], segments: Sequence[NDArray[np.integer[Any]]]) -> Floats:
        """float32 [texts, labels], in order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class OnnxNetwork:
    """An ONNX Runtime session, its inputs and the output that is read."""

    session: Any
    inputs: tuple[str, ...]
    output: str
    budget: int = ONE_TEXT

    def __call__(self, ids: Ids, segments: Ids) -> Floats:
        """One run; no token is padding, so the mask is all ones."""
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": segments}
        try:
            states: Floats = self.session.run([self.output], {name: given[name] for name in self.inputs})[0]
        except Exception as error:  # ONNX Runtime's own exceptions share no public base
            reason = " ".join(str(error).split())[:200]
            raise BadInput(
                f"The model fails on a text of {ids.shape[1]} tokens ({reason}). "
                "Its tokenizer and weights may be of two models; get it again."
            ) from None
        return states


def open_built(model: BuiltModel, budget: int) -> OnnxNetwork:
    """The network of a graph built here."""
    session = open_session(model)
    return OnnxNetwork(session, tuple(item.name for item in session.get_inputs()), "last_hidden_state", budget)


def open_file(path: Path, *, classifier: bool, session: Any = None) -> OnnxNetwork:
    """The network of a user's ONNX file. Every text runs alone: the file may quantise or normalise over a batch.

    `session` is one that was opened on another device; else it is opened on the CPU.
    """
    session = session or open_session(path)
    inputs = tuple(item.name for item in session.get_inputs())
    strange = [name for name in inputs if name not in KNOWN_INPUTS]
    if strange or "input_ids" not in inputs:
        raise BadInput(f"{path} has the inputs {', '.join(inputs)}; accepted are {', '.join(KNOWN_INPUTS)}.")
    outputs = [item.name for item in session.get_outputs()]
    wanted = LOGITS if classifier else STATES
    for name in wanted:
        if name in outputs:
            return OnnxNetwork(session, inputs, name)
    raise BadInput(f"{path} has the outputs {', '.join(outputs)}; {' or '.join(wanted)} is needed.")
