"""Cross-entropy, listwise softmax and LambdaLoss: by hand, against their peers, by differences."""

from math import exp, log, log2
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from retr.encoders.objectives.in_batch import with_others  # noqa: E402
from retr.encoders.objectives.listwise import BinaryCrossEntropy, ListwiseSoftmax, divergence  # noqa: E402
from retr.encoders.objectives.ranking import LambdaLoss  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

ROWS = Batch(
    queries=("a", "b"), positives=("A", "B"), negatives=(("n",), ("m", "o")), scores=((2.0, 0.0), (1.0, 0.0, 3.0))
)
SCORES = [torch.tensor([0.3, -0.2]), torch.tensor([0.1, 0.9, -0.5])]


def test_cross_entropy_by_hand(given: Any) -> None:
    loss = BinaryCrossEntropy()(given(scores=[torch.tensor([0.0, 0.0]), torch.tensor([2.0, 0.0, -1.0])]), ROWS)
    wanted = [log(2), log(2), log(1 + exp(-2)), log(2), log(1 + exp(-1))]
    assert float(loss) == pytest.approx(sum(wanted) / 5)


def test_cross_entropy_takes_a_rows_label_and_the_positives_weight(given: Any) -> None:
    batch = Batch(queries=("a", "b"), positives=("A", "B"), labels=(0.0, 1.0))
    scores = [torch.tensor([1.0]), torch.tensor([1.0])]
    loss = BinaryCrossEntropy(positive_weight=3.0)(given(scores=scores), batch)
    assert float(loss) == pytest.approx((log(1 + exp(1)) + 3 * log(1 + exp(-1))) / 2)


def test_a_label_that_is_no_share_is_refused(given: Any) -> None:
    batch = Batch(queries=("a",), positives=("A",), labels=(3.0,))
    with pytest.raises(BadInput, match="bce takes labels from 0 to 1; one is 3"):
        BinaryCrossEntropy()(given(scores=[torch.tensor([1.0])]), batch)


def test_divergence_by_hand() -> None:
    teacher, student = torch.tensor([log(3.0), 0.0]), torch.tensor([0.0, 0.0])
    assert float(divergence(teacher, student)) == pytest.approx(0.75 * log(1.5) + 0.25 * log(0.5))
    assert float(divergence(teacher, teacher)) == 0


def test_listwise_without_a_teacher_is_the_softmax_cross_entropy(given: Any) -> None:
    loss = ListwiseSoftmax(teacher=False, temperature=0.5)(given(scores=SCORES), ROWS)
    rows = [log(sum(exp(2 * float(score)) for score in row)) - 2 * float(row[0]) for row in SCORES]
    assert float(loss) == pytest.approx(sum(rows) / 2)


def test_a_loss_over_scores_of_less_precision_is_made_in_float32(given: Any) -> None:
    coarse = [row.bfloat16() for row in SCORES]
    for objective in (ListwiseSoftmax(teacher=False), BinaryCrossEntropy()):
        found = objective(given(scores=coarse), ROWS)
        assert found.dtype == torch.float32
        assert float(found) == float(objective(given(scores=[row.float() for row in coarse]), ROWS))


def test_listwise_needs_the_teachers_scores(given: Any) -> None:
    with pytest.raises(BadInput, match="needs a score for each candidate"):
        ListwiseSoftmax()(given(scores=SCORES[:1]), Batch(queries=("a",), positives=("A",), negatives=(("n",),)))


def test_in_batch_takes_the_other_rows_positives_but_not_those_of_the_same_query() -> None:
    batch = Batch(queries=("a", "b", "a", "c"), positives=("A", "B", "A2", "n"), negatives=(("n",), ("m",), (), ("A",)))
    wide = with_others(batch)
    assert wide.candidates == (("A", "n", "B"), ("B", "m", "A", "A2", "n"), ("A2", "B", "n"), ("n", "A", "B", "A2"))
    assert wide.candidate_ids == wide.candidates
    named = Batch(("a", "b"), ("A", "B"), query_ids=("1", "2"), ids=(("x",), ("x",)))
    assert with_others(named).candidates == (("A",), ("B",))


