"""The models of a cycle as teachers: the mean of several is the ensemble, which labels and is measured too."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from retr.distill.labelling.teachers import Averaged, EncoderTeacher, Question, Scale, ScorerTeacher, Teacher
from retr.encoders import load_encoder, load_scorer
from retr.encoders.training.rows import Rows

Kind = Literal["bi", "cross"]
SCALES: dict[Kind, Scale] = {"bi": "clip", "cross": "sigmoid"}
"""A cosine below nought would leave the soft cross-entropy without a bound; a logit is made a share."""
AT_ONCE = 256


def open_model(kind: Kind, folder: Path) -> Teacher:
    """A bi-encoder by the cosine of its vectors, or a cross-encoder; named by its folder's last two names."""
    name = "/".join(folder.parts[-2:])
    if kind == "bi":
        return EncoderTeacher(name, load_encoder(f"bi={folder}"))
    return ScorerTeacher(name, load_scorer(f"cross={folder}"))


def ensemble(kind: Kind, folders: Sequence[Path]) -> Averaged:
    """The mean of the models' cosines, or of their shares: sigmoid(logit)."""
    return Averaged(tuple(open_model(kind, folder) for folder in folders), "raw" if kind == "bi" else "sigmoid")


def measured(teacher: Teacher, rows: Rows, metric: str) -> float:
    """How a teacher's labels go with the rows' own: a correlation, or the AUC."""
    from retr.encoders.training.validating import measure_pairs

    found: list[float] = []
    labels: list[float] = []
    for batch in rows.every(AT_ONCE):
        questions = [Question(a, (b,)) for a, b in zip(batch.queries, batch.positives, strict=True)]
        found += [float(one[0, 0]) for one in teacher.answer(questions)]
        labels += batch.labels or ()
    return measure_pairs(metric, np.array(found), np.array(labels))
