"""The encoder learns: from a teacher's scores of each question's candidates, its vectors, or the pairs alone."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from retr.distill.adapting.settings import ALONE, AdaptSettings, Method
from retr.distill.adapting.stages import Report
from retr.distill.labelling.asking import label_pairs, label_texts
from retr.distill.labelling.store import Labels
from retr.distill.labelling.teachers import EncoderTeacher, Teacher
from retr.encoders.training.rows import Rows, RowsSettings
from retr.encoders.training.settings import TrainSettings
from retr.retrieval.errors import BadInput

if TYPE_CHECKING:
    from retr.encoders.objectives import Objective
    from retr.encoders.trainable.bi import BiStudent

TEMPERATURE = 0.05
"""Of cosines, the student's and a teaching encoder's; a scorer's logits are taken as they are."""
MARGIN = -0.1
"""Without a teacher, what the student scores above the positive by more than 0.1 is taken for an answer too.

What lies between is what it has to learn: with a margin of 0 or more it would see none of its own mistakes."""


def method_of(settings: AdaptSettings, teachers: Sequence[str]) -> str:
    """The method in force. BadInput where it does not go with the teachers, or has no cycles."""
    if settings.cycles > 1 and settings.method != "trans-encoder":
        raise BadInput(
            f"cycles is {settings.cycles}, and the method {settings.method} has none. Set method trans-encoder."
        )
    if settings.method == "auto":
        return "listwise-kl" if teachers else "infonce"
    if (settings.method in ALONE) == bool(teachers):
        what = "learns from no teacher; leave --teacher out" if teachers else "needs a teacher"
        known = ", ".join(name for name in get_args(Method) if name != "auto")
        raise BadInput(f"The method {settings.method} {what}. Known: {known}.")
    if settings.method == "embedding-mse" and len(teachers) > 1:
        raise BadInput(f"embedding-mse learns from one encoder; got {len(teachers)} teachers. Name one.")
    return settings.method


def check_teachers(method: str, teachers: Sequence[Teacher], dim: int) -> None:
    """BadInput where encoders and scorers are mixed, whose scores have no common scale, and for vectors that the
    student, whose own have `dim` numbers, cannot learn."""
    encoders = [isinstance(teacher, EncoderTeacher) for teacher in teachers]
    if any(encoders) and not all(encoders):
        raise BadInput("Teachers are all scorers or all encoders: cosines and logits have no mean. Leave some out.")
    if method != "embedding-mse":
        return
    (teacher,) = teachers
    if not isinstance(teacher, EncoderTeacher):
        raise BadInput(f"embedding-mse learns vectors, and {teacher.name} gives scores. Take an encoder.")
    if teacher.encoder.dim != dim:
        raise BadInput(
            f"embedding-mse learns vectors of {dim} numbers, and {teacher.name} gives {teacher.encoder.dim}. Leave "
            "--method out: then its scores are learned."
        )


def rows_settings(path: Path) -> RowsSettings:
    """The columns of rows.jsonl."""
    return RowsSettings(
        str(path), negatives="negatives", query_id="query_id", positive_id="positive_id", negative_ids="negative_ids"
    )


def label(rows: Path, folder: Path, method: str, teachers: Sequence[Teacher], report: Report) -> Labels:
    """What the teachers say of every row, asked once."""
    with _opened(rows, folder.with_name("rows-read")) as found:
        if method != "embedding-mse":
            return label_pairs(found, teachers, folder, report=report)
        (teacher,) = teachers
        assert isinstance(teacher, EncoderTeacher)
        return label_texts(found, teacher.encoder, folder, name=teacher.name, report=report)


def train(
    start: Path, rows: Path, out: Path, settings: AdaptSettings, objective: "Objective", told: Mapping[str, Any]
) -> Any:
    """The job, to be run into `out`."""
    from retr.encoders.training.job import TrainingJob

    train_settings = TrainSettings(
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        accelerator=settings.accelerator,
        precision=settings.precision,
        seed=settings.seed,
        checkpoint_every=max(1, min(100, settings.steps // 5)),
        log_every=max(1, settings.steps // 50),
    )
    return TrainingJob(open_student(start, settings), rows_settings(rows), objective, train_settings, None, told)


def open_student(start: Path, settings: AdaptSettings) -> "BiStudent":
    """The encoder to train; however little of a text it reads now, its folder will say what it said."""
    from retr.encoders.trainable.backbone import BackboneSettings
    from retr.encoders.trainable.bi import open_bi

    whole = open_bi(start, None, BackboneSettings(seed=settings.seed))
    if not 0 < settings.max_tokens < whole.about.max_tokens:
        return whole
    short = open_bi(start, None, BackboneSettings(seed=settings.seed, max_tokens=settings.max_tokens))
    return replace(short, about=replace(short.about, max_tokens=whole.about.max_tokens))


def objective_of(method: str, labels: Labels | None, teachers: Sequence[Teacher]) -> "Objective":
    """What is made small. A teaching scorer's logits are the logits of the student's cosines over 0.05."""
    from retr.distill.labelling.taught import EmbeddingMSE, Taught
    from retr.encoders.objectives.contrastive import InfoNCE
    from retr.encoders.objectives.listwise import ListwiseSoftmax
    from retr.encoders.objectives.margins import MarginMSE

    if labels is None:
        return InfoNCE(temperature=TEMPERATURE, false_negative_margin=MARGIN)
    if method == "embedding-mse":
        return EmbeddingMSE(labels)
    factor = 1.0 if all(isinstance(teacher, EncoderTeacher) for teacher in teachers) else TEMPERATURE
    if method == "margin-mse":
        return Taught(MarginMSE(similarity="cosine"), labels, factor=factor)
    return Taught(ListwiseSoftmax(student="auto", temperature=TEMPERATURE), labels, factor=factor)


@contextmanager
def _opened(path: Path, read: Path) -> Iterator[Rows]:
    rows = Rows(rows_settings(path), read)
    try:
        yield rows
    finally:
        rows.close()
        shutil.rmtree(read, ignore_errors=True)
