"""What a recipe of a Trans-Encoder says (Liu et al. 2022, arXiv 2109.13059)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from retr.encoders.training.rows import RowsSettings
from retr.encoders.training.settings import TrainSettings
from retr.retrieval.errors import BadInput
from retr.retrieval.settings import settings_from

if TYPE_CHECKING:
    from retr.encoders.trainable.backbone import BackboneSettings
    from retr.encoders.trainable.bi import BiSettings
    from retr.encoders.training.validating import ValidationSettings

Start = Literal["", "mirror-bert", "simcse"]
NAME = "trans-encoder"


@dataclass(frozen=True, slots=True)
class TransSettings:
    """`[trans-encoder]`.

    `strict` sees no label: each phase ends with its last step, the last cycle is kept, and pairs that are in
    `[validation]` are not trained on. In `paper` the validation picks the step of each phase and the cycle.
    With `refresh` a cross-encoder begins with the plain weights and a bi-encoder with the start's; without it each
    begins with the weights of the model before it. `start` trains the first bi-encoder on at most `start_texts` texts
    of the pairs (0: all). `pair_tokens` and `text_tokens` of 0 are what the folder says; the paper's are 64 and 32.
    """

    cycles: int = 3
    mode: Literal["strict", "paper"] = "strict"
    refresh: bool = True
    both_orders: bool = True
    start: Start = ""
    start_texts: int = 10_000
    pair_tokens: int = 0
    text_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse no cycles and lengths below zero."""
        if self.cycles < 1:
            raise BadInput(f"cycles is {self.cycles}; give at least 1.")
        for name in ("start_texts", "pair_tokens", "text_tokens"):
            if getattr(self, name) < 0:
                raise BadInput(f"{name} is {getattr(self, name)}; give a whole number of at least 0.")


@dataclass(frozen=True, slots=True)
class ToCross(TrainSettings):
    """`[cross]`: the training of a cross-encoder on a bi-encoder's labels, as in the paper where nothing is said."""

    validate_every: int = 200


@dataclass(frozen=True, slots=True)
class ToBi(TrainSettings):
    """`[bi]`: the training of a bi-encoder on a cross-encoder's labels, as in the paper where nothing is said."""

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 5e-5
    warmup: float = 0.0
    validate_every: int = 200


@dataclass(frozen=True, slots=True)
class ToStart(TrainSettings):
    """`[start]`: the training of the first bi-encoder, as Mirror-BERT's where nothing is said."""

    epochs: int = 2
    batch_size: int = 200
    warmup: float = 0.0


@dataclass(frozen=True, slots=True)
class TransRecipe:
    """One model distils itself, several distil each other. A label in `[data]` is never read.

    `plain` are the weights from which cross-encoders begin, one folder a model; without it, those of `model`, whose
    head begins at random. `[student]` is what the first bi-encoder is to have, `[backbone]` is of all models.
    """

    method: str
    model: str | tuple[str, ...]
    out: Path
    data: RowsSettings
    plain: str | tuple[str, ...] = ()
    seed: int | None = None
    cross: ToCross = field(default_factory=ToCross)
    bi: ToBi = field(default_factory=ToBi)
    start: ToStart = field(default_factory=ToStart)
    validation: Mapping[str, Any] | None = None
    student: Mapping[str, Any] = field(default_factory=dict)
    backbone: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse models that are not there, as many plain ones as there are not models, and several devices."""
        if not self.models or len(self.plains) != len(self.models):
            raise BadInput(f"There are {len(self.models)} models and {len(self.plains)} plain ones; name as many.")
        for name, folders in (("model", self.models), ("plain", self.plains)):
            for folder in folders:
                if not folder.is_dir():
                    raise BadInput(f"{name} is {str(folder)!r}, which is no folder. Name a model's folder.")
        if max(self.cross.devices, self.bi.devices, self.start.devices) > 1:
            raise BadInput("devices is above 1; the phases of a Trans-Encoder run on one device. Leave it out.")

    @property
    def models(self) -> tuple[Path, ...]:
        """What the first bi-encoders are made of."""
        return _paths(self.model)

    @property
    def plains(self) -> tuple[Path, ...]:
        """What the cross-encoders begin with."""
        return _paths(self.plain) or self.models

    @property
    def work(self) -> Path:
        """Where labels and models of every cycle are kept."""
        return self.out.absolute().with_name(f"{self.out.name}.cycles")

    def seeded(self, phase: TrainSettings) -> TrainSettings:
        """A phase's settings with the recipe's seed, as a plain `TrainSettings`."""
        told = {one.name: getattr(phase, one.name) for one in fields(TrainSettings)}
        return TrainSettings(**told if self.seed is None else {**told, "seed": self.seed})

    def running(self, phase: TrainSettings, tokens: int) -> "BackboneSettings":
        """`[backbone]` for a phase: its length, and its seed for what begins at random."""
        from retr.encoders.trainable.backbone import BackboneSettings

        told = {"seed": self.seeded(phase).seed, "max_tokens": tokens, **self.backbone}
        return settings_from(BackboneSettings, told, "the recipe: [backbone]")

    def first(self) -> "BiSettings":
        """`[student]`, compared by cosine: a label is one."""
        from retr.encoders.trainable.bi import BiSettings

        return replace(settings_from(BiSettings, self.student, "the recipe: [student]"), similarity="cosine")

    def open_validation(self, mode: str) -> "ValidationSettings | None":
        """`[validation]`, which has to be of graded pairs, and which the mode paper needs."""
        from retr.encoders.training.validating import ValidationSettings

        if self.validation is None:
            if mode == "paper":
                raise BadInput("The mode paper picks by labelled pairs; name them in [validation], or take strict.")
            return None
        found = settings_from(ValidationSettings, self.validation, "the recipe: [validation]")
        if not found.of_pairs:
            raise BadInput("[validation] of a Trans-Encoder is rows with a label, and metric spearman, pearson or auc.")
        return found


def _paths(told: str | tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(Path(name).expanduser() for name in ((told,) if isinstance(told, str) else told))
