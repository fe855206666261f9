"""Optimal transport with gradients, in bounded memory: Sinkhorn's iterations on logarithms, padding without weight."""

import torch
from torch.utils.checkpoint import checkpoint

from retr.encoders.trainable.maxsim import NUMBERS_A_CHUNK, TokenTensors, counted
from retr.retrieval.transport import TransportSettings


def every_transport(
    queries: TokenTensors,
    documents: TokenTensors,
    settings: TransportSettings | None = None,
    *,
    numbers: int = NUMBERS_A_CHUNK,
) -> torch.Tensor:
    """[queries, documents]: minus the cost of the plan between both texts' tokens, as `Transport` has it.

    Each text needs a token that counts. Gradients are those of a plan that stays as it is, which at the best plan is
    the gradient of cost less entropy (the envelope theorem); so nothing of the iterations is kept. At least in
    float32. At most `numbers` similarities, or those of one document, are in memory at once, a few times.
    """
    settings = settings or TransportSettings()
    size = max(1, numbers // max(1, queries.kept.numel() * documents.kept.shape[1]))
    parts = []
    for start in range(0, len(documents), size):
        part = documents.rows(slice(start, start + size))
        with torch.no_grad():
            scalings = _scalings(queries, part, settings)
        again = torch.is_grad_enabled() and size < len(documents)
        given = (queries, part, scalings, settings.epsilon)
        parts.append(checkpoint(_scores, *given, use_reentrant=False) if again else _scores(*given))
    return torch.cat(parts, dim=1) if parts else queries.vectors.new_zeros(len(queries), 0)


Scalings = tuple[torch.Tensor, torch.Tensor]
"""What rows and columns of exp(-cost / epsilon) are scaled by, as logarithms: [q, c, m] and [q, c, n]."""


def _scalings(queries: TokenTensors, documents: TokenTensors, settings: TransportSettings) -> Scalings:
    with torch.autocast(queries.vectors.device.type, enabled=False):
        ours = _weights(queries, settings).log()[:, None]
        theirs = _weights(documents, settings).log()[None]
        scaled = _costs(queries, documents).div_(-settings.epsilon)
        free = torch.empty_like(scaled)
        columns = torch.zeros_like(theirs).masked_fill(~documents.kept[None], -torch.inf)
        for _ in range(settings.iterations):
            rows = ours - _log_sum(torch.add(scaled, columns[:, :, None, :], out=free), 3)
            columns = theirs - _log_sum(torch.add(scaled, rows[:, :, :, None], out=free), 2)
        return rows, columns


def _log_sum(table: torch.Tensor, side: int) -> torch.Tensor:
    """log of the sum of exp along a side, in the table's own memory, which is lost."""
    most = table.amax(side, keepdim=True)
    return table.sub_(most).exp_().sum(side).log_().add_(most.squeeze(side))


def _scores(queries: TokenTensors, documents: TokenTensors, scalings: Scalings, epsilon: float) -> torch.Tensor:
    """[queries, documents]."""
    with torch.autocast(queries.vectors.device.type, enabled=False):
        costs = _costs(queries, documents)
        rows, columns = scalings
        plan = (costs.detach() / -epsilon + rows[:, :, :, None] + columns[:, :, None, :]).exp()
        return -(plan * costs).sum((2, 3))


def _costs(queries: TokenTensors, documents: TokenTensors) -> torch.Tensor:
    """1 - cosine, [queries, documents, m, n]; 1 in the padding, where no gradient comes from."""
    left, right = (torch.nn.functional.normalize(counted(one.vectors, one.kept), dim=2) for one in (queries, documents))
    return 1 - torch.einsum("qmd,cnd->qcmn", left, right)


def _weights(texts: TokenTensors, settings: TransportSettings) -> torch.Tensor:
    """Each token's share of its text, [texts, longest]; 0 in the padding."""
    norms = counted(texts.vectors, texts.kept).norm(dim=2).clamp_min(1e-12)
    each = (norms if settings.marginals == "norm" else torch.ones_like(norms)).masked_fill(~texts.kept, 0.0)
    return each / each.sum(1, keepdim=True)
