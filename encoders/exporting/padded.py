"""The exported file as others run it: by ONNX Runtime alone, in a padded batch with a longer text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.running.network import ONE_TEXT, OnnxNetwork, open_file
from retr.encoders.running.session import Ids
from retr.retrieval.embeddings import Floats

PADDING = 7
"""Columns of padding, as far as the model's length allows."""


@dataclass(frozen=True, slots=True, eq=False)
class PaddedNetwork:
    """Each text beside a longer one made of its own tokens, padded to that one's length; what padding gives is cut."""

    session: Any
    inputs: tuple[str, ...]
    output: str
    max_tokens: int
    padding: int
    budget: int = 256

    def __call__(self, ids: Ids, segments: Ids) -> Floats:
        """[texts, tokens] twice to [texts, tokens, dim], or to logits."""
        texts, tokens = ids.shape
        width = max(tokens, min(tokens + PADDING, self.max_tokens))
        batch = np.full((texts + 1, width), self.padding, np.int64)
        mask, kinds = np.zeros_like(batch), np.zeros_like(batch)
        batch[:texts, :tokens], mask[:texts, :tokens], kinds[:texts, :tokens] = ids, 1, segments
        batch[texts], mask[texts] = np.resize(ids[0, ::-1], width), 1
        given = {"input_ids": batch, "attention_mask": mask, "token_type_ids": kinds}
        states: Floats = self.session.run([self.output], {name: given[name] for name in self.inputs})[0][:texts]
        return states[:, :tokens] if states.ndim == 3 else states


def open_padded(path: Path, *, classifier: bool, max_tokens: int, padding: int) -> PaddedNetwork:
    """The file's network in padded batches. `padding` is the number of the token that pads."""
    plain = open_file(path, classifier=classifier)
    return PaddedNetwork(plain.session, plain.inputs, plain.output, max_tokens, padding)


def open_alone(path: Path, *, classifier: bool) -> OnnxNetwork:
    """The file's network, one text a run and no padding."""
    network = open_file(path, classifier=classifier)
    assert network.budget == ONE_TEXT
    return network
