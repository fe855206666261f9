"""A decoder as an ONNX graph: token numbers and the padding's mask go in, states or a pooled vector come out.

Who looks at whom is a float mask made inside, by arithmetic: a traced graph cannot look at what a mask holds, and so
cannot choose a kernel by it.
"""

from pathlib import Path
from typing import Any

import torch

from retr.encoders.exporting import rewriting
from retr.encoders.exporting.by_torch import EXAMPLE, OPSET
from retr.encoders.llm.folder import LlmFolder
from retr.encoders.llm.latent import LatentPooling
from retr.encoders.llm.loading import Loading, load_model, window_of
from retr.encoders.llm.opening import open_pooling
from retr.encoders.llm.settings import LATENT_LAYERS, LlmTable
from retr.encoders.trainable.llm.rows import PaddedRows, mask_for
from retr.encoders.trainable.pooling import POOLINGS

STATES, POOLED = "last_hidden_state", "token_embeddings"
"""The output's name: states of all tokens; or of learned pooling, one row a text, [texts, 1, dim]."""


class Masked(torch.nn.Module):
    """A decoder whose mask and positions are made of the padding's mask alone."""

    def __init__(self, model: Any, table: LlmTable, window: int, pooling: LatentPooling | None) -> None:
        super().__init__()
        self.model, self.pooling, self.table, self.window = model, pooling, table, window

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """int64 [texts, tokens] twice to [texts, tokens, dim], or [texts, 1, dim]."""
        real = attention_mask > 0
        rows = PaddedRows(input_ids, real, (attention_mask.cumsum(1) - 1).clamp(min=0))
        mask = mask_for(self.model.config, rows, torch.float32, causal=not self.table.bidirectional, window=self.window)
        every = self.table.pooling == LATENT_LAYERS
        found = self.model(
            input_ids=input_ids, attention_mask=mask, position_ids=rows.positions, output_hidden_states=every
        )
        if self.pooling is None:
            states: torch.Tensor = found.last_hidden_state
            return states
        return self._pooled(found, real)[:, None]

    def _pooled(self, found: Any, real: torch.Tensor) -> torch.Tensor:
        assert self.pooling is not None
        of_text = POOLINGS["mean"] if self.table.bidirectional else _last
        if self.table.pooling == LATENT_LAYERS:
            layers = [of_text(layer, real) for layer in found.hidden_states[1:]]
            pooled: torch.Tensor = self.pooling(torch.stack(layers, dim=1))
        elif self.table.bidirectional:
            pooled = self.pooling(found.last_hidden_state, real)
        else:
            pooled = self.pooling(of_text(found.last_hidden_state, real)[:, None])
        return pooled


def _last(states: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """The state of each text's last token; in words that leave the number of texts free."""
    place = (real * torch.arange(real.shape[1])).argmax(1)
    return states.gather(1, place[:, None, None].expand(-1, 1, states.shape[2]))[:, 0]


def written(folder: LlmFolder, workspace: Path) -> Any:
    """The graph of a folder's model in float32, by torch's exporter, without the exporter's own traces."""
    import onnx

    model = load_model(folder, Loading(attention="eager"))
    pooling = open_pooling(folder, model)
    masked = Masked(model, folder.table, window_of(folder), pooling).eval()
    path = workspace / "traced.onnx"
    ids = torch.arange(EXAMPLE[0] * EXAMPLE[1]).reshape(EXAMPLE) % 7 + 3
    texts, tokens = torch.export.Dim("texts", min=1), torch.export.Dim("tokens", min=2)
    with torch.no_grad():
        torch.onnx.export(
            masked,
            (ids, torch.ones(EXAMPLE, dtype=torch.long)),
            str(path),
            dynamo=True,
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=[STATES if pooling is None else POOLED],
            dynamic_shapes=({0: texts, 1: tokens}, {0: texts, 1: tokens}),
            external_data=True,
            verbose=False,
        )
    graph = onnx.load(str(path))
    for file in workspace.glob("traced.onnx*"):
        file.unlink()
    return rewriting.without_traces(graph)
