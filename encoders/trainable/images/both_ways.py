"""FILIP's two similarities of images and texts from one product of their tokens, in bounded memory, with gradients."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from retr.encoders.trainable.maxsim import NUMBERS_A_CHUNK, TokenTensors


def both_ways(images: TokenTensors, texts: TokenTensors, *, numbers: int = NUMBERS_A_CHUNK) -> tuple[Tensor, Tensor]:
    """Image to text and text to image, each [images, texts] (Yao et al. 2022, FILIP, equations 3 to 5).

    The first is the mean over an image's tokens of the greatest product with any token of the text, the second the
    mean over the text's tokens of the greatest product with any token of the image: two matrices, in general
    different. Padding is in no maximum and no mean, whatever stands in it; one without tokens is 0 like to all. At
    least in float32, also under mixed precision. At most `numbers` products, or those of one text, are in memory at
    once; going backward, where the maxima stood is all that is remembered of them.
    """
    with torch.autocast(images.vectors.device.type, enabled=False):
        left, right = cleaned(images), cleaned(texts)
        found: tuple[Tensor, Tensor] = _BothWays.apply(left, images.kept, right, texts.kept, numbers)  # type: ignore[no-untyped-call]  # torch leaves apply untyped.
    return found


def cleaned(tokens: TokenTensors) -> Tensor:
    """At least in float32, with zeros in the padding: a product with what is not finite there would be so too."""
    wide = tokens.vectors.to(torch.promote_types(tokens.vectors.dtype, torch.float32))
    return wide.masked_fill(~tokens.kept[:, :, None], 0.0)


def products(
    left: Tensor, kept_left: Tensor, right: Tensor, kept_right: Tensor, numbers: int
) -> Iterator[tuple[slice, Tensor]]:
    """Some of the texts at a time, and [images, m, those texts, n], -inf where either token is padding."""
    images, m, dim = left.shape
    n = right.shape[1]
    for part in parts(left, right, numbers):
        others = right[part]
        hidden = others.new_zeros(len(others), n).masked_fill_(~kept_right[part], -torch.inf)
        found = torch.addmm(hidden.reshape(-1), left.reshape(-1, dim), others.reshape(-1, dim).T)
        found = found.reshape(images, m, len(others), n)
        if not kept_left.all():
            found.masked_fill_(~kept_left[:, :, None, None], -torch.inf)
        yield part, found


def parts(left: Tensor, right: Tensor, numbers: int) -> Iterator[slice]:
    """Slices of the texts whose products with all images are at most `numbers`, or those of one text."""
    each = max(1, left.shape[0] * left.shape[1] * right.shape[1])
    size = max(1, numbers // each)
    for start in range(0, len(right), size):
        yield slice(start, start + size)


def _shares(kept: Tensor, like: Tensor) -> Tensor:
    """What each token counts for: one by the number of its text's tokens, and padding for nothing."""
    counted = kept.to(like.dtype)
    return counted / counted.sum(1, keepdim=True).clamp(min=1)


class _BothWays(torch.autograd.Function):
    """Forward: maxima of products, chunk by chunk. Backward: each maximum's gradient goes to its two tokens.

    The gradients of a chunk's products are laid out where the maxima stood, for both directions in one matrix, of
    which two products give the gradients of the tokens. Of equal products the one that was found counts.
    """

    @staticmethod
    def forward(
        context: Any, left: Tensor, kept_left: Tensor, right: Tensor, kept_right: Tensor, numbers: int
    ) -> tuple[Tensor, Tensor]:
        images, m, n = len(left), left.shape[1], right.shape[1]
        to_text, to_image = (left.new_zeros(images, len(right)) for _ in range(2))
        share_left, share_right = _shares(kept_left, left), _shares(kept_right, left)
        text_at = torch.zeros(images, m, len(right), dtype=_narrow(n), device=left.device)
        image_at = torch.zeros(images, len(right), n, dtype=_narrow(m), device=left.device)
        for part, found in products(left, kept_left, right, kept_right, numbers):
            best, at = found.max(3)
            text_at[:, :, part] = at
            to_text[:, part] = torch.einsum("im,imt->it", share_left, best.masked_fill(best == -torch.inf, 0.0))
            best, at = found.max(1)
            image_at[:, part] = at
            best = best.masked_fill(best == -torch.inf, 0.0)
            to_image[:, part] = torch.einsum("tn,itn->it", share_right[part], best)
        context.save_for_backward(left, kept_left, right, kept_right, text_at, image_at)
        context.numbers = numbers
        return to_text, to_image

    @staticmethod
    @once_differentiable
    def backward(context: Any, to_text: Tensor, to_image: Tensor) -> tuple[Tensor, None, Tensor, None, None]:
        left, kept_left, right, kept_right, text_at, image_at = context.saved_tensors
        share_left, share_right = _shares(kept_left, left), _shares(kept_right, left)
        some = kept_left.any(1)[:, None] & kept_right.any(1)[None, :]
        to_text, to_image = (gradient.masked_fill(~some, 0.0) for gradient in (to_text, to_image))
        flat = left.reshape(-1, left.shape[2])
        gradient_left, gradient_right = torch.zeros_like(flat), torch.zeros_like(right)
        for part in parts(left, right, context.numbers):
            others = right[part]
            spread = left.new_zeros(*left.shape[:2], *others.shape[:2])
            each = to_text[:, None, part] * share_left[:, :, None]
            spread.scatter_(3, text_at[:, :, part, None].long(), each[..., None])
            each = to_image[:, part, None] * share_right[None, part]
            spread.scatter_add_(1, image_at[:, None, part].long(), each[:, None])
            matrix = spread.reshape(len(flat), -1)
            gradient_left.addmm_(matrix, others.reshape(-1, others.shape[2]))
            gradient_right[part] = (matrix.T @ flat).reshape(others.shape)
        return gradient_left.reshape(left.shape), None, gradient_right, None, None


def _narrow(tokens: int) -> torch.dtype:
    """The smallest type of numbers that counts so many tokens."""
    return torch.uint8 if tokens <= 256 else torch.int16 if tokens <= 32_768 else torch.int64
