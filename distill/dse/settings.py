"""What a recipe of a Distilled Sentence Embedding says."""

from dataclasses import dataclass, replace
from pathlib import Path

from retr.distill.dse.tasks import Task
from retr.distill.students.recipe import StudentRecipe, check_start
from retr.encoders.training.settings import TrainSettings
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class DseSettings:
    """`[dse]`: the task, and how much the teacher counts beside the labels.

    `weight` 0 is training without a teacher, 1 without labels. `dropout` is on the pooled vector, in training alone.
    `paper_compat` gives the student the schedule of the official code, which counts batches for steps: with
    `accumulate` 2 and `warmup` 0.1 the rate rises over a fifth of the updates and ends at 0.56 of its height.
    """

    task: str = "regression"
    classes: int = 0
    weight: float = 0.5
    dropout: float = 0.1
    paper_compat: bool = False

    def __post_init__(self) -> None:
        """Refuse what `Task` does, and shares that are none."""
        Task(self.task, self.classes)  # type: ignore[arg-type]  # it says itself what is accepted
        if not 0 <= self.weight <= 1:
            raise BadInput(f"weight is {self.weight}; give a number from 0, labels alone, to 1, the teacher alone.")
        if not 0 <= self.dropout < 1:
            raise BadInput(f"dropout is {self.dropout}; give a number from 0 to below 1.")

    def schedule(self, train: TrainSettings) -> TrainSettings:
        """`[train]` with the schedule that is asked for; BadInput where `paper_compat` would change nothing."""
        if not self.paper_compat:
            return train
        if train.accumulate == 1:
            raise BadInput(
                "paper_compat is true, and accumulate is 1, so nothing differs. Set accumulate = 2 in [train]."
            )
        return replace(train, schedule_over="batches")

    @property
    def said(self) -> Task:
        """The task."""
        return Task(self.task, self.classes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class DseRecipe(StudentRecipe):
    """`[student]` is a `DseShape` without `outputs`, which the task decides.

    With a table `[teaching]`, which is like `[train]`, the teacher is an encoder or a classifier that first learns the
    task from the same rows; it is kept in `OUT.teacher`. Without one it is a classifier that has learned.
    """

    kind: str = "dse"
    teaching: TrainSettings | None = None

    def __post_init__(self) -> None:
        """Refuse another kind, and several teachers that are to be trained."""
        check_start(self)
        if self.kind != "dse":
            raise BadInput(f"kind is {self.kind!r}; the method dse makes the kind dse. Leave it out.")
        if self.teaching is not None and len(self.teachers) != 1:
            raise BadInput(f"[teaching] trains one teacher; got {len(self.teachers)}. Name one.")

    @property
    def teacher_folder(self) -> Path:
        """Where a teacher is kept that is trained here."""
        return self.out.absolute().with_name(f"{self.out.name}.teacher")
