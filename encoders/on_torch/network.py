"""A transformers model as a network: texts of equal length together, or of any length end to end in one row."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retr.encoders.on_torch.classifying import feed_first_states
from retr.encoders.on_torch.compute import Compute, Placement
from retr.encoders.on_torch.packing import Packing, sent
from retr.encoders.on_torch.pooling import pool_packed
from retr.encoders.on_torch.probe import first_position, packed_states, trial_texts
from retr.encoders.on_torch.threads import one_thread
from retr.encoders.running.session import Ids
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, RetrError

TOKENS_ON_CPU = 1024
"""Tokens of one run on a core."""

TOKENS_ON_GPU = 65_536
"""Tokens of one run on a GPU: enough rows to fill one, and under 1 GiB of states for BERT's base shape."""


@dataclass(frozen=True, slots=True, eq=False)
class TorchNetwork:
    """A model on its device. `first` is the number that positions in a row begin with; None: texts share no row."""

    model: Any
    classifier: bool
    inputs: frozenset[str]
    placement: Placement
    first: int | None
    budget: int

    @property
    def packs(self) -> bool:
        """Whether texts of any length may share a run, as in `packed` and `pooled`."""
        return self.first is not None

    def __call__(self, ids: Ids, segments: Ids) -> Floats:
        """One forward pass of texts of equal length. No token is padding: a mask is all ones, or left out."""
        given = {"input_ids": ids, "token_type_ids": segments}
        if not self.packs:
            given["attention_mask"] = np.ones_like(ids)
        with self._ready():
            tensors = {name: self._sent(values) for name, values in given.items() if name in self.inputs}
            result = self.model(**tensors)
            return _floats(result.logits if self.classifier else result.last_hidden_state)

    def packed(
        self, ids: Sequence[NDArray[np.integer[Any]]], segments: Sequence[NDArray[np.integer[Any]]] | None = None
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Texts of any length in one run: states [tokens, dim], and where each text begins, [texts + 1]."""
        with self._ready():
            packing, states = self._run(ids, segments)
            return _floats(states), packing.offsets.cpu().numpy().astype(np.int64)

    def pooled(self, ids: Sequence[NDArray[np.integer[Any]]], modes: Sequence[str], skip: int = 0) -> torch.Tensor:
        """One run of texts of any length to float32 [texts, dim x modes], still on the device."""
        with self._ready():
            packing, states = self._run(ids, None)
            return pool_packed(states, packing, modes, skip)

    def vectors(self, ids: Sequence[NDArray[np.integer[Any]]], modes: Sequence[str], skip: int) -> Floats:
        """Texts of any length to float32 [texts, dim x modes], in order, as `batches.pooled_vectors`."""
        from retr.encoders.on_torch.batches import pooled_vectors

        return pooled_vectors(self, ids, modes, skip)

    def logits(self, ids: Sequence[NDArray[np.integer[Any]]], segments: Sequence[NDArray[np.integer[Any]]]) -> Floats:
        """A classifier's float32 [texts, labels] of texts of any length, in order, as `batches.all_logits`."""
        from retr.encoders.on_torch.batches import all_logits

        return all_logits(self, ids, segments)

    def classified(
        self, ids: Sequence[NDArray[np.integer[Any]]], segments: Sequence[NDArray[np.integer[Any]]]
    ) -> torch.Tensor:
        """A classifier's run of texts of any length to float32 [texts, labels], still on the device."""
        with self._ready():
            return self._run(ids, segments)[1].float()

    def _run(
        self, ids: Sequence[NDArray[np.integer[Any]]], segments: Sequence[NDArray[np.integer[Any]]] | None
    ) -> tuple[Packing, torch.Tensor]:
        if self.first is None:
            raise BadInput(
                f"{type(self.model).__name__} gives other states for texts end to end than for each alone; "
                "run texts of equal length together."
            )
        packing = Packing.of([len(text) for text in ids], self.placement.device)
        row = self._sent(np.concatenate(ids).astype(np.int64)[None])
        takes_segments = segments is not None and "token_type_ids" in self.inputs
        beside = self._sent(np.concatenate(segments).astype(np.int64)[None]) if segments and takes_segments else None
        return packing, packed_states(self.model, row, packing, self.first, beside)

    def _sent(self, values: Ids) -> torch.Tensor:
        return sent(torch.from_numpy(values), self.placement.device)

    @contextmanager
    def _ready(self) -> Iterator[None]:
        """No gradients; on a CPU one thread, since `on_all_cores` runs a worker a core."""
        with torch.inference_mode(), one_thread() if self.placement.on_cpu else nullcontext():
            yield


def _floats(states: torch.Tensor) -> Floats:
    return np.asarray(states.float().cpu().numpy(), np.float32)


def open_torch(path: Path, *, classifier: bool, compute: Compute | None = None) -> TorchNetwork:
    """The model of a folder: safetensors only, and no code from the folder is run. Device: `Compute.asked()`."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    placement = (compute or Compute.asked()).place()
    loader = AutoModelForSequenceClassification if classifier else AutoModel
    try:
        with _quiet():
            model: Any = loader.from_pretrained(
                str(path), local_files_only=True, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise RetrError(f"transformers cannot load {path}: {reason}") from None
    return network_of(model, placement, classifier=classifier)


def _check_finite(model: Any, placement: Placement) -> None:
    """BadInput where a model's numbers are too large for its precision, as some decoders' are for float16."""
    if placement.precision == "float32":
        return
    text = trial_texts(model.config)[0].to(placement.device)
    with torch.inference_mode(), one_thread() if placement.on_cpu else nullcontext():
        given = model(input_ids=text[None])
    if not bool((given.logits if "logits" in given else given.last_hidden_state).isfinite().all()):
        raise BadInput(
            f"{type(model).__name__} gives no finite numbers in {placement.precision}: its states are too large for "
            "it. Use float32, or bfloat16 on a GPU."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers draws a bar for the weights it loads; a library shows none."""
    from transformers.utils import logging as transformers_logging

    logging: Any = transformers_logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def network_of(model: Any, placement: Placement, *, classifier: bool = False) -> TorchNetwork:
    """The network of a transformers model, which is moved to the device and changed to its precision in place."""
    model = model.eval().requires_grad_(False).to("cpu", torch.float32)
    model.config.use_cache = False  # a cache of keys and values would be kept for every text
    inputs = frozenset(inspect.signature(model.forward).parameters)
    with one_thread():
        if classifier:
            feed_first_states(model)
        first = first_position(model)
    model = model.to(placement.device, placement.dtype)
    _check_finite(model, placement)
    budget = TOKENS_ON_CPU if placement.on_cpu else TOKENS_ON_GPU
    return TorchNetwork(model, classifier, inputs, placement, first, budget)
