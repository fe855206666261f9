"""A teacher's scores as numbers to be met, and their mixture with labels, by hand."""

from math import exp, log
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from retr.encoders.objectives.distilling import LogitMSE, MixedMSE  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

BATCH = Batch(("a", "b"), ("A", "B"), labels=(1.0, 0.25), scores=((2.0,), (-1.0,)))
SCORES = [torch.tensor([1.0], dtype=torch.float64), torch.tensor([0.0], dtype=torch.float64)]


def entropy(logit: float, label: float) -> float:
    share = 1 / (1 + exp(-logit))
    return -(label * log(share) + (1 - label) * log(1 - share))


def test_logit_error_is_the_mean_over_all_candidates(given: Any) -> None:
    batch = Batch(("a", "b"), ("A", "B"), (("C",), ()), scores=((2.0, 1.0), (-1.0,)))
    student = given(scores=[torch.tensor([1.0, 3.0]), torch.tensor([0.0])])
    assert float(LogitMSE(student="scores")(student, batch)) == pytest.approx((1 + 4 + 1) / 3)


def test_logit_error_of_vectors_is_of_their_products(given: Any) -> None:
    student = given(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.tensor([[2.0, 0.0], [5.0, 1.0]]))
    assert float(LogitMSE(student="vectors")(student, BATCH)) == pytest.approx((0 + 4) / 2)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_mixture_by_hand(given: Any, weight: float) -> None:
    task = (entropy(1.0, 1.0) + entropy(0.0, 0.25)) / 2
    error = (1.0 + 1.0) / 2
    loss = float(MixedMSE(weight)(given(scores=SCORES), BATCH))
    assert loss == pytest.approx((1 - weight) * task + weight * error)


def test_without_weight_neither_labels_nor_a_teacher_are_needed(given: Any) -> None:
    student, alone = given(scores=SCORES), Batch(("a", "b"), ("A", "B"))
    with pytest.raises(BadInput, match="grade for each pair"):
        MixedMSE(0.0)(student, alone)
    with pytest.raises(BadInput, match="score for each candidate"):
        MixedMSE(1.0)(student, alone)
    assert float(MixedMSE(0.0)(student, Batch(("a", "b"), ("A", "B"), labels=(1.0, 0.0)))) > 0
    perfect = Batch(("a", "b"), ("A", "B"), scores=((1.0,), (0.0,)))
    assert float(MixedMSE(1.0)(student, perfect)) == 0


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_is_a_share(weight: float) -> None:
    with pytest.raises(BadInput, match="weight is"):
        MixedMSE(weight)


def test_gradients_are_those_of_differences(letters: Any) -> None:
    student = letters()
    batch = Batch(("abc", "dba"), ("cab", "fed"), labels=(1.0, 0.0), scores=((0.3,), (-0.4,)))
    parameters = list(student.module.parameters())
    MixedMSE(0.5)(student, batch).backward()
    value, grad = parameters[0], parameters[0].grad.clone()
    with torch.no_grad():
        value[3, 1] += 1e-6
        up = MixedMSE(0.5)(student, batch)
        value[3, 1] -= 2e-6
        down = MixedMSE(0.5)(student, batch)
    assert float((up - down) / 2e-6) == pytest.approx(float(grad[3, 1]), rel=1e-5)
