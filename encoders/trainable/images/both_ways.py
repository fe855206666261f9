"""FILIP's two similarities of images and texts from one product of their tokens, in bounded memory, with gradients."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from retr.encoders.trainable.images import fused
from retr.encoders.trainable.maxsim import NUMBERS_A_CHUNK, TokenTensors

_IN_CACHE = 1 << 19
"""Products that a processor holds in its cache, where passing over them again costs little."""
_TEXTS = 32
"""Texts that lie side by side: enough to fill a processor's widest registers when a maximum is taken."""


def both_ways(images: TokenTensors, texts: TokenTensors, *, numbers: int = NUMBERS_A_CHUNK) -> tuple[Tensor, Tensor]:
    """Image to text and text to image, each [images, texts] (Yao et al. 2022, FILIP, equations 3 to 5).

    The first is the mean over an image's tokens of the greatest product with any token of the text, the second the
    mean over the text's tokens of the greatest product with any token of the image: two matrices, in general
    different. Padding is in no maximum and no mean, whatever stands in it; one without tokens is 0 like to all. At
    least in float32, also under mixed precision. At most `numbers` products, or those of one image and one text, are
    made at once; nothing of them is remembered, and going backward they are made again, with room for twice as
    many numbers beside them.
    """
    with torch.autocast(images.vectors.device.type, enabled=False):
        left, right = cleaned(images), cleaned(texts)
        found: tuple[Tensor, Tensor] = _BothWays.apply(left, images.kept, right, texts.kept, numbers)  # type: ignore[no-untyped-call]  # torch leaves apply untyped.
    return found


def cleaned(tokens: TokenTensors) -> Tensor:
    """At least in float32, with zeros in the padding: a product with what is not finite there would be so too."""
    wide = tokens.vectors.to(torch.promote_types(tokens.vectors.dtype, torch.float32))
    return wide.masked_fill(~tokens.kept[:, :, None], 0.0)


@dataclass(frozen=True, slots=True)
class Tile:
    """Products of some images' tokens with some texts': `found` [images, m, n, texts], -inf where either is padding.

    `n` is the longest of these texts, whose places `texts` names. `left` [images * m, dim] and `right`
    [n * texts, dim] are what the products were made of. For the compiled kernels the padding of texts is not in
    `found`, but in `hidden` [n, texts], -inf there and else 0, which they add.
    """

    images: slice
    texts: Tensor
    n: int
    left: Tensor
    right: Tensor
    found: Tensor
    hidden: Tensor | None = None

    @property
    def best(self) -> tuple[Tensor, Tensor]:
        """Of each token the greatest: an image's [images, m, 1, texts], a text's [images, 1, n, texts]."""
        return self.found.amax(2, keepdim=True), self.found.amax(1, keepdim=True)


def tiles(
    left: Tensor, kept_left: Tensor, right: Tensor, kept_right: Tensor, numbers: int, *, compiled: bool = False
) -> Iterator[Tile]:
    """All products of [images, m, dim] with [texts, n, dim], so many at a time; texts last, so that maxima are wide.

    Texts come by length, so that little of a tile is padding. Its products lie where those of the one before lay.
    With `compiled` they are as the compiled kernels take them.
    """
    (rows, m, dim), (columns, longest, _) = left.shape, right.shape
    order, ends = _by_length(kept_right)
    turned, hidden = right.transpose(0, 1), right.new_zeros(longest, columns).masked_fill_(~kept_right.T, -torch.inf)
    room, padded = left.new_empty(0), not bool(kept_left.all())
    for images, some in _parts(rows, columns, m * longest, _at_once(left, numbers)):
        texts, n = order[some], ends[some.stop - 1]
        flat, others = left[images].reshape(-1, dim), turned[:n, texts].reshape(-1, dim)
        size = len(flat) * len(others)
        room = room if len(room) >= size else left.new_empty(size)
        found = room[:size].view(len(flat), len(others))
        beside = hidden[:n, texts]
        if compiled:
            torch.mm(flat, others.T, out=found)
        else:
            torch.addmm(beside.reshape(-1), flat, others.T, out=found)
        found = found.view(-1, m, n, len(texts))
        if padded:
            found.masked_fill_(~kept_left[images, :, None, None], -torch.inf)
        yield Tile(images, texts, n, flat, others, found, beside if compiled else None)


def _by_length(kept: Tensor) -> tuple[Tensor, list[int]]:
    """The places of texts, the shortest first, and how long each is: up to its last token, at least 1."""
    places = torch.arange(1, kept.shape[1] + 1, device=kept.device)
    ends, order = (kept * places).amax(1).clamp(min=1).sort(stable=True)
    return order, ends.tolist()


def _at_once(like: Tensor, numbers: int) -> int:
    return min(numbers, _IN_CACHE) if like.device.type == "cpu" else numbers


