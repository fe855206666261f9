"""The loss by hand, the teacher's logits, and whole recipes: teacher, labels and student."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("pytorch_lightning")

from retr.distill.dse.classifier import load_classifier  # noqa: E402
from retr.distill.dse.classifying import open_classifier  # noqa: E402
from retr.distill.dse.objective import PairLoss  # noqa: E402
from retr.distill.dse.student import open_dse  # noqa: E402
from retr.distill.dse.tasks import Task  # noqa: E402
from retr.distill.labelling.asking import label_pairs  # noqa: E402
from retr.distill.labelling.store import Labels  # noqa: E402
from retr.distill.labelling.teachers import Question  # noqa: E402
from retr.distill.recipe import read_recipe  # noqa: E402
from retr.encoders import load_encoder, load_scorer  # noqa: E402
from retr.encoders.distilled.model import load_model  # noqa: E402
from retr.encoders.distilled.shape import DseShape  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.encoders.training.job import TrainingJob  # noqa: E402
from retr.encoders.training.rows import Rows  # noqa: E402
from retr.encoders.training.settings import TrainSettings  # noqa: E402
from retr.retrieval.errors import BadInput, Mismatch, NotFound, RetrError  # noqa: E402

from .conftest import PAIRS  # noqa: E402

CLASSES = Task("classes", 3)
SETTINGS = TrainSettings(steps=3, batch_size=4, learning_rate=1e-3, accelerator="cpu", log_every=1)
SHAPE = DseShape(layers=2, hidden=6, outputs=3)


class Fixed:
    """Logits that are given."""

    def __init__(self, logits: Any) -> None:
        self.given = torch.tensor(logits, dtype=torch.float64)

    def logits(self, pairs: Any) -> Any:
        assert len(pairs) == len(self.given)
        return self.given


def labels_of(write_pairs: Any, teacher: Any, folder: Path, settings: Any = None) -> Labels:
    rows = Rows(settings or write_pairs(), folder.with_name(f"{folder.name}.rows"))
    labels = label_pairs(rows, [teacher], folder)
    rows.close()
    return labels


@pytest.fixture
def teacher(make_cross: Any) -> Any:
    return load_classifier(str(make_cross(labels=3, seed=4)), CLASSES)


def test_two_logits_are_one_of_the_same_share() -> None:
    logits = np.array([[0.3, 1.2], [2.0, -1.0]], np.float32)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    one = Task("binary").targets(logits)[:, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-one)), shares[:, 1], atol=1e-6)


def test_each_tasks_loss_by_hand() -> None:
    given = torch.tensor([[1.0, -1.0, 0.0], [0.5, 0.0, 2.0]])
    shares = torch.exp(given) / torch.exp(given).sum(1, keepdim=True)
    by_hand = -(torch.log(shares[0, 2]) + torch.log(shares[1, 0])) / 2
    assert float(CLASSES.loss(given, [2, 0])) == pytest.approx(float(by_hand))
    assert float(Task().loss(given[:, :1], [3.0, 0.5])) == pytest.approx(2.0)
    share = 1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(-0.5))
    assert float(Task("binary").loss(given[:, :1], [1, 0])) == pytest.approx(
        -(np.log(share[0]) + np.log(1 - share[1])) / 2
    )


def test_the_mixture_is_the_sum_over_outputs_and_the_mean_over_pairs(
    write_pairs: Any, teacher: Any, tmp_path: Path
) -> None:
    labels = labels_of(write_pairs, teacher, tmp_path / "l")
    (a, b), (c, d) = PAIRS[:2]
    batch = Batch((a, c), (b, d), labels=(2.0, 0.0))
    goal = np.concatenate([teacher.logits([(a, b)]), teacher.logits([(c, d)])])
    student = Fixed([[1.0, -1.0, 0.0], [0.5, 0.0, 2.0]])
    error = float(np.square(student.given.numpy() - goal).sum(1).mean())
    task = float(CLASSES.loss(student.given, [2, 0]))
    for weight in (0.0, 0.3, 1.0):
        loss = PairLoss(CLASSES, weight, labels)(student, batch)  # type: ignore[arg-type]
        assert float(loss) == pytest.approx((1 - weight) * task + weight * error, rel=1e-5)
    perfect = Fixed(goal)
    assert float(PairLoss(CLASSES, 1.0, labels)(perfect, batch)) == pytest.approx(0, abs=1e-9)  # type: ignore[arg-type]


def test_weight_one_ignores_labels_and_weight_nought_the_teacher(
    write_pairs: Any, teacher: Any, make_bi: Any, make_cross: Any, tmp_path: Path
) -> None:
    labels = labels_of(write_pairs, teacher, tmp_path / "l")
    other = load_classifier(str(make_cross(labels=3, seed=5)), CLASSES)
    others = labels_of(write_pairs, other, tmp_path / "m")
    number = iter(range(99))

    def weights(weight: float, labels: Labels | None, grades: Any) -> bytes:
        out = tmp_path / f"out-{next(number)}"
        objective = PairLoss(CLASSES, weight, labels)
        TrainingJob(open_dse(make_bi(seed=1), SHAPE), write_pairs(grades), objective, SETTINGS).run(out)
        return (out / "model.safetensors").read_bytes()

    one, two = [0, 1, 2] * 2 + [0, 1], [2, 1, 0] * 2 + [2, 0]
    assert weights(0.0, None, one) == weights(0.0, others, one) != weights(0.0, None, two)
    batches = [Batch(*zip(*PAIRS, strict=True), labels=tuple(map(float, grades))) for grades in (one, two)]
    student = open_dse(make_bi(seed=1), SHAPE)
    student.module.eval()
    losses = [float(PairLoss(CLASSES, 1.0, labels)(student, batch).detach()) for batch in batches]
    assert losses[0] == losses[1]
    assert losses[0] != float(PairLoss(CLASSES, 1.0, others)(student, batches[0]).detach())


def test_a_missing_logit_stops_the_training(write_pairs: Any, teacher: Any, make_bi: Any, tmp_path: Path) -> None:
    labels = labels_of(write_pairs, teacher, tmp_path / "l")
    path = tmp_path / "more.jsonl"
    path.write_text(Path(write_pairs().files).read_text() + '{"query": "new", "positive": "pair", "label": 0}\n')
    job = TrainingJob(
        open_dse(make_bi(), SHAPE), replace(write_pairs(), files=str(path)), PairLoss(CLASSES, 0.5, labels)
    )
    with pytest.raises(NotFound, match="has no label of 1"):
        job.run(tmp_path / "out")


def test_the_teacher_says_the_same_with_and_without_torch(make_bi: Any, tmp_path: Path) -> None:
    for task in (CLASSES, Task("binary"), Task()):
        student = open_classifier(make_bi(seed=2), task)
        student.module.eval()
        out = tmp_path / task.name
        out.mkdir()
        student.save(out)
        with torch.no_grad():
            wanted = student.logits(PAIRS).numpy()
        assert wanted.shape == (len(PAIRS), task.outputs)
        np.testing.assert_allclose(load_classifier(str(out), task).logits(PAIRS), wanted, atol=1e-5)
        again = open_classifier(out, task)
        again.module.eval()
        with torch.no_grad():
            np.testing.assert_allclose(again.logits(PAIRS).numpy(), wanted, atol=1e-6)
    scorer = load_scorer(str(tmp_path / "regression"))
    np.testing.assert_allclose(scorer.score(PAIRS[0][0], [PAIRS[0][1]]), wanted[0], atol=1e-5)


def test_a_teacher_of_another_task_is_refused(make_cross: Any, make_bi: Any) -> None:
    with pytest.raises(Mismatch, match="gives 3 numbers a pair"):
        load_classifier(str(make_cross(labels=3)), Task("binary"))
    assert load_classifier(str(make_cross(labels=2)), Task("binary")).answer([Question("a", ("b",))])[0].shape == (1, 1)
    with pytest.raises(BadInput, match="classifier of 3 labels"):
        open_classifier(make_cross(labels=3), Task("classes", 4))


@pytest.mark.parametrize(("task", "labels"), [(CLASSES, [0, 3]), (CLASSES, [0.5, 1]), (Task("binary"), [0, 2])])
def test_labels_that_are_none_of_the_task_are_refused(task: Task, labels: list[float]) -> None:
    with pytest.raises(BadInput, match="label is"):
        task.loss(torch.zeros(2, task.outputs), labels)


def recipe(tmp_path: Path, settings: Any, **tables: Any) -> Path:
    top = {name: value for name, value in tables.items() if not isinstance(value, dict)}
    told = {"train": {"steps": 3, "batch_size": 4, "accelerator": "cpu"}, "student": {"layers": 2, "hidden": 6}}
    told |= {"data": {"files": settings.files, "label": "label"}}
    told |= {name: value for name, value in tables.items() if isinstance(value, dict)}
    lines = ['method = "dse"', f'out = "{tmp_path / "out"}"']
    lines += [f"{name} = {json.dumps(value)}" for name, value in top.items()]
    for name, table in told.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    path = tmp_path / "recipe.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_recipe_teaches_labels_and_distils(write_pairs: Any, make_bi: Any, tmp_path: Path) -> None:
    model, teaching = str(make_bi(seed=1)), {"steps": 2, "batch_size": 4, "accelerator": "cpu"}
    dse = {"task": "classes", "classes": 3, "paper_compat": True}
    train = {"steps": 3, "batch_size": 4, "accumulate": 2, "accelerator": "cpu"}
    rows = write_pairs([0, 1, 2, 0, 1, 2, 0, 1])
    path = recipe(tmp_path, rows, teacher=model, model=model, teaching=teaching, dse=dse, train=train)
    seen: set[str] = set()
    made = read_recipe(path).run(lambda unit, done, total: seen.add(unit))
    assert seen == {"steps", "rows labelled"}
    assert made["figures"] == {"labels": 8, "rows": 8, "steps": 3}
    of_student, of_teacher = (
        json.loads((tmp_path / name / "retr.json").read_text())["training"]["settings"]
        for name in ("out", "out.teacher")
    )
    assert (of_student["schedule_over"], of_teacher["schedule_over"]) == ("batches", "steps")
    assert made["kind"] == "dse"
    labels = Labels(tmp_path / "out.labels")
    taught = load_classifier(str(tmp_path / "out.teacher"), CLASSES)
    assert labels.facts.fingerprint  # of the mean of one
    assert labels.width == 3 == load_model(str(tmp_path / "out")).logits(PAIRS).shape[1]
    np.testing.assert_allclose(
        np.sort(labels.values([_id(pair) for pair in PAIRS]).ravel()), np.sort(taught.logits(PAIRS).ravel()), atol=1e-6
    )
    assert load_encoder(f"dse={tmp_path / 'out'}").dim == 64
    again = read_recipe(path, out=tmp_path / "out")
    with pytest.raises(BadInput, match="exists already"):
        again.run()


def _id(pair: tuple[str, str]) -> str:
    from retr.distill.labelling.keys import pair_id

    return pair_id(*pair)


def test_a_teacher_is_used_again_when_it_is_the_same(
    write_pairs: Any, make_bi: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, teaching = str(make_bi(seed=1)), {"steps": 2, "batch_size": 4, "accelerator": "cpu"}
    told = {"teacher": model, "model": model, "teaching": teaching, "dse": {"task": "binary"}}
    path = recipe(tmp_path, write_pairs(), **told)
    read_recipe(path).run()
    first = (tmp_path / "out" / "model.safetensors").read_bytes()
    (tmp_path / "out").rename(tmp_path / "before")
    read_recipe(path).run()
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == first
    (tmp_path / "out").rename(tmp_path / "before-too")
    other = recipe(tmp_path, write_pairs(), **{**told, "teaching": {**teaching, "steps": 3}})
    with pytest.raises(Mismatch, match="teacher of another recipe"):
        read_recipe(other).run()


@pytest.mark.parametrize("cut_at", [("steps", 1, 2), ("rows labelled", 8, 8), ("steps", 1, 3)])
def test_cut_off_in_any_phase_it_comes_to_the_same_weights(
    cut_at: tuple[str, int, int], write_pairs: Any, make_bi: Any, tmp_path: Path
) -> None:
    model, teaching = str(make_bi(seed=1)), {"steps": 2, "batch_size": 4, "accelerator": "cpu"}
    told = {"teacher": model, "model": model, "teaching": teaching, "dse": {"task": "binary"}}
    train = {"steps": 3, "batch_size": 4, "accelerator": "cpu", "checkpoint_every": 1}
    path = recipe(tmp_path, write_pairs(), **told, train=train)

    def cut(unit: str, done: int, total: int) -> None:
        if (unit, done, total) == cut_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_recipe(path).run(cut)
    assert not (tmp_path / "out").exists()
    read_recipe(path).run()
    read_recipe(path, out=tmp_path / "whole").run()
    for name in ("model.safetensors", "dse.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dse": {"task": "clases"}}, "task is regression"),
        ({"dse": {"task": "classes"}}, "classes is 0"),
        ({"dse": {"weight": 2.0}}, "weight is 2.0"),
        ({"dse": {"dropout": 1.0}}, "dropout is 1.0"),
        ({"dse": {"paper_compat": True}}, "nothing differs"),
        ({"kind": "bi"}, "kind is 'bi'"),
        ({"student": {"outputs": 2}}, "what the task"),
        ({"student": {"layers": 3, "hidden": 6}}, "layers is 3"),
        ({"student": {"head": "dot", "layers": 2}, "dse": {"task": "classes", "classes": 3}}, "one number a pair"),
        ({"data": {"files": "pairs.jsonl"}}, "own labels are needed"),
        ({"teacher": "nowhere"}, "pair classifier"),
        ({"teacher": "nowhere", "teaching": {"steps": 1}}, "no folder"),
        ({"teacher": ["a", "b"], "teaching": {"steps": 1}}, r"\[teaching\] trains one"),
    ],
)
def test_a_wrong_recipe_is_one_line(
    changes: dict[str, Any], words: str, write_pairs: Any, make_bi: Any, make_cross: Any, tmp_path: Path
) -> None:
    told: dict[str, Any] = {"teacher": str(make_cross()), "model": str(make_bi())}
    with pytest.raises(RetrError, match=words) as caught:
        read_recipe(recipe(tmp_path, write_pairs(), **{**told, **changes})).run()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
