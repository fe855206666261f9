"""The recipe of a student that is trained from a teacher's labels: that of `retr train` with a teacher."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retr.encoders.training.recipe import STUDENTS
from retr.encoders.training.recipe import Plan as TrainPlan
from retr.encoders.training.recipe import Recipe as TrainRecipe
from retr.encoders.training.rows import RowsSettings
from retr.encoders.training.settings import TrainSettings
from retr.retrieval.errors import BadInput, missing_package, unknown
from retr.retrieval.settings import settings_from

if TYPE_CHECKING:
    from retr.encoders.trainable.backbone import BackboneSettings
    from retr.encoders.trainable.student import Student
    from retr.encoders.training.validating import ValidationSettings


@dataclass(frozen=True, slots=True)
class StudentRecipe:
    """What `retr train` reads, with `teacher` in the place of an objective: `KIND=SOURCE`, a folder, or several.

    The teacher's labels are kept in the folder `labels`, without one in `OUT.labels`. `seed` stands above that of
    `[train]`.
    """

    method: str
    teacher: str | tuple[str, ...]
    model: Path
    out: Path
    data: RowsSettings
    kind: str = "bi"
    seed: int | None = None
    labels: Path | None = None
    train: TrainSettings = field(default_factory=TrainSettings)
    validation: Mapping[str, Any] | None = None
    student: Mapping[str, Any] = field(default_factory=dict)
    backbone: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse no teacher, an unknown kind, and a model that is not there."""
        check_start(self)
        if self.kind not in STUDENTS:
            raise unknown("kind of student", self.kind, STUDENTS)

    @property
    def teachers(self) -> tuple[str, ...]:
        """The teachers' specs."""
        return (self.teacher,) if isinstance(self.teacher, str) else self.teacher

    @property
    def settings(self) -> TrainSettings:
        """`[train]` with the seed."""
        return self.train if self.seed is None else replace(self.train, seed=self.seed)

    @property
    def labels_folder(self) -> Path:
        """Where labels are kept."""
        return self.labels or self.out.absolute().with_name(f"{self.out.name}.labels")

    def open_student(self) -> "Student":
        """The model, as `[student]` and `[backbone]` want it."""
        told = TrainRecipe(
            self.model, self.out, self.data, {}, self.kind, self.settings,
            student=self.student, backbone=self.backbone,
        )  # fmt: skip
        return TrainPlan(told, {}, "the recipe").open_student()

    def running(self, seed: int | None = None) -> "BackboneSettings":
        """`[backbone]`; what begins at random does so from the run's seed, or the one given."""
        from retr.encoders.trainable.backbone import BackboneSettings

        told = {"seed": self.settings.seed if seed is None else seed, **self.backbone}
        return settings_from(BackboneSettings, told, "the recipe: [backbone]")

    def open_validation(self) -> "ValidationSettings | None":
        """`[validation]`, where there is one."""
        from retr.encoders.training.validating import ValidationSettings

        if self.validation is None:
            return None
        return settings_from(ValidationSettings, self.validation, "the recipe: [validation]")

    def told(self, **more: Any) -> dict[str, Any]:
        """What the model card says of the recipe."""
        return {name: value for name, value in asdict(self).items() if value not in (None, {})} | more


def check_start(recipe: StudentRecipe) -> None:
    """BadInput without a teacher, and for a model that is not there."""
    if not recipe.teachers or not all(recipe.teachers):
        raise BadInput("teacher is empty; name at least one, such as cross=FOLDER.")
    if not recipe.model.is_dir():
        raise BadInput(f"model is {str(recipe.model)!r}, which is no folder. Name a model's folder.")


def need_torch(method: str) -> None:
    """NotFound, naming the package, where training cannot run."""
    from importlib.util import find_spec

    for module, package in (("torch", "torch"), ("pytorch_lightning", "pytorch-lightning"), ("safetensors",) * 2):
        if find_spec(module) is None:
            raise missing_package(package, needed_for=f"The method {method}", extra="train")
