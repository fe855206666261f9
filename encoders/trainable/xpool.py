"""X-Pool with gradients: each query looks at a document's tokens and pools them into one vector (Gorti et al. 2022)."""

import math

import torch
from torch.nn.functional import cosine_similarity
from torch.utils.checkpoint import checkpoint

from retr.encoders.late.xpool import LINEAR, NORMS
from retr.encoders.trainable.maxsim import NUMBERS_A_CHUNK, TokenTensors, counted


class XPool(torch.nn.Module):
    """Text-conditioned pooling of tokens, or frames, into a vector (arXiv 2203.15086, section 3.3), one head.

    As in the authors' code every projection begins as identity without bias: untrained it is a fixed soft attention
    that has learned nothing. A query is the mean of its token vectors.
    """

    def __init__(self, dim: int, dropout: float = 0.3) -> None:
        super().__init__()
        for name in LINEAR:
            layer = torch.nn.Linear(dim, dim)
            torch.nn.init.eye_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
            self.add_module(name, layer)
        for name in NORMS:
            self.add_module(name, torch.nn.LayerNorm(dim))
        self.dropout = torch.nn.Dropout(dropout)
        self.dim = dim

    def forward(self, queries: TokenTensors, documents: TokenTensors, numbers: int = NUMBERS_A_CHUNK) -> torch.Tensor:
        """[queries, documents]: the cosine of each query with the document as this query pools it.

        Each text needs a token that counts. At least in float32, about `numbers` numbers of pairs in memory at once.
        """
        with torch.autocast(queries.vectors.device.type, enabled=False):
            asked = _mean(queries)
            each = max(1, len(asked) * max(documents.kept.shape[1], 4 * self.dim))
            size = max(1, numbers // each)
            parts = []
            for start in range(0, len(documents), size):
                part = documents.rows(slice(start, start + size))
                given = (asked, part.vectors, part.kept)
                again = torch.is_grad_enabled() and size < len(documents)
                parts.append(checkpoint(self._scores, *given, use_reentrant=False) if again else self._scores(*given))
            return torch.cat(parts, dim=1) if parts else asked.new_zeros(len(asked), 0)

    def _scores(self, asked: torch.Tensor, vectors: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """[queries, documents] of queries [queries, dim] and tokens [documents, n, dim], of which `kept` count."""
        layer = self.get_submodule
        tokens = layer("given")(counted(vectors, kept))
        logits = torch.einsum("qd,cnd->qcn", layer("query")(layer("given")(asked)), layer("key")(tokens))
        weights = (logits / math.sqrt(self.dim)).masked_fill(~kept[None], -torch.inf).softmax(2)
        pooled = layer("pooled")(layer("out")(torch.einsum("qcn,cnd->qcd", weights, layer("value")(tokens))))
        found = layer("final")(pooled + self.dropout(layer("linear")(pooled)))
        return cosine_similarity(found, asked[:, None], dim=2)


def _mean(texts: TokenTensors) -> torch.Tensor:
    """[texts, dim] of their tokens that count."""
    values = counted(texts.vectors, texts.kept)
    return values.sum(1) / texts.kept.sum(1, keepdim=True).to(values.dtype)
