"""The methods margin-mse, listwise-kl and embedding-mse: label with the teacher, then train by one loop."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from retr.distill.labelling.asking import LabelSettings, label_pairs, label_texts
from retr.distill.labelling.store import Labels
from retr.distill.labelling.teachers import EncoderTeacher, Scale, open_teacher
from retr.distill.recipe import Method, Report
from retr.distill.students.recipe import StudentRecipe, need_torch
from retr.encoders.training.rows import Rows
from retr.retrieval.errors import BadInput

if TYPE_CHECKING:
    from retr.encoders.objectives import Objective


@dataclass(frozen=True, slots=True)
class MarginSettings:
    """`[margin-mse]`: what becomes of the teacher's scores, and how a bi-encoder's vectors are compared.

    Each score is brought to `scale`, and the mean over teachers is multiplied by `factor`. A student of unit vectors
    has margins from -2 to 2, so its teacher's need `scale = "sigmoid"` or a small factor.
    """

    scale: Scale = "raw"
    factor: float = 1.0
    similarity: Literal["cosine", "dot"] = "dot"

    def __post_init__(self) -> None:
        """Refuse a factor that is not above zero."""
        above_zero(factor=self.factor)


@dataclass(frozen=True, slots=True)
class ListwiseSettings:
    """`[listwise-kl]`: the student's scores are divided by `temperature`, the teacher's by `teacher_temperature`."""

    scale: Scale = "raw"
    temperature: float = 1.0
    teacher_temperature: float = 1.0
    similarity: Literal["cosine", "dot"] = "cosine"

    def __post_init__(self) -> None:
        """Refuse temperatures that are not above zero."""
        above_zero(temperature=self.temperature, teacher_temperature=self.teacher_temperature)


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """`[embedding-mse]`: there is nothing to set."""


def margin_mse(recipe: StudentRecipe, settings: MarginSettings, report: Report) -> Mapping[str, Any]:
    """The student's margins are to be the teacher's (Hofstätter et al. 2020); what came of it."""
    if not recipe.data.negative_columns:
        raise BadInput("margin-mse needs negatives; name their columns in [data]: negatives. `retr mine` finds some.")

    def objective(labels: Labels) -> "Objective":
        from retr.distill.labelling.taught import Taught
        from retr.encoders.objectives.margins import MarginMSE

        return Taught(MarginMSE(similarity=settings.similarity), labels, factor=settings.factor)

    return trained(recipe, scored(recipe, settings.scale), objective, report)


def listwise_kl(recipe: StudentRecipe, settings: ListwiseSettings, report: Report) -> Mapping[str, Any]:
    """The student's distribution over a query's candidates is to be the teacher's; what came of it."""
    if not recipe.data.negative_columns:
        raise BadInput("listwise-kl needs negatives; name their columns in [data]: negatives. `retr mine` finds some.")

    def objective(labels: Labels) -> "Objective":
        from retr.distill.labelling.taught import Taught
        from retr.encoders.objectives.listwise import ListwiseSoftmax

        inner = ListwiseSoftmax(student="auto", similarity=settings.similarity, temperature=settings.temperature)
        return Taught(inner, labels, factor=settings.temperature / settings.teacher_temperature)

    return trained(recipe, scored(recipe, settings.scale), objective, report)


def embedding_mse(recipe: StudentRecipe, settings: EmbeddingSettings, report: Report) -> Mapping[str, Any]:
    """The student's vectors are to be the teacher's (Reimers & Gurevych 2020); what came of it."""
    if len(recipe.teachers) != 1:
        raise BadInput(f"embedding-mse learns from one encoder; got {len(recipe.teachers)} teachers. Name one.")

    def label(rows: Rows, report: Report) -> Labels:
        teacher = open_teacher(recipe.teachers[0])
        if not isinstance(teacher, EncoderTeacher):
            raise BadInput(
                f"embedding-mse learns vectors, and {teacher.name} gives scores. Take an encoder: bi=FOLDER."
            )
        return label_texts(rows, teacher.encoder, recipe.labels_folder, name=teacher.name, report=report)

    def objective(labels: Labels) -> "Objective":
        from retr.distill.labelling.taught import EmbeddingMSE

        return EmbeddingMSE(labels)

    return trained(recipe, label, objective, report)


def scored(recipe: StudentRecipe, scale: Scale) -> Callable[[Rows, Report], Labels]:
    """What asks the recipe's teachers for a score of each pair."""

    def label(rows: Rows, report: Report) -> Labels:
        teachers = [open_teacher(spec) for spec in recipe.teachers]
        return label_pairs(rows, teachers, recipe.labels_folder, LabelSettings(scale=scale), report)

    return label


def trained(
    recipe: StudentRecipe,
    label: Callable[[Rows, Report], Labels],
    objective: Callable[[Labels], "Objective"],
    report: Report,
) -> Mapping[str, Any]:
    """Labels, and then a training job; nothing where this is not the first of several processes."""
    need_torch(recipe.method)
    from retr.encoders.training.job import TrainingJob

    validation = recipe.open_validation()
    student = recipe.open_student()
    with labelled(recipe, label, report) as labels:
        told = recipe.told(teacher_fingerprint=labels.facts.fingerprint, labels_sha256=labels.digest)
        job = TrainingJob(student, recipe.data, objective(labels), recipe.settings, validation, told)
        made = job.run(recipe.out, report)
    return summary(recipe, labels, made) if made else {}


@contextmanager
def labelled(recipe: StudentRecipe, label: Callable[[Rows, Report], Labels], report: Report) -> Iterator[Labels]:
    """The labels of the recipe's data. Of several processes the first one has made them when the others start."""
    folder = recipe.labels_folder
    if int(os.environ.get("LOCAL_RANK", "0")):
        yield Labels(folder)
        return
    read = folder.with_name(f"{folder.name}.rows")
    rows = Rows(recipe.data, read)
    try:
        labels = label(rows, report)
    finally:
        rows.close()
        shutil.rmtree(read, ignore_errors=True)
    yield labels


def summary(recipe: StudentRecipe, labels: Labels, made: Mapping[str, Any]) -> dict[str, Any]:
    """What a method says of a student that was trained."""
    figures = {"labels": len(labels), "rows": made["rows"]["count"], "steps": made["steps"]}
    if made["validation"] is not None:
        measured = made["validation"]
        figures |= {f"{measured['metric']} before": measured["start"], measured["metric"]: measured["best"]}
    teacher = {"name": labels.facts.teacher, "fingerprint": labels.facts.fingerprint}
    return {"kind": recipe.kind, "teacher": teacher, "figures": figures, "training": dict(made)}


def above_zero(**values: float) -> None:
    """BadInput for a setting that is not above zero, or not finite."""
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise BadInput(f"{name} is {value}; give a number above 0.")


MARGIN_MSE = Method(MarginSettings, margin_mse, StudentRecipe)
LISTWISE_KL = Method(ListwiseSettings, listwise_kl, StudentRecipe)
EMBEDDING_MSE = Method(EmbeddingSettings, embedding_mse, StudentRecipe)
