"""What is to be said of a pair of sentences: a grade, yes or no, or one of several classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Mismatch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Task:
    """`regression` on the label as it is, `binary` with labels 0 and 1, or `classes` numbered from 0."""

    name: Literal["regression", "binary", "classes"] = "regression"
    classes: int = 0

    def __post_init__(self) -> None:
        """Refuse fewer than two classes, and classes for what has none."""
        if self.name not in ("regression", "binary", "classes"):
            raise BadInput(f"task is regression, binary or classes; got {self.name!r}.")
        if self.name == "classes" and self.classes < 2:
            raise BadInput(f"classes is {self.classes}; say how many there are, at least 2.")
        if self.name != "classes" and self.classes:
            raise BadInput(f"classes is {self.classes}, and the task {self.name} has none. Leave it out.")

    @property
    def outputs(self) -> int:
        """Numbers that a model gives for a pair."""
        return self.classes or 1

    def loss(self, logits: "Tensor", labels: Sequence[float]) -> "Tensor":
        """The mean squared error, the binary cross-entropy or the cross-entropy of float [pairs, outputs]."""
        from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

        if self.name == "classes":
            wanted = logits.new_tensor(labels)
            numbers = wanted.long()
            if bool((numbers != wanted).any()) or bool((numbers < 0).any()) or bool((numbers >= self.classes).any()):
                raise BadInput(f"A label is no class: whole numbers from 0 to {self.classes - 1} are. Check the data.")
            return cross_entropy(logits, numbers)
        wanted = logits.new_tensor(labels)
        if self.name == "binary":
            if bool(((wanted < 0) | (wanted > 1)).any()):
                raise BadInput("A label is outside of 0 to 1. Check the data, or set task to regression.")
            return binary_cross_entropy_with_logits(logits[:, 0], wanted)
        return mse_loss(logits[:, 0], wanted)

    def targets(self, logits: Floats) -> Floats:
        """A teacher's logits [pairs, labels] as [pairs, outputs]; Mismatch where they cannot be brought to it.

        Of two logits of a yes-or-no teacher it is l1 - l0, whose sigmoid is the softmax's share of the second.
        """
        if self.name == "binary" and logits.shape[1] == 2:
            return np.asarray(logits[:, 1:] - logits[:, :1], np.float32)
        if logits.shape[1] != self.outputs:
            raise Mismatch(
                f"The teacher gives {logits.shape[1]} numbers a pair, and the task {self.name} has {self.outputs}. "
                "Take a teacher of this task."
            )
        return logits
