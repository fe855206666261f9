"""A decoder on its device as a network that pools: by a rule as every torch model, or by layers that learned to."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retr.encoders.llm.latent import LatentPooling
from retr.encoders.llm.settings import LATENT_LAYERS, LlmTable
from retr.encoders.on_torch.batches import runs_of_tokens
from retr.encoders.on_torch.network import TorchNetwork
from retr.encoders.on_torch.packing import Packing, sent
from retr.encoders.on_torch.pooling import POOLINGS
from retr.encoders.on_torch.threads import one_thread
from retr.encoders.running.session import Ids, equal_lengths, on_all_cores
from retr.retrieval.embeddings import Floats

Texts = Sequence[NDArray[np.integer[Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class LlmNetwork:
    """A `PoolingNetwork`."""

    network: TorchNetwork
    table: LlmTable
    pooling: LatentPooling | None = None

    @property
    def budget(self) -> int:
        """Tokens that a run may hold."""
        return self.network.budget

    def __call__(self, ids: Ids, segments: Ids) -> Floats:
        """Texts of equal length to the states of the last layer, [texts, tokens, dim]."""
        return self.network(ids, segments)

    def vectors(self, ids: Texts, modes: Sequence[str], skip: int) -> Floats:
        """float32 [texts, dim x modes], in order."""
        if self.pooling is None:
            return self.network.vectors(ids, modes, skip)
        lengths = [len(text) for text in ids]
        make_runs = runs_of_tokens if self.network.packs else equal_lengths
        runs = make_runs(lengths, self.budget)
        out = np.empty((len(ids), self.network.model.config.hidden_size), np.float32)

        def work(rows: list[int]) -> Floats:
            return self._learned([ids[row] for row in rows], skip)

        if self.network.placement.on_cpu:
            return on_all_cores(runs, work, out)
        for rows in runs:
            out[rows] = work(rows)
        return out

    def _learned(self, texts: Texts, skip: int) -> Floats:
        """float32 [texts, dim] by the learned pooling, of one run."""
        assert self.pooling is not None
        device = self.network.placement.device
        packing = Packing.of([len(text) for text in texts], device)
        row = sent(torch.from_numpy(np.concatenate(texts).astype(np.int64)[None]), device)
        given: dict[str, Any]
        if self.network.first is None:
            given = {"input_ids": row.view(len(texts), -1)}  # texts of equal length
        else:
            places = packing.positions + self.network.first
            given = {"input_ids": row, "position_ids": places, "retr_packing": packing}
        layers = self.table.pooling == LATENT_LAYERS
        with torch.inference_mode(), one_thread() if self.network.placement.on_cpu else nullcontext():
            result = self.network.model(**given, output_hidden_states=layers)
            states = result.hidden_states[1:] if layers else (result.last_hidden_state,)
            flat = [layer.reshape(-1, layer.shape[-1]).to(self.pooling.latents.dtype) for layer in states]
            parts = []
            for run in packing.runs:
                kept = min(skip, run.length - 1)
                alike = [layer[run.tokens].view(run.texts, run.length, -1) for layer in flat]
                parts.append(self.pooling(looked_at(alike, self.table, kept)))
            found: Floats = torch.cat(parts).float().cpu().numpy()
        return found


def looked_at(states: Sequence[torch.Tensor], table: LlmTable, skip: int) -> torch.Tensor:
    """What learned pooling reads of texts of equal length, [texts, tokens or layers, dim].

    Over layers: of each layer the mean of the tokens, or in a causal model the last one, which alone saw the text.
    Over tokens: all of them, or in a causal model the last one (designs 2 to 5 of arXiv 2409.02727).
    """
    if table.pooling == LATENT_LAYERS:
        mode = "mean" if table.bidirectional else "lasttoken"
        return torch.stack([POOLINGS[mode](layer, skip) for layer in states], dim=1)
    last = states[-1]
    return last[:, skip:] if table.bidirectional else last[:, -1:]
