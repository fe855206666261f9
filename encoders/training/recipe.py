"""A recipe: the TOML file that says which model learns from which rows, by which objective, into which folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retr.encoders.training.rows import RowsSettings
from retr.encoders.training.settings import TrainSettings
from retr.retrieval.errors import BadInput, RetrError
from retr.retrieval.kinds import resolve
from retr.retrieval.settings import load_toml, settings_from

if TYPE_CHECKING:
    from retr.encoders.trainable.student import Student
    from retr.encoders.training.job import TrainingJob

STUDENTS: dict[str, tuple[str, str]] = {
    "bi": ("retr.encoders.trainable.bi:open_bi", "retr.encoders.trainable.bi:BiSettings"),
    "cross": ("retr.encoders.trainable.cross:open_cross", "retr.encoders.trainable.cross:CrossSettings"),
    "uni": ("retr.encoders.trainable.uni:open_uni", "retr.encoders.trainable.uni:UniSettings"),
    "poly": ("retr.encoders.trainable.poly:open_poly", "retr.encoders.trainable.poly:PolySettings"),
    "late": ("retr.encoders.trainable.late:open_late", "retr.encoders.trainable.late:LateSettings"),
    "llm": ("retr.encoders.trainable.llm.opening:open_llm", "retr.encoders.trainable.llm.settings:LlmSettings"),
    "filip": (
        "retr.encoders.trainable.images.opening:open_filip",
        "retr.encoders.trainable.images.opening:FilipSettings",
    ),
    "lexsem": ("retr.encoders.trainable.lexsem:open_lexsem", "retr.encoders.lexsem.settings:LexSemSettings"),
    "smith": ("retr.encoders.trainable.smith:open_smith", "retr.encoders.smith.settings:SmithSettings"),
    "mvp": ("retr.encoders.trainable.mvp:open_mvp", "retr.encoders.mvp.settings:MVPSettings"),
}
"""A kind to what opens its student, `(folder, settings, running)`, and to the settings of the table `[student]`."""

RUNNING = "retr.encoders.trainable.backbone:BackboneSettings"
"""The settings of the table `[backbone]`, of every kind."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What stands outside of the tables. Paths are taken from the folder in which the command runs."""

    model: Path
    out: Path
    data: RowsSettings
    objective: Mapping[str, Any]
    kind: str = "bi"
    train: TrainSettings = field(default_factory=TrainSettings)
    validation: Mapping[str, Any] | None = None
    student: Mapping[str, Any] = field(default_factory=dict)
    backbone: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe that was read and found sound."""

    recipe: Recipe
    tables: Mapping[str, Any]
    """As they stand in the file, for the model card."""
    where: str

    def job(self) -> "TrainingJob":
        """Open the model, and make the job; here torch is imported."""
        from retr.encoders.objectives import objective_from
        from retr.encoders.training.job import TrainingJob
        from retr.encoders.training.validating import ValidationSettings

        recipe, where = self.recipe, self.where
        objective = objective_from(recipe.objective, f"{where}: [objective]")
        validation = None
        if recipe.validation is not None:
            validation = settings_from(ValidationSettings, recipe.validation, f"{where}: [validation]")
        return TrainingJob(self.open_student(), recipe.data, objective, recipe.train, validation, self.tables)

    def open_student(self) -> "Student":
        """The model, as `[student]` and `[backbone]` want it; what begins at random does so from the run's seed."""
        recipe = self.recipe
        opened, settings, running = (resolve(name, {}, "student") for name in (*STUDENTS[recipe.kind], RUNNING))
        asked = settings_from(settings, recipe.student, f"{self.where}: [student]") if recipe.student else None
        told = {"seed": recipe.train.seed, **recipe.backbone}
        student: Student = opened(recipe.model, asked, settings_from(running, told, f"{self.where}: [backbone]"))
        return student


def read_recipe(path: Path, *, out: Path | None = None, seed: int | None = None) -> Plan:
    """The plan in a TOML file; `out` and `seed` stand above what it says. BadInput or NotFound for one that is none."""
    tables = load_toml(path)
    recipe = settings_from(Recipe, tables, str(path))
    if recipe.kind not in STUDENTS:
        raise BadInput(f"{path}: kind is {recipe.kind!r}. Known: {', '.join(STUDENTS)}.")
    if not recipe.model.is_dir():
        raise BadInput(f"{path}: model is {str(recipe.model)!r}, which is no folder. Name a model's folder.")
    try:
        train = recipe.train if seed is None else replace(recipe.train, seed=seed)
    except RetrError as error:
        raise type(error)(f"{path}: {error}") from None
    recipe = replace(recipe, out=out or recipe.out, train=train)
    return Plan(recipe, tables, str(path))