def test_listwise_in_batch_is_the_softmax_over_every_rows_candidates(given: Any) -> None:
    batch = Batch(queries=("a", "b"), positives=("A", "B"), negatives=(("n",), ()))
    scores = [torch.tensor([0.3, -0.2, 0.7]), torch.tensor([0.1, 0.9])]
    loss = ListwiseSoftmax(teacher=False, in_batch=True)(given(scores=scores), batch)
    rows = [log(sum(exp(float(score)) for score in row)) - float(row[0]) for row in scores]
    assert float(loss) == pytest.approx(sum(rows) / 2)
    with pytest.raises(BadInput, match="in_batch needs teacher = false"):
        ListwiseSoftmax(in_batch=True)


def test_lambdarank_of_two_candidates_by_hand(given: Any) -> None:
    """The positive is ranked second: one pair, which would move nDCG by 1 - 1 / log2(3)."""
    batch = Batch(queries=("a",), positives=("A",), negatives=(("n",),))
    loss = LambdaLoss(weights="lambdarank")(given(scores=[torch.tensor([0.0, 1.0])]), batch)
    assert float(loss) == pytest.approx((1 - 1 / log2(3)) * log2(1 + exp(1)))


def test_pairs_of_equal_grades_cost_nothing(given: Any) -> None:
    batch = Batch(queries=("a",), positives=("A",), negatives=(("n",),), scores=((1.0, 1.0),))
    assert float(LambdaLoss()(given(scores=[torch.tensor([0.0, 1.0])]), batch)) == 0


@pytest.mark.parametrize("k", [None, 1, 2])
@pytest.mark.parametrize("weights", ["lambdarank", "ndcg2", "ndcg2++"])
def test_lambda_loss_is_that_of_sentence_transformers(given: Any, weights: str, k: int | None) -> None:
    from sentence_transformers.cross_encoder.losses import lambda_loss as theirs

    schemes = {"lambdarank": "LambdaRankScheme", "ndcg2": "NDCGLoss2Scheme", "ndcg2++": "NDCGLoss2PPScheme"}

    class Model(torch.nn.Module):
        num_labels, device = 1, torch.device("cpu")

        def preprocess(self, pairs: list, prompt: object = None, task: object = None) -> dict:
            return {"scores": torch.tensor([float(text) for _, text in pairs])}

        def forward(self, tokens: dict) -> dict:
            return tokens

    loss = theirs.LambdaLoss(Model(), getattr(theirs, schemes[weights])(), k=k)
    texts = [[str(float(score)) for score in row] for row in SCORES]
    grades = [torch.tensor(row) for row in ROWS.scores or ()]
    wanted = loss([list(ROWS.queries), texts], grades)
    assert float(LambdaLoss(weights=weights, k=k)(given(scores=SCORES), ROWS)) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize(
    "objective",
    [BinaryCrossEntropy(positive_weight=2.0), ListwiseSoftmax(), ListwiseSoftmax(teacher=False), LambdaLoss()],
    ids=["bce", "listwise", "softmax", "lambda"],
)
def test_gradients_agree_with_differences(given: Any, objective: Any) -> None:
    first, second = (row.double().requires_grad_() for row in SCORES)
    assert torch.autograd.gradcheck(lambda a, b: objective(given(scores=[a, b]), ROWS), (first, second))


@pytest.mark.parametrize("objective", [ListwiseSoftmax(student="vectors"), LambdaLoss(student="vectors")])
def test_a_bi_encoder_is_scored_by_its_cosines(given: Any, objective: Any) -> None:
    queries = torch.eye(2)
    documents = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 2.0], [4.0, 3.0], [1.0, 1.0]])
    by_vectors = objective(given(queries, documents), ROWS)
    scores = [torch.tensor([0.6, 1.0]), torch.tensor([1.0, 0.6, 0.5**0.5])]
    by_scores = type(objective)()(given(scores=scores), ROWS)
    assert float(by_vectors) == pytest.approx(float(by_scores), rel=1e-5)


def test_a_text_of_several_rows_is_encoded_once(letters: Any) -> None:
    student, seen = letters(), []
    encode = student.encode_documents

    def spy(texts: Any) -> Any:
        seen.append(list(texts))
        return encode(texts)

    student.encode_documents = spy
    batch = Batch(("ab", "cd", "ef"), ("xa", "yc", "ze"))
    loss = ListwiseSoftmax(student="vectors", teacher=False, in_batch=True)
    found = loss(student, batch)
    assert seen == [["xa", "yc", "ze"]]
    vectors = [torch.nn.functional.normalize(encode(list(texts)), dim=1) for texts in (batch.queries, batch.positives)]
    expected = torch.nn.functional.cross_entropy(vectors[0] @ vectors[1].T, torch.arange(3))
    assert float(found.detach()) == pytest.approx(float(expected.detach()))
