"""The three trainings of a Trans-Encoder: what each begins with, and what it makes small."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from retr.distill.labelling.store import Labels
from retr.distill.labelling.taught import Taught
from retr.distill.trans.settings import Start, TransRecipe, TransSettings
from retr.encoders.objectives.graded import CosineMSE
from retr.encoders.objectives.listwise import BinaryCrossEntropy
from retr.encoders.objectives.unsupervised import MirrorBERT, SimCSE
from retr.encoders.trainable.bi import open_bi
from retr.encoders.trainable.cross import CrossSettings, open_cross
from retr.encoders.trainable.words import mask_token
from retr.retrieval.errors import Mismatch

if TYPE_CHECKING:
    from retr.encoders.objectives import Objective
    from retr.encoders.trainable.bi import BiStudent
    from retr.encoders.trainable.student import Student


def first_bi(recipe: TransRecipe, settings: TransSettings, model: int) -> "BiStudent":
    """The bi-encoder that all begins with, before any training of ours."""
    return open_bi(recipe.models[model], recipe.first(), recipe.running(recipe.start, settings.text_tokens))


def unsupervised(start: Start, student: "BiStudent") -> "Objective":
    """Texts alone (Liu et al. 2021; Gao et al. 2021); a span is replaced by the tokenizer's own mask token."""
    if start == "simcse":
        return SimCSE()
    return MirrorBERT(mask=mask_token(student.backbone))


def cross_from_bi(recipe: TransRecipe, settings: TransSettings, model: int, bi: Path) -> "Student":
    """The plain weights under a new head; without `refresh` the weights of the bi-encoder before."""
    begins = recipe.plains[model] if settings.refresh else bi
    return open_cross(begins, CrossSettings("pointwise"), recipe.running(recipe.cross, settings.pair_tokens))


def bi_from_cross(recipe: TransRecipe, settings: TransSettings, start: Path, cross: Path) -> "BiStudent":
    """The start's weights; without `refresh` those of the cross-encoder before, less its head, in the start's form."""
    running = recipe.running(recipe.bi, settings.text_tokens)
    student = open_bi(start, None, running)
    if not settings.refresh:
        other: Any = open_cross(cross, None, running).module
        _take(student, other.base_model.state_dict())
    return student


def to_cross(labels: Labels) -> "Objective":
    """-(y log s(x) + (1 - y) log(1 - s(x))) of the logit x and the label y in [0, 1]."""
    return Taught(BinaryCrossEntropy(), labels, into="label")


def to_bi(labels: Labels) -> "Objective":
    """(cos(u, v) - z)^2 of the label z in [0, 1]."""
    return Taught(CosineMSE(), labels, into="label")


def _take(student: "BiStudent", weights: dict[str, Any]) -> None:
    """Other weights into the encoder; a pooler, which no vector depends on, may be missing."""
    found = student.backbone.model.load_state_dict(weights, strict=False)
    odd = [name for name in (*found.missing_keys, *found.unexpected_keys) if "pooler" not in name]
    if odd:
        raise Mismatch(
            f"The cross-encoder and the start differ in {len(odd)} weights, such as {odd[0]!r}. Set refresh."
        )
