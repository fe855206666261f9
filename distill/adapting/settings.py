"""What can be chosen about adapting an encoder."""

from dataclasses import dataclass
from typing import Literal, get_args

from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.evaluation.ranking import parse_metric

Method = Literal["auto", "listwise-kl", "margin-mse", "embedding-mse", "infonce", "trans-encoder"]
ALONE = ("infonce", "trans-encoder")
"""Methods that learn from no teacher."""
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class AdaptSettings:
    """How pairs are made, how long is trained, and how the outcome is measured.

    `auto` is listwise-kl with teachers and infonce without. A step takes `batch_size` pairs, each with up to
    `negatives` of its `depth` nearest passages; no more pairs are made than the steps take. `max_tokens` of a text are
    read in training (0: all that the encoder reads; the adapted encoder reads as much as before). trans-encoder trains
    a cross-encoder and an encoder in each of its `cycles`, for `steps` each. Without queries, up to `held_out`
    documents, a fifth of all at most, are kept from training to ask about. `alpha` is the level at which the encoder
    counts as better.
    """

    method: Method = "auto"
    steps: int = 500
    cycles: int = 1
    batch_size: int = 16
    learning_rate: float = 2e-5
    negatives: int = 4
    depth: int = 50
    max_tokens: int = 0
    held_out: int = 300
    metric: str = "ndcg@10"
    alpha: float = 0.05
    language: str = "en"
    accelerator: str = "auto"
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse an unknown method or metric, and numbers out of their range."""
        _check_known("method of adapting", self.method, get_args(Method))
        _check_known("precision", self.precision, get_args(Precision))
        for name, least in (("steps", 1), ("cycles", 1), ("batch_size", 2), ("negatives", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise BadInput(f"{name} is {getattr(self, name)}; give a whole number of at least {least}.")
        if self.max_tokens != 0 and self.max_tokens < FEWEST_TOKENS:
            raise BadInput(
                f"max_tokens is {self.max_tokens}; give at least {FEWEST_TOKENS}, or 0 for all that are read."
            )
        if self.depth < self.negatives:
            raise BadInput(f"depth is {self.depth}, less than the {self.negatives} negatives that are to be among it.")
        if self.held_out < FEWEST_HELD_OUT:
            raise BadInput(f"held_out is {self.held_out}; give at least {FEWEST_HELD_OUT} documents.")
        if not 0 < self.learning_rate < float("inf"):
            raise BadInput(f"learning_rate is {self.learning_rate}; give a number above 0, such as 2e-5.")
        if not 0 < self.alpha < 1:
            raise BadInput(f"alpha is {self.alpha:g}; give a number between 0 and 1, such as 0.05.")
        parse_metric(self.metric)


def _check_known(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise unknown(what, str(name), known)


FEWEST_TOKENS = 8
"""A text of fewer says nothing."""
FEWEST_HELD_OUT = 10
"""Pseudo questions without which nothing is measured."""
