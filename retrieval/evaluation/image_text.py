"""Image-text retrieval: the texts of an image and the image of a text, recall@k in both directions and their sum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from retr.retrieval.errors import BadInput, Mismatch

Values = NDArray[np.float64]
DEPTHS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class ImageText:
    """`text_recall@k`: an image finds one of its texts; `image_recall@k`: a text finds its image; `rsum`: their sum.

    `per_query[metric]` is 1 or 0 an image [images], or a text [texts].
    """

    means: Mapping[str, float]
    per_query: Mapping[str, Values]
    images: int
    texts: int


def evaluate_image_text(scores: ArrayLike, image_of: Sequence[int], *, depths: Sequence[int] = DEPTHS) -> ImageText:
    """From scores [images, texts] and the row of each text's image [texts]; an image may have any number of texts.

    Given an image, its best placed text counts, as in the protocol of Karpathy and Fei-Fei (2015). What scores as high
    as the right answer is counted as placed before it. `rsum` is the sum of all recalls in percent: at most 600.
    """
    table, owner = _checked(scores, image_of, depths)
    places = {"text_recall": text_places(table, owner), "image_recall": image_places(table, owner)}
    per_query = {f"{name}@{k}": (found <= k).astype(np.float64) for name, found in places.items() for k in depths}
    means = {name: float(values.mean()) for name, values in per_query.items()}
    means["rsum"] = 100 * sum(means.values())
    return ImageText(means, per_query, *table.shape)


def text_places(scores: Values, image_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each image the place, from 1, of the best of its own texts among all texts [images]."""
    own = image_of[None, :] == np.arange(len(scores))[:, None]
    best = np.where(own, scores, -np.inf).max(axis=1)
    places: NDArray[np.int64] = 1 + ((scores >= best[:, None]) & ~own).sum(axis=1)
    return places


def image_places(scores: Values, image_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each text the place, from 1, of its own image among all images [texts]."""
    own = scores[image_of, np.arange(scores.shape[1])]
    places: NDArray[np.int64] = (scores >= own[None, :]).sum(axis=0)  # The image itself is one of them.
    return places


def _checked(scores: ArrayLike, image_of: Sequence[int], depths: Sequence[int]) -> tuple[Values, NDArray[np.int64]]:
    table, owner = np.asarray(scores, dtype=np.float64), np.asarray(image_of, dtype=np.int64)
    if table.ndim != 2 or owner.shape != (table.shape[1],):
        raise Mismatch(
            f"The scores have the shape {list(table.shape)}; with {len(owner)} texts, [images, {len(owner)}] is needed."
        )
    if not np.isfinite(table).all():
        raise BadInput("A score is not finite. Check the vectors.")
    lonely = sorted(set(range(len(table))) - set(owner.tolist()))
    if len(owner) and (owner.min() < 0 or owner.max() >= len(table)):
        raise BadInput(f"A text names the image {int(owner.max())}, but there are {len(table)}, counted from 0.")
    if lonely or not len(owner):
        raise BadInput(f"The image {lonely[0] if lonely else 0} has no text. Leave it out, or give it one.")
    if not depths or min(depths) < 1:
        raise BadInput(f"The depths of recall are {list(depths)}; give whole numbers from 1 on.")
    return table, owner
