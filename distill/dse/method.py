"""The method dse: a teacher that learned the task, its logits by pair id, and the student's training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retr.distill.dse.classifier import load_classifier
from retr.distill.dse.settings import DseRecipe, DseSettings
from retr.distill.folder import check_new
from retr.distill.labelling.asking import label_pairs
from retr.distill.labelling.store import Labels
from retr.distill.recipe import Method, Report
from retr.distill.students.methods import labelled, summary
from retr.distill.students.recipe import need_torch
from retr.encoders.distilled.shape import DseShape
from retr.encoders.reading.folder import read_json
from retr.encoders.training.rows import Rows
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.settings import settings_from
from retr.retrieval.stamps import sha256_of


def distil(recipe: DseRecipe, settings: DseSettings, report: Report) -> Mapping[str, Any]:
    """Train the teacher where that is asked for, label, train the student; what came of it."""
    need_torch(recipe.method)
    check_new(recipe.out)
    if recipe.data.label is None and (settings.weight < 1 or recipe.teaching):
        raise BadInput("The task's own labels are needed; name their column in [data]: label. Or set weight to 1.")
    shape, train = _shape(recipe, settings), settings.schedule(recipe.settings)
    validation = recipe.open_validation()
    teachers = recipe.teachers if recipe.teaching is None else (str(_taught(recipe, settings, report)),)

    def label(rows: Rows, report: Report) -> Labels:
        loaded = [load_classifier(teacher, settings.said) for teacher in teachers]
        return label_pairs(rows, loaded, recipe.labels_folder, report=report)

    from retr.distill.dse.objective import PairLoss
    from retr.distill.dse.student import open_dse
    from retr.encoders.training.job import TrainingJob

    student = open_dse(recipe.model, shape, recipe.running(), dropout=settings.dropout)
    with labelled(recipe, label, report) as labels:
        told = recipe.told(
            teacher_fingerprint=labels.facts.fingerprint, labels_sha256=labels.digest, dse=_plain(settings)
        )
        objective = PairLoss(settings.said, settings.weight, labels)
        made = TrainingJob(student, recipe.data, objective, train, validation, told).run(recipe.out, report)
    return summary(recipe, labels, made) if made else {}


def _taught(recipe: DseRecipe, settings: DseSettings, report: Report) -> Path:
    """The folder of the teacher, trained now unless the very same one is there."""
    from retr.distill.dse.classifying import open_classifier
    from retr.distill.dse.objective import PairLoss
    from retr.encoders.training.job import TrainingJob

    assert recipe.teaching is not None
    out = recipe.teacher_folder
    data = {path.name: sha256_of(path) for path in recipe.data.paths if path.is_file()}
    told = {"teacher": recipe.teachers[0], "task": settings.task, "classes": settings.classes, "data": data}
    told |= {"teaching": _plain(recipe.teaching)}
    if out.exists():
        found = read_json(out / "retr.json", missing={}).get("training", {}).get("recipe")
        if found != told:
            raise Mismatch(f"{str(out)!r} holds a teacher of another recipe. Remove it, or name another out.")
        return out
    source = Path(recipe.teachers[0].partition("=")[2] or recipe.teachers[0]).expanduser()
    if not source.is_dir():
        raise BadInput(f"teacher is {str(source)!r}, which is no folder. With [teaching] it is one of an encoder.")
    student = open_classifier(source, settings.said, recipe.running(recipe.teaching.seed))
    TrainingJob(student, recipe.data, PairLoss(settings.said), recipe.teaching, None, told).run(out, report)
    return out


def _shape(recipe: DseRecipe, settings: DseSettings) -> DseShape:
    if "outputs" in recipe.student:
        raise BadInput("[student]: outputs is what the task in [dse] says. Leave it out.")
    return settings_from(DseShape, {**recipe.student, "outputs": settings.said.outputs}, "the recipe: [student]")


def _plain(settings: Any) -> Any:
    """As JSON would give it back."""
    from dataclasses import asdict

    return json.loads(json.dumps(asdict(settings)))


METHOD = Method(DseSettings, distil, DseRecipe)