def _parts(images: int, texts: int, each: int, numbers: int) -> Iterator[tuple[slice, slice]]:
    """Slices of both whose products, `each` a pair, are at most `numbers`, or those of a pair."""
    wide = max(1, min(texts, _TEXTS, numbers // max(1, each)))
    high = max(1, numbers // max(1, each * wide))
    for first in range(0, images, high):
        for start in range(0, texts, wide):
            yield slice(first, min(first + high, images)), slice(start, min(start + wide, texts))


def _shares(kept: Tensor, like: Tensor) -> Tensor:
    """What each token counts for: one by the number of its text's tokens, and padding for nothing."""
    counted = kept.to(like.dtype)
    return counted / counted.sum(1, keepdim=True).clamp(min=1)


def _finite(best: Tensor) -> Tensor:
    return best.masked_fill_(best == -torch.inf, 0.0)


def _means(tile: Tile, share_left: Tensor, share_right: Tensor) -> tuple[Tensor, Tensor]:
    """Both means of a tile's images and texts, of the shares [images, m] and [n, texts]."""
    if tile.hidden is not None:
        return fused.means(tile.found, tile.hidden, share_left, share_right)
    of_images, of_texts = map(_finite, tile.best)
    to_text = torch.einsum("im,imt->it", share_left, of_images.squeeze(2))
    return to_text, torch.einsum("nt,int->it", share_right, of_texts.squeeze(1))


def _learnt(tile: Tile, shares: tuple[Tensor, Tensor], gradients: tuple[Tensor, Tensor], into: Tensor) -> Tensor:
    """Adds what the images' tokens learn to `into` [images, m, dim]; gives what the texts' learn [n, texts, dim].

    Where it is not compiled, the gradients of the products are laid out where the greatest stand, for both directions
    in one matrix, of which two products give the gradients of the tokens.
    """
    if tile.hidden is not None:
        return fused.learnt((tile.found, tile.hidden), shares, gradients, (tile.left, tile.right), into)
    of_images, of_texts = tile.best
    there, back = (gradient[:, None, None, :] for gradient in gradients)
    # As numbers, which are faster than truths.
    spread, other = (torch.eq(tile.found, best, out=torch.empty_like(tile.found)) for best in (of_images, of_texts))
    spread *= there * shares[0][:, :, None, None] / spread.sum(2, keepdim=True)
    spread.addcmul_(other, back * shares[1] / other.sum(1, keepdim=True))
    matrix = spread.reshape(len(tile.left), -1)
    into.flatten(0, 1).addmm_(matrix, tile.right)
    return (matrix.T @ tile.left).view(tile.n, len(tile.texts), -1)


class _BothWays(torch.autograd.Function):
    """Forward: maxima of products, tile by tile. Backward: each maximum's gradient goes to its two tokens.

    Equal products share it equally.
    """

    @staticmethod
    def forward(
        context: Any, left: Tensor, kept_left: Tensor, right: Tensor, kept_right: Tensor, numbers: int
    ) -> tuple[Tensor, Tensor]:
        to_text, to_image = (left.new_zeros(len(left), len(right)) for _ in range(2))
        share_left, share_right = _shares(kept_left, left), _shares(kept_right, left)
        for tile in tiles(left, kept_left, right, kept_right, numbers, compiled=fused.fits(left)):
            at = tile.images, tile.texts
            to_text[at], to_image[at] = _means(tile, share_left[tile.images], share_right[tile.texts, : tile.n].T)
        context.save_for_backward(left, kept_left, right, kept_right)
        context.numbers = numbers
        return to_text, to_image

    @staticmethod
    @once_differentiable
    def backward(context: Any, to_text: Tensor, to_image: Tensor) -> tuple[Tensor, None, Tensor, None, None]:
        left, kept_left, right, kept_right = context.saved_tensors
        share_left, share_right = _shares(kept_left, left), _shares(kept_right, left)
        some = kept_left.any(1)[:, None] & kept_right.any(1)[None, :]
        to_text, to_image = (gradient.masked_fill(~some, 0.0) for gradient in (to_text, to_image))
        gradient_left = torch.zeros_like(left)
        gradient_right = right.new_zeros(right.shape[1], len(right), right.shape[2])
        for tile in tiles(left, kept_left, right, kept_right, context.numbers, compiled=fused.fits(left)):
            images, texts, n = tile.images, tile.texts, tile.n
            shares = share_left[images], share_right[texts, :n].T
            gradients = to_text[images][:, texts], to_image[images][:, texts]
            gradient_right[:n].index_add_(1, texts, _learnt(tile, shares, gradients, gradient_left[images]))
        return gradient_left, None, gradient_right.transpose(0, 1), None, None
