"""Both objectives learn: on pairs that were held out they come nearer to a fixed teacher than their mean."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pytorch_lightning")

from retr.distill.labelling.asking import LabelSettings, label_pairs  # noqa: E402
from retr.distill.labelling.teachers import Question  # noqa: E402
from retr.distill.trans.phases import to_bi, to_cross  # noqa: E402
from retr.distill.trans.teaching import Kind, open_model  # noqa: E402
from retr.encoders.trainable.bi import open_bi  # noqa: E402
from retr.encoders.trainable.cross import open_cross  # noqa: E402
from retr.encoders.training.job import TrainingJob  # noqa: E402
from retr.encoders.training.rows import Rows, RowsSettings  # noqa: E402
from retr.encoders.training.settings import TrainSettings  # noqa: E402

NOUNS = ["fish", "stone", "water", "sky"]
TEXTS = [f"{colour} {noun}" for colour, noun in product(("red", "blue", "the", "a"), NOUNS)]
EVERY = list(product(TEXTS, TEXTS))
HELD_OUT, SEEN = EVERY[::4], [pair for at, pair in enumerate(EVERY) if at % 4]


class Colours:
    """0.1 for a pair, and 0.4 more for each side that is red."""

    name, fingerprint, width, comparable = "colours", "colours", 1, True

    def answer(self, questions: Sequence[Question]) -> list[Any]:
        return [np.array([[self.label(one.query, text)] for text in one.texts], np.float32) for one in questions]

    def label(self, a: str, b: str) -> float:
        return 0.1 + 0.4 * (("red" in a) + ("red" in b))


class Same(Colours):
    """0.9 where both sides are of one half of the nouns, else 0.1."""

    name = fingerprint = "same"

    def label(self, a: str, b: str) -> float:
        return 0.9 if (NOUNS.index(a.split()[1]) < 2) == (NOUNS.index(b.split()[1]) < 2) else 0.1


def divergence(labels: Any, said: Any) -> float:
    """The mean Kullback-Leibler divergence of two shares: the soft cross-entropy less the labels' own entropy."""
    said = np.clip(said, 1e-6, 1 - 1e-6)
    one = labels * np.log(labels / said) + (1 - labels) * np.log((1 - labels) / (1 - said))
    return float(one.mean())


def squared(labels: Any, said: Any) -> float:
    return float(np.square(labels - said).mean())


@pytest.mark.parametrize(
    ("kind", "teacher", "open_student", "objective", "distance"),
    [("cross", Colours(), open_cross, to_cross, divergence), ("bi", Same(), open_bi, to_bi, squared)],
)
def test_a_student_is_nearer_to_its_teacher_than_the_mean(
    kind: Kind,
    teacher: Colours,
    open_student: Any,
    objective: Any,
    distance: Callable[[Any, Any], float],
    make_bi: Any,
    tmp_path: Path,
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"query": a, "positive": b}) + "\n" for a, b in SEEN))
    rows = Rows(RowsSettings(str(path)), tmp_path / "read")
    labels = label_pairs(rows, [teacher], tmp_path / "labels", LabelSettings("clip"))
    rows.close()
    settings = TrainSettings(steps=60, batch_size=16, learning_rate=3e-3, accelerator="cpu")
    out = tmp_path / "out"
    TrainingJob(open_student(make_bi(seed=1)), RowsSettings(str(path)), objective(labels), settings).run(out)
    wanted = np.array([teacher.label(a, b) for a, b in HELD_OUT])
    student = open_model(kind, out)
    said = np.array([float(one[0, 0]) for one in student.answer([Question(a, (b,)) for a, b in HELD_OUT])])
    said = 1 / (1 + np.exp(-said)) if kind == "cross" else said
    mean = np.full(len(wanted), np.mean([teacher.label(a, b) for a, b in SEEN]))
    assert distance(wanted, said) < distance(wanted, mean) / 2
