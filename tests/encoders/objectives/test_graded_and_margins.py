"""CoSENT, AnglE, cosine error, triplet and margin error: by hand, against their peers, by differences."""

from math import exp, log
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from retr.encoders.objectives.graded import AnglE, CoSENT, CosineMSE, angle, order_loss  # noqa: E402
from retr.encoders.objectives.margins import MarginMSE, Triplet  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

PAIRS = Batch(queries=("a", "b", "c"), positives=("A", "B", "C"), labels=(1.0, 0.5, 0.5))


def drawn(*shape: int, seed: int = 4) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_cosent_sums_over_pairs_of_other_grades_by_hand() -> None:
    loss = order_loss(torch.tensor([0.2, 0.5, 0.1]), torch.tensor([1.0, 0.5, 0.5]), 2.0)
    assert float(loss) == pytest.approx(log(1 + exp(2 * 0.3) + exp(2 * -0.1)))


def test_cosent_of_equal_grades_is_nought() -> None:
    assert float(order_loss(torch.tensor([0.2, 0.5]), torch.tensor([1.0, 1.0]), 20.0)) == 0


def test_angle_of_two_complex_numbers_by_hand() -> None:
    """(1 + i) / (1 - i) = i, of equal lengths: real part 0, imaginary part 1."""
    assert float(angle(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, -1.0]]))) == pytest.approx(1)


def test_angle_refuses_an_odd_dim(given: Any) -> None:
    with pytest.raises(BadInput, match="dim 3 is odd"):
        AnglE()(given(drawn(3, 3), drawn(3, 3)), PAIRS)


@pytest.mark.parametrize("name", ["CoSENTLoss", "AnglELoss", "CosineSimilarityLoss"])
def test_graded_losses_are_those_of_sentence_transformers(given: Any, name: str) -> None:
    from sentence_transformers.sentence_transformer import losses

    ours = {"CoSENTLoss": CoSENT(), "AnglELoss": AnglE(), "CosineSimilarityLoss": CosineMSE()}[name]
    left, right = drawn(3, 8).float(), drawn(3, 8, seed=5).float()
    theirs = getattr(losses, name)(None)
    wanted = theirs.compute_loss_from_embeddings([left, right], torch.tensor(PAIRS.labels))
    assert float(ours(given(left, right), PAIRS)) == pytest.approx(float(wanted), rel=1e-5)


def test_cosine_error_by_hand(given: Any) -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    loss = CosineMSE()(given(vectors, vectors.flip(0)), PAIRS)
    assert float(loss) == pytest.approx((0 + 0.25 + 0.25) / 3)


@pytest.mark.parametrize(
    "objective", [CoSENT(scale=2.0), AnglE(scale=2.0), CosineMSE()], ids=["cosent", "angle", "mse"]
)
def test_graded_gradients_agree_with_differences(given: Any, objective: Any) -> None:
    left, right = drawn(3, 4).requires_grad_(), drawn(3, 4, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: objective(given(a, b), PAIRS), (left, right))


@pytest.mark.parametrize("objective", [CoSENT(), AnglE(), CosineMSE()], ids=["cosent", "angle", "mse"])
def test_pairs_without_grades_are_refused(given: Any, objective: Any) -> None:
    with pytest.raises(BadInput, match="needs a grade"):
        objective(given(), Batch(queries=("a",), positives=("A",)))


def test_a_grade_that_no_cosine_can_be_is_refused(given: Any) -> None:
    with pytest.raises(BadInput, match="cosine-mse takes labels from -1 to 1; one is 5"):
        CosineMSE()(given(), Batch(queries=("a", "b"), positives=("A", "B"), labels=(0.5, 5.0)))


TRIPLES = Batch(
    queries=("a", "b"), positives=("A", "B"), negatives=(("n",), ("m", "o")), scores=((3.0, 1.0), (2.0, 1.5, -1.0))
)


def test_triplet_by_hand(given: Any) -> None:
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    documents = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    loss = Triplet(margin=0.5)(given(queries, documents), TRIPLES)
    # Rows: 0 - 1 + .5 < 0; .2 - 0 + .5; .2 - 1 + .5 < 0.
    assert float(loss) == pytest.approx(0.7 / 3)


def test_triplet_is_that_of_sentence_transformers(given: Any) -> None:
    from sentence_transformers.sentence_transformer.losses import TripletLoss

    batch = Batch(queries=("a", "b"), positives=("A", "B"), negatives=(("n",), ("m",)))
    queries, documents = drawn(2, 8).float(), drawn(4, 8, seed=5).float()
    wanted = TripletLoss(None, triplet_margin=1.0).compute_loss_from_embeddings(
        [queries, documents[:2], documents[2:]], None
    )
    ours = Triplet(margin=1.0, distance="euclidean")(given(queries, documents), batch)
    assert float(ours) == pytest.approx(float(wanted), rel=1e-5)


def test_margin_error_by_hand_from_scores(given: Any) -> None:
    scores = [torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0, 0.0])]
    loss = MarginMSE(student="scores")(given(scores=scores), TRIPLES)
    # Margins 1, 1, 1 against 2, .5, 3.
    assert float(loss) == pytest.approx((1 + 0.25 + 4) / 3)


def test_margin_error_is_that_of_sentence_transformers(given: Any) -> None:
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss

    batch = Batch(queries=("a", "b"), positives=("A", "B"), negatives=(("n",), ("m",)), scores=((3.0, 1.0), (2.0, 1.5)))
    queries, positives, negatives = drawn(2, 8).float(), drawn(2, 8, seed=5).float(), drawn(2, 8, seed=6).float()
    documents = torch.stack([positives[0], negatives[0], positives[1], negatives[1]])
    wanted = MarginMSELoss(None).compute_loss_from_embeddings([queries, positives, negatives], torch.tensor([2.0, 0.5]))
    assert float(MarginMSE()(given(queries, documents), batch)) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("objective", [Triplet(margin=5.0), MarginMSE()], ids=["triplet", "margin"])
def test_margin_gradients_agree_with_differences(given: Any, objective: Any) -> None:
    queries, documents = drawn(2, 4).requires_grad_(), drawn(5, 4, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(lambda q, d: objective(given(q, d), TRIPLES), (queries, documents))


@pytest.mark.parametrize("objective", [Triplet(), MarginMSE()], ids=["triplet", "margin"])
def test_a_row_without_negatives_is_refused(given: Any, objective: Any) -> None:
    with pytest.raises(BadInput, match="needs negatives in every row"):
        objective(given(), Batch(queries=("a",), positives=("A",), negatives=((),)))
