"""Models outside of BERT's family, by torch and transformers; needs `retr[train]`."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.running.network import ONE_TEXT
from retr.encoders.running.session import Ids
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import RetrError


@dataclass(frozen=True, slots=True, eq=False)
class TorchNetwork:
    """A transformers model. Texts run alone, so that no text's numbers depend on another's."""

    model: Any
    classifier: bool
    inputs: frozenset[str]
    budget: int = ONE_TEXT

    def __call__(self, ids: Ids, segments: Ids) -> Floats:
        """One forward pass; no token is padding, so the mask is all ones."""
        import torch

        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": segments}
        tensors = {name: torch.from_numpy(values) for name, values in given.items() if name in self.inputs}
        with torch.inference_mode():
            result = self.model(**tensors)
        states = result.logits if self.classifier else result.last_hidden_state
        return np.asarray(states.float().numpy(), np.float32)


def open_torch(path: Path, *, classifier: bool) -> TorchNetwork:
    """The model of a folder: safetensors only, and no code from the folder is run."""
    from transformers import AutoModel, AutoModelForSequenceClassification

    loader = AutoModelForSequenceClassification if classifier else AutoModel
    try:
        model = loader.from_pretrained(str(path), local_files_only=True, use_safetensors=True, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise RetrError(f"transformers cannot load {path}: {reason}") from None
    names = inspect.signature(model.eval().float().forward).parameters
    return TorchNetwork(model, classifier, frozenset(names))
