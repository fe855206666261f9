"""FILIP's loss: each image finds its text and each text its image, among those of the batch, token by token."""

from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from retr.encoders.objectives.checks import positive
from retr.encoders.objectives.gathering import gathered, gathered_lists, processes, rank
from retr.encoders.trainable.images.both_ways import both_ways
from retr.encoders.trainable.images.selecting import most_alike
from retr.encoders.trainable.images.student import ImageTextStudent
from retr.encoders.trainable.maxsim import NUMBERS_A_CHUNK, TokenTensors
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class FILIP:
    """Half the sum of two cross-entropies over learnt scales times similarities (Yao et al. 2022, equations 2 to 5).

    For a student of the interaction `global`, whose images and texts are one token each, it is CLIP's loss (Radford et
    al. 2021). Where an image or a caption is in a batch twice, its target is shared equally by all that belong to it.
    Before the loss, `token_keep` is the share of an image's tokens that is kept, those most like any token of this
    process's texts, and of a text's likewise (section 3.2), unless `text_token_keep` is given; 1 keeps all. With
    `gather` the batch is that of all processes. `numbers` bounds the products of tokens held at once.
    """

    token_keep: float = 1.0
    text_token_keep: float | None = None
    label_smoothing: float = 0.0
    gather: bool = True
    numbers: int = NUMBERS_A_CHUNK

    def __post_init__(self) -> None:
        """Refuse shares outside of (0, 1], and smoothing outside of [0, 1)."""
        positive(numbers=self.numbers)
        for name, share in (("token_keep", self.token_keep), ("text_token_keep", self._text_share)):
            if not 0 < share <= 1:
                raise BadInput(f"{name} is {share}; give a share above 0 and at most 1.")
        if not 0 <= self.label_smoothing < 1:
            raise BadInput(f"label_smoothing is {self.label_smoothing}; give a number from 0 to below 1.")

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over this process's rows."""
        if not isinstance(student, ImageTextStudent):
            raise BadInput("filip needs a student of the kind filip, and no grad-cache around it. Use infonce.")
        if batch.negatives:
            raise BadInput("filip takes pairs: others of the batch are the negatives. Leave negatives out of [data].")
        images, texts = student.read_images(batch.positives), student.read_texts(batch.queries)
        return self.of_tokens(images, texts, student.heads.scales(), batch)

    def of_tokens(
        self, images: TokenTensors, texts: TokenTensors, scales: tuple[Tensor, Tensor], batch: Batch
    ) -> Tensor:
        """The loss of a batch's tokens; scales are for image to text, and for text to image."""
        images, texts = most_alike(
            images, texts, image_share=self.token_keep, text_share=self._text_share, numbers=self.numbers
        )
        if self.gather and processes() > 1:
            to_text = both_ways(images, _everyones(texts), numbers=self.numbers)[0]
            to_image = both_ways(_everyones(images), texts, numbers=self.numbers)[1]
        else:
            to_text, to_image = both_ways(images, texts, numbers=self.numbers)
        targets = _targets(batch, share=self.gather).to(to_text.device, to_text.dtype)
        there = cross_entropy(to_text * scales[0], targets, label_smoothing=self.label_smoothing)
        back = cross_entropy(to_image.T * scales[1], targets, label_smoothing=self.label_smoothing)
        return (there + back) / 2

    @property
    def _text_share(self) -> float:
        return self.token_keep if self.text_token_keep is None else self.text_token_keep


def _targets(batch: Batch, *, share: bool) -> Tensor:
    """[rows, all rows]: equal parts for all that belong to a row, which have its image or its caption."""
    mine = [(names[0], question) for names, question in zip(batch.candidate_ids, batch.question_ids, strict=True)]
    everyone = gathered_lists(mine) if share else [mine]
    others = list(chain.from_iterable(everyone))
    start = sum(map(len, everyone[: rank()])) if share else 0
    if len({image for image, _ in others}) == len({text for _, text in others}) == len(others):
        return torch.eye(len(others))[start : start + len(mine)]
    same = [[image == other or text == another for other, another in others] for image, text in mine]
    found = torch.tensor(same, dtype=torch.float64)
    return found / found.sum(1, keepdim=True)


def _everyones(tokens: TokenTensors) -> TokenTensors:
    """The tokens of every process, by rank, filled up to the longest of all."""
    width = max(chain.from_iterable(gathered_lists([tokens.kept.shape[1]])))
    more = width - tokens.kept.shape[1]
    vectors = gathered(pad(tokens.vectors, (0, 0, 0, more)))
    kept = gathered(pad(tokens.kept, (0, more)).to(torch.uint8))
    return TokenTensors(vectors, kept.bool())
