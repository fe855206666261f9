"""How training goes on: each table of a recipe as a frozen class, checked when it is made."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Low-rank updates beside frozen weights (Hu et al. 2022); they are added into the weights when all is done.

    `targets` are endings of the names of linear layers, such as `query` and `value`; none stands for all of them.
    """

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a rank below 1, an alpha that is not above zero, and a dropout outside of [0, 1)."""
        _at_least(1, rank=self.rank)
        _above_zero(alpha=self.alpha)
        if not 0 <= self.dropout < 1:
            raise BadInput(f"dropout is {self.dropout}; give a number from 0 to below 1.")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """One run. A step takes `batch_size * accumulate` rows a process; `steps` stands above `epochs`.

    AdamW (Loshchilov & Hutter 2019); biases and norms do not decay. The learning rate rises over the first `warmup`
    share of the steps and then falls to nought along `schedule`, or stays, or falls as one over the root of the steps
    (noam: Vaswani et al. 2017, section 5.3, and the Uni-Encoder's paper). With `schedule_over` batches the schedule
    takes each batch for a step, so with `accumulate` n an n-th of it is run through, as in some papers' code.
    `checkpoint_every`, `log_every` and `validate_every` count steps; `patience` is how many validations in a row may
    be no better than the best. `batch_size` rows give their in-batch negatives, so accumulating is not the same as a
    larger batch: see grad-cache.
    """

    epochs: int = 1
    steps: int | None = None
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 2e-5
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    schedule: Literal["linear", "cosine", "constant", "noam"] = "linear"
    schedule_over: Literal["steps", "batches"] = "steps"
    warmup: float = 0.1
    clip_norm: float | None = 1.0
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    gradient_checkpointing: bool = False
    lora: LoraSettings | None = None
    strategy: str = "auto"
    accelerator: str = "auto"
    devices: int = 1
    seed: int = 0
    checkpoint_every: int = 500
    log_every: int = 10
    validate_every: int = 100
    patience: int | None = None

    def __post_init__(self) -> None:
        """Refuse settings out of their range."""
        counts = {"epochs": self.epochs, "batch_size": self.batch_size, "accumulate": self.accumulate}
        counts |= {"devices": self.devices, "checkpoint_every": self.checkpoint_every, "log_every": self.log_every}
        counts |= {"validate_every": self.validate_every, "patience": self.patience or 1}
        _at_least(1, **counts, steps=1 if self.steps is None else self.steps)
        _at_least(0, seed=self.seed)
        _above_zero(learning_rate=self.learning_rate, epsilon=self.epsilon)
        _above_zero(clip_norm=1.0 if self.clip_norm is None else self.clip_norm)
        for name, share in (("warmup", self.warmup), ("beta1", self.beta1), ("beta2", self.beta2)):
            if not 0 <= share < 1:
                raise BadInput(f"{name} is {share}; give a number from 0 to below 1.")
        if not (isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise BadInput(f"weight_decay is {self.weight_decay}; give a number of at least 0.")


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise BadInput(f"{name} is {value}; give a whole number of at least {least}.")


def _above_zero(**values: float) -> None:
    for name, value in values.items():
        if not (isfinite(value) and value > 0):
            raise BadInput(f"{name} is {value}; give a number above 0.")
