"""Which tokens of a batch take part in the loss: those most like any token of the other side (FILIP, section 3.2)."""

import torch
from torch import Tensor

from retr.encoders.trainable.images.both_ways import cleaned, tiles
from retr.encoders.trainable.maxsim import NUMBERS_A_CHUNK, TokenTensors


def most_alike(
    images: TokenTensors, texts: TokenTensors, *, image_share: float, text_share: float, numbers: int = NUMBERS_A_CHUNK
) -> tuple[TokenTensors, TokenTensors]:
    """The tokens of each image that are most like any token of any text, and of each text likewise, in their order.

    Of `n` tokens, padding counted, `int(n * share)` are kept, at least one; padding comes last, and where a text has
    fewer tokens, the rest stays padding. The choice itself has no gradient. With both shares 1 nothing is chosen.
    """
    if image_share == text_share == 1:
        return images, texts
    with torch.no_grad(), torch.autocast(images.vectors.device.type, enabled=False):
        left, right = cleaned(images), cleaned(texts)
        of_images = left.new_full(left.shape[:2], -torch.inf)
        of_texts = left.new_full(right.shape[:2], -torch.inf)
        for tile in tiles(left, images.kept, right, texts.kept, numbers):
            of_images[tile.images] = torch.maximum(of_images[tile.images], tile.found.amax((2, 3)))
            of_texts[tile.texts, : tile.n] = torch.maximum(of_texts[tile.texts, : tile.n], tile.found.amax((0, 1)).T)
    return _best(images, of_images, image_share), _best(texts, of_texts, text_share)


def _best(tokens: TokenTensors, likeness: Tensor, share: float) -> TokenTensors:
    if share == 1:
        return tokens
    count = max(1, int(likeness.shape[1] * share))
    at = likeness.topk(count, dim=1).indices.sort(dim=1).values
    vectors = tokens.vectors.gather(1, at[:, :, None].expand(-1, -1, tokens.vectors.shape[2]))
    return TokenTensors(vectors, tokens.kept.gather(1, at))
