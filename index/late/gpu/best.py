"""The best scores of each query on a device, of equal ones the lower document."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_BITS = 62


def best(scores: "torch.Tensor", count: int, bound: int) -> tuple["torch.Tensor", "torch.Tensor"]:
    """The largest of whole numbers [queries, documents], none of a size above `bound`, and their places: int64.

    Both [queries, count], or as many as there are. torch's topk orders equal numbers as it likes, so a number and its
    place are made one number of 64 bits; where those are too few, everything is sorted.
    """
    import torch

    documents = scores.shape[1]
    bits = max(1, (documents - 1).bit_length())
    wide = scores.to(torch.int64)
    if (bound + 1) << bits >= 1 << _BITS:
        values, places = torch.sort(wide, dim=1, descending=True, stable=True)
        return values[:, :count], places[:, :count]
    last = (1 << bits) - 1
    keys = wide * (1 << bits) + (last - torch.arange(documents, device=scores.device))
    top = torch.topk(keys, min(count, documents), dim=1).values
    return top >> bits, last - (top & last)
