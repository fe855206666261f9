"""The methods soft-bce, cosine-mse, logit-mse and mixed-mse: a teacher's numbers of pairs, met one by one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from retr.distill.labelling.store import Labels
from retr.distill.labelling.teachers import Scale
from retr.distill.recipe import Method, Report
from retr.distill.students.methods import above_zero, scored, trained
from retr.distill.students.recipe import StudentRecipe
from retr.retrieval.errors import BadInput

if TYPE_CHECKING:
    from retr.encoders.objectives import Objective

Shares = Literal["sigmoid", "clip"]
"""What makes a label of a score: of a logit its share, or a cosine kept in [0, 1]."""


@dataclass(frozen=True, slots=True)
class SoftBceSettings:
    """`[soft-bce]`: `sigmoid` for scorers, whose logits become shares; `clip` for encoders."""

    scale: Shares = "sigmoid"

    def __post_init__(self) -> None:
        """Refuse labels that could lie outside of [0, 1], where the loss has no bound."""
        if self.scale not in ("sigmoid", "clip"):
            raise BadInput(f"scale is {self.scale!r}; a soft cross-entropy needs shares: sigmoid or clip.")


@dataclass(frozen=True, slots=True)
class CosineSettings:
    """`[cosine-mse]`: as for soft-bce, or `raw` for an encoder whose cosines are to be met below nought too."""

    scale: Scale = "sigmoid"


@dataclass(frozen=True, slots=True)
class LogitSettings:
    """`[logit-mse]`: the mean over teachers is multiplied by `factor`, and met as a dot product or a score."""

    scale: Scale = "raw"
    factor: float = 1.0
    similarity: Literal["cosine", "dot"] = "dot"

    def __post_init__(self) -> None:
        """Refuse a factor that is not above zero."""
        above_zero(factor=self.factor)


@dataclass(frozen=True, slots=True)
class MixedSettings:
    """`[mixed-mse]`: `weight` is the teacher's share, and what is left that of the data's own label."""

    weight: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to the teacher."""
        if not 0 < self.weight <= 1:
            raise BadInput(f"weight is {self.weight}; give a number above 0 and at most 1, the teacher alone.")


def soft_bce(recipe: StudentRecipe, settings: SoftBceSettings, report: Report) -> Mapping[str, Any]:
    """The student's logit of each pair is to have the teacher's share (Hinton et al. 2015); what came of it."""
    from retr.encoders.objectives.listwise import BinaryCrossEntropy

    return _graded(recipe, settings.scale, BinaryCrossEntropy, report)


def cosine_mse(recipe: StudentRecipe, settings: CosineSettings, report: Report) -> Mapping[str, Any]:
    """The student's cosine of each pair is to be the teacher's label (Liu et al. 2022, section 3); what came of it."""
    if recipe.kind != "bi":
        raise BadInput(f"cosine-mse needs a student of vectors, and kind is {recipe.kind!r}. Set kind to bi.")
    from retr.encoders.objectives.graded import CosineMSE

    return _graded(recipe, settings.scale, CosineMSE, report)


def logit_mse(recipe: StudentRecipe, settings: LogitSettings, report: Report) -> Mapping[str, Any]:
    """Every score is to be the teacher's (Ba & Caruana 2014), of negatives too where there are some."""

    def objective(labels: Labels) -> "Objective":
        from retr.distill.labelling.taught import Taught
        from retr.encoders.objectives.distilling import LogitMSE

        return Taught(LogitMSE(similarity=settings.similarity), labels, factor=settings.factor)

    return trained(recipe, scored(recipe, settings.scale), objective, report)


def mixed_mse(recipe: StudentRecipe, settings: MixedSettings, report: Report) -> Mapping[str, Any]:
    """The cross-entropy with the data's label and the error against the teacher's logit, weighed; what came of it."""
    _check_pairs(recipe)
    if settings.weight < 1 and recipe.data.label is None:
        raise BadInput("mixed-mse learns from labels too; name their column in [data]: label. Or set weight to 1.")

    def objective(labels: Labels) -> "Objective":
        from retr.distill.labelling.taught import Taught
        from retr.encoders.objectives.distilling import MixedMSE

        return Taught(MixedMSE(settings.weight), labels)

    return trained(recipe, scored(recipe, "raw"), objective, report)


def _graded(recipe: StudentRecipe, scale: Scale, inner: Callable[[], "Objective"], report: Report) -> Mapping[str, Any]:
    _check_pairs(recipe)

    def objective(labels: Labels) -> "Objective":
        from retr.distill.labelling.taught import Taught

        return Taught(inner(), labels, into="label")

    return trained(recipe, scored(recipe, scale), objective, report)


def _check_pairs(recipe: StudentRecipe) -> None:
    if recipe.data.negative_columns:
        raise BadInput(f"{recipe.method} learns one pair a row; leave negatives out of [data], or take logit-mse.")


SOFT_BCE = Method(SoftBceSettings, soft_bce, StudentRecipe)
COSINE_MSE = Method(CosineSettings, cosine_mse, StudentRecipe)
LOGIT_MSE = Method(LogitSettings, logit_mse, StudentRecipe)
MIXED_MSE = Method(MixedSettings, mixed_mse, StudentRecipe)
