"""Images to labels without training: several prompts a label, whose likenesses, not whose vectors, are averaged."""

from collections.abc import Sequence

import torch

from retr.encoders.trainable.images.both_ways import both_ways
from retr.encoders.trainable.images.student import ImageTextStudent
from retr.retrieval.errors import BadInput

PROMPTS = ("a photo of a {}.", "a picture of a {}. I like it.")


def classify(
    student: ImageTextStudent, images: Sequence[str], labels: Sequence[str], prompts: Sequence[str] = PROMPTS
) -> torch.Tensor:
    """float [images, labels]: each image's likeness, image to text, to the label, the mean over the prompts.

    Texts have token vectors in different numbers, so vectors of prompts cannot be averaged (FILIP, section 3.3).
    """
    if not labels or not prompts:
        raise BadInput(f"{len(labels)} labels and {len(prompts)} prompts were given; give at least one of each.")
    for prompt in prompts:
        if "{}" not in prompt:
            raise BadInput(f"The prompt {prompt!r} has no {{}} for the label. Write it where the label is to stand.")
    with torch.no_grad():
        texts = student.read_texts([prompt.replace("{}", label) for label in labels for prompt in prompts])
        found = both_ways(student.read_images(images), texts)[0]
    return found.reshape(len(images), len(labels), len(prompts)).mean(2)
