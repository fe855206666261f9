"""Queries under a mask by transformers, where the model is run so."""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from retr.encoders.on_torch.network import TorchNetwork
from retr.encoders.on_torch.packing import sent
from retr.encoders.on_torch.threads import one_thread
from retr.encoders.running.session import Ids
from retr.retrieval.embeddings import Floats


@dataclass(frozen=True, slots=True, eq=False)
class MaskedTorch:
    """A transformers model whose tokens do not see each text's last ones."""

    network: TorchNetwork

    def __call__(self, ids: Ids, real: NDArray[np.int64]) -> Floats:
        """One forward pass."""
        place = self.network.placement
        seen = (np.arange(ids.shape[1])[None] < real[:, None]).astype(np.int64)
        with torch.inference_mode(), one_thread() if place.on_cpu else nullcontext():
            given = {"input_ids": ids, "attention_mask": seen, "token_type_ids": np.zeros_like(ids)}
            known = {name: values for name, values in given.items() if name in self.network.inputs}
            tensors = {name: sent(torch.from_numpy(values), place.device) for name, values in known.items()}
            states: torch.Tensor = self.network.model(**tensors).last_hidden_state
            return np.asarray(states.float().cpu().numpy(), np.float32)
