"""Which block was hidden: SMITH's training from documents that nobody has labelled."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from retr.encoders.trainable.smith import SmithStudent
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class MaskedBlocks:
    """-log of a hidden block's own share of exp(said . block) over all hidden blocks of the batch.

    (Yang et al. 2020, arXiv 2004.12297, section 3.3.1, without its bias.) The positives are the documents; of each,
    `blocks` blocks are hidden from the document encoder, at most all but one. What is said is compared with the blocks'
    vectors as the sentence encoder gives them, and both sides learn.
    """

    blocks: int = 2

    def __post_init__(self) -> None:
        """Refuse none."""
        if self.blocks < 1:
            raise BadInput(f"blocks is {self.blocks}; give at least 1.")

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over the hidden blocks of this process."""
        if not isinstance(student, SmithStudent):
            raise BadInput("The objective masked-blocks needs a student of the kind smith.")
        said, blocks = student.hide(batch.positives, self.blocks)
        if len(said) < 2:
            raise BadInput(
                f"masked-blocks needs two hidden blocks in a batch, and one of {len(batch)} documents had {len(said)}. "
                "Give documents of several blocks, or larger batches."
            )
        logits = said.float() @ blocks.float().T
        return cross_entropy(logits, torch.arange(len(said), device=said.device))
