"""MVP's loss against numbers worked out by hand, and against what is known of the published variant."""

from collections.abc import Callable
from math import exp, log
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.objectives.mvp import MVPLoss, alikeness  # noqa: E402
from retr.encoders.trainable.mvp import MVPStudent, open_mvp  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

LISTS = Batch(
    ("red fish", "blue sky"),
    ("the red fish", "the sky"),
    (("a stone", "cold water"), ("fish", "red", "a stone falls")),
    scores=((0.2, 0.9, 0.1), (3.0, 1.0, 2.0, 2.0)),
)


@pytest.fixture
def student(make_mvp: Callable[..., Path]) -> MVPStudent:
    student = open_mvp(make_mvp())
    student.module.eval()
    return student


def test_ranks_follow_the_teacher_with_the_positive_above_all() -> None:
    assert MVPLoss().ranks([0.2, 0.9, 0.1]) == [1, 2, 3]
    assert MVPLoss().ranks([1.0, 1.0, 0.0]) == [1, 2, 3]
    assert MVPLoss(positive_first=False).ranks([0.2, 0.9, 0.1, 0.1]) == [2, 1, 3, 3]


def test_the_loss_of_two_candidates_by_hand() -> None:
    first, second = exp(1 / 0.8), exp(0.5 / 0.8)
    target = first / (first + second)
    given = torch.tensor([2.0, -1.0])
    share = exp(2 / 0.8) / (exp(2 / 0.8) + exp(-1 / 0.8))
    expected = -target * log(share) - (1 - target) * log(1 - share)
    assert float(MVPLoss().of_list(given, [1.0, 0.0])) == pytest.approx(expected, rel=1e-6)
    assert given.tolist() == [2.0, -1.0]


def test_listnet_learns_the_order_of_a_list_to_its_end() -> None:
    scores = torch.zeros(5, requires_grad=True)
    for _ in range(400):
        (grad,) = torch.autograd.grad(MVPLoss().of_list(scores, [5.0, 4.0, 3.0, 2.0, 1.0]), scores)
        scores = (scores - grad).detach().requires_grad_()
    assert bool((scores[:-1] - scores[1:] > 0.01).all())


def test_the_published_variant_keeps_within_narrow_bounds_and_stops_learning_when_scores_are_apart() -> None:
    teacher, loss = [5.0, 4.0, 3.0, 2.0, 1.0], MVPLoss(loss="listnet_double")
    best = loss.of_list(0.8 * torch.tensor([0.83, 0.17, 1e-9, 1e-9, 1e-9]).log(), teacher)
    worst = loss.of_list(torch.tensor([-50.0, -50.0, -50.0, -50.0, 50.0]), teacher)
    assert float(best) == pytest.approx(1.53, abs=0.01) and float(worst) == pytest.approx(1.77, abs=0.01)
    apart = torch.tensor([5.0, 1.0, 0.0, -1.0, -2.0], requires_grad=True)
    slopes = [
        float(torch.autograd.grad(MVPLoss(loss=name).of_list(apart, teacher), apart)[0].norm())
        for name in ("listnet", "listnet_double")
    ]
    assert slopes[0] > 0.5 and slopes[1] < 0.01


def test_orthogonal_anchors_cost_nothing_and_equal_ones_twelve() -> None:
    apart = 7.0 * torch.eye(4, 16)
    alike = torch.ones(4, 16)
    assert alikeness(torch.stack([apart, alike, -alike])).tolist() == pytest.approx([0.0, 12.0, 12.0], abs=1e-5)


def test_a_batch_costs_the_mean_of_its_lists_and_what_its_anchors_cost(student: MVPStudent) -> None:
    with torch.no_grad():
        judged = student.judge(LISTS.queries, LISTS.candidates)
        assert LISTS.scores is not None
        lists = [MVPLoss().of_list(*pair) for pair in zip(judged.scores, LISTS.scores, strict=True)]
        apart = [
            ((a := torch.nn.functional.normalize(rows, dim=1)) @ a.T - torch.eye(4)).norm() ** 2
            for rows in judged.anchors
        ]
        for weight in (0.0, 0.5):
            expected = sum(lists) / 2 + weight * sum(apart) / 2
            assert float(MVPLoss(orthogonal=weight)(student, LISTS)) == pytest.approx(float(expected), rel=1e-4)


def test_without_a_teacher_the_positive_is_first_and_all_others_second(student: MVPStudent) -> None:
    plain = Batch(LISTS.queries, LISTS.positives, LISTS.negatives)
    scored = Batch(LISTS.queries, LISTS.positives, LISTS.negatives, scores=((1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)))
    with torch.no_grad():
        assert float(MVPLoss()(student, plain)) == pytest.approx(float(MVPLoss()(student, scored)))


@pytest.mark.parametrize("told", [{"loss": "ranknet"}, {"temperature": 0.0}, {"orthogonal": -1.0}])
def test_settings_out_of_range_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"got|give"):
        MVPLoss(**told)


def test_another_kind_of_student_is_refused() -> None:
    other: Any = object()
    with pytest.raises(BadInput, match="kind mvp"):
        MVPLoss()(other, LISTS)
