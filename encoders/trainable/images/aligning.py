"""What a model sees where: word-patch alignments of its own images and captions."""

import torch

from retr.encoders.images.alignment import Alignment
from retr.encoders.trainable.images.student import ImageTextStudent


def align(student: ImageTextStudent, image: str, caption: str) -> Alignment:
    """The alignment of one image, by its path below the student's folder, with one caption.

    A model of the interaction `global` is looked at through the same projections, which never learnt to be.
    """
    was_training = student.module.training
    student.module.eval()
    try:
        with torch.no_grad():
            patches, words = student.read_patches([image]).vectors[0], student.read_words([caption]).vectors[0]
    finally:
        student.module.train(was_training)
    read = student.text.backbone.tokenizer.encode(caption)
    likeness = (patches @ words.T).float().cpu().numpy()
    return Alignment(caption, tuple(read.tokens), tuple(map(tuple, read.offsets)), student.image.grid, likeness)
