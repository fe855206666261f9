"""FILIP's two similarities of images and texts from one product of their tokens, in bounded memory, with gradients."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

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
    made at once; nothing of them is remembered, and going backward they are made again.
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

    `left` [images * m, dim] and `right` [n * texts, dim] are what they were made of.
    """

    images: slice
    texts: slice
    left: Tensor
    right: Tensor
    found: Tensor

    @property
    def best(self) -> tuple[Tensor, Tensor]:
        """Of each token the greatest: an image's [images, m, 1, texts], a text's [images, 1, n, texts]."""
        return self.found.amax(2, keepdim=True), self.found.amax(1, keepdim=True)


def tiles(left: Tensor, kept_left: Tensor, right: Tensor, kept_right: Tensor, numbers: int) -> Iterator[Tile]:
    """All products of [images, m, dim] with [texts, n, dim], so many at a time; texts last, so that maxima are wide.

    A tile's products lie where those of the one before lay.
    """
    (rows, m, dim), (columns, n, _) = left.shape, right.shape
    turned, hidden, room = right.transpose(0, 1), _hidden(kept_right, right), left.new_empty(0)
    for images, texts in _parts(rows, columns, m * n, _at_once(left, numbers)):
        flat, others = left[images].reshape(-1, dim), turned[:, texts].reshape(-1, dim)
        room = room if len(room) else left.new_empty(len(flat) * len(others))
        found = room[: len(flat) * len(others)].view(len(flat), len(others))
        torch.addmm(hidden[:, texts].reshape(-1), flat, others.T, out=found)
        found = found.view(-1, m, n, texts.stop - texts.start)
        if not kept_left[images].all():
            found.masked_fill_(~kept_left[images, :, None, None], -torch.inf)
        yield Tile(images, texts, flat, others, found)


def _hidden(kept: Tensor, like: Tensor) -> Tensor:
    """[n, texts]: -inf for padding, and 0."""
    return like.new_zeros(kept.T.shape).masked_fill_(~kept.T, -torch.inf)


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


class _BothWays(torch.autograd.Function):
    """Forward: maxima of products, tile by tile. Backward: each maximum's gradient goes to its two tokens.

    The gradients of a tile's products are laid out where the maxima stand, for both directions in one matrix, of
    which two products give the gradients of the tokens. Equal products share it equally.
    """

    @staticmethod
    def forward(
        context: Any, left: Tensor, kept_left: Tensor, right: Tensor, kept_right: Tensor, numbers: int
    ) -> tuple[Tensor, Tensor]:
        to_text, to_image = (left.new_zeros(len(left), len(right)) for _ in range(2))
        share_left, share_right = _shares(kept_left, left), _shares(kept_right, left)
        for tile in tiles(left, kept_left, right, kept_right, numbers):
            of_images, of_texts = map(_finite, tile.best)
            at = tile.images, tile.texts
            to_text[at] = torch.einsum("im,imt->it", share_left[tile.images], of_images.squeeze(2))
            to_image[at] = torch.einsum("tn,int->it", share_right[tile.texts], of_texts.squeeze(1))
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
        gradient_left, room = torch.zeros_like(left), left.new_empty(0)
        gradient_right = right.new_zeros(right.shape[1], len(right), right.shape[2])
        for tile in tiles(left, kept_left, right, kept_right, context.numbers):
            images, texts, (of_images, of_texts) = tile.images, tile.texts, tile.best
            there = to_text[images, None, None, texts] * share_left[images, :, None, None]
            back = to_image[images, None, None, texts] * share_right[texts].T[None, None]
            room = room if room.numel() else left.new_empty(2, tile.found.numel())
            spread, other = (part[: tile.found.numel()].view(tile.found.shape) for part in room)
            torch.eq(tile.found, of_images, out=spread)  # numbers, which are faster than truths
            torch.eq(tile.found, of_texts, out=other)
            spread *= there / spread.sum(2, keepdim=True)
            spread.addcmul_(other, back / other.sum(1, keepdim=True))
            matrix = spread.reshape(len(tile.left), -1)
            gradient_left[images].flatten(0, 1).addmm_(matrix, tile.right)
            gradient_right[:, texts] += (matrix.T @ tile.left).reshape(right.shape[1], -1, right.shape[2])
        return gradient_left, None, gradient_right.transpose(0, 1), None, None
