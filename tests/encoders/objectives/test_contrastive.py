"""InfoNCE: by hand, masks of false negatives, both directions, and two processes against one."""

from math import exp, log
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from retr.encoders.objectives.contrastive import InfoNCE  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

ROW = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def two(**more: object) -> Batch:
    return Batch(queries=("a", "b"), positives=("A", "B"), **more)  # type: ignore[arg-type]


def test_a_positive_of_one_and_a_stranger_of_nought_by_hand(given: Any) -> None:
    loss = InfoNCE(temperature=0.5)(given(ROW, ROW), two())
    assert float(loss) == pytest.approx(log(1 + exp(-2)))


def test_hard_negatives_of_every_row_count(given: Any) -> None:
    documents = torch.cat([ROW, torch.tensor([[1.0, 0.0], [0.6, 0.8]])])
    loss = InfoNCE(temperature=1.0)(given(ROW, documents), two(negatives=(("N",), ("M",))))
    first = log(exp(1) + exp(0) + exp(1) + exp(0.6)) - 1
    second = log(exp(0) + exp(1) + exp(0) + exp(0.8)) - 1
    assert float(loss) == pytest.approx((first + second) / 2)


def test_without_in_batch_a_row_sees_its_own_negatives_alone(given: Any) -> None:
    documents = torch.cat([ROW, torch.tensor([[1.0, 0.0], [0.6, 0.8]])])
    loss = InfoNCE(temperature=1.0, in_batch=False)(given(ROW, documents), two(negatives=(("N",), ("M",))))
    first = log(exp(1) + exp(1)) - 1
    second = log(exp(1) + exp(0.8)) - 1
    assert float(loss) == pytest.approx((first + second) / 2)


def test_without_in_batch_and_negatives_there_is_nothing_to_learn(given: Any) -> None:
    with pytest.raises(BadInput, match="needs negatives"):
        InfoNCE(in_batch=False)(given(ROW, ROW), two())


@pytest.mark.parametrize(
    "batch",
    [
        Batch(queries=("a", "b"), positives=("same", "same")),
        Batch(queries=("a", "a"), positives=("A", "B")),
        Batch(queries=("a", "b"), positives=("A", "B"), ids=(("1",), ("1",))),
        Batch(queries=("a", "b"), positives=("A", "B"), query_ids=("q", "q")),
    ],
    ids=["same text", "same query", "same id", "same query id"],
)
def test_the_positive_of_the_same_query_is_no_negative(given: Any, batch: Any) -> None:
    assert float(InfoNCE()(given(ROW, ROW.flip(0)), batch)) == 0
    assert float(InfoNCE(directions="both")(given(ROW, ROW.flip(0)), batch)) == 0
    assert float(InfoNCE(mask_same=False)(given(ROW, ROW.flip(0)), batch)) > 1


def test_a_known_positive_among_the_hard_negatives_is_left_out(given: Any) -> None:
    documents = torch.cat([ROW, torch.tensor([[1.0, 0.0], [0.0, 1.0]])])
    masked = InfoNCE(temperature=1.0)(given(ROW, documents), two(negatives=(("A",), ("B",))))
    first = log(exp(1) + exp(0) + exp(0)) - 1  # Its own A is left out; the B of the other row counts twice.
    assert float(masked) == pytest.approx(first)


def test_another_query_counts_against_a_positive_that_is_not_its_own(given: Any) -> None:
    """Query a has 1 and 2, query b has 2: only document 1 may be held against b."""
    batch = Batch(queries=("a", "a", "b"), positives=("1", "2", "2"))
    vectors = torch.eye(3)
    both = InfoNCE(temperature=1.0, directions="both")(given(vectors, vectors), batch)
    forward = (0 + 0 + log(exp(1) + exp(0)) - 1) / 3
    backward = (log(exp(1) + exp(0)) - 1 + 0 + 0) / 3
    assert float(both) == pytest.approx((forward + backward) / 2, abs=1e-6)


def test_what_scores_above_the_positive_less_the_margin_is_left_out(given: Any) -> None:
    queries = torch.tensor([[1.0, 0.0]])
    documents = torch.tensor([[0.6, 0.8], [0.8, 0.6], [0.5, 0.75**0.5], [0.0, 1.0]])
    batch = Batch(queries=("a",), positives=("A",), negatives=(("x", "y", "z"),))
    loss = InfoNCE(temperature=1.0, false_negative_margin=0.05)(given(queries, documents), batch)
    assert float(loss) == pytest.approx(log(exp(0.6) + exp(0.5) + exp(0)) - 0.6)


def test_both_directions_are_the_mean_of_rows_and_columns(given: Any) -> None:
    queries, documents = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[0.8, 0.6], [0.0, 1.0]])
    loss = InfoNCE(temperature=1.0, directions="both")(given(queries, documents), two())
    table = queries @ documents.T
    target = torch.arange(2)
    wanted = torch.nn.functional.cross_entropy(table, target) + torch.nn.functional.cross_entropy(table.T, target)
    assert float(loss) == pytest.approx(float(wanted) / 2)


@pytest.mark.parametrize("directions", [("query_to_doc",), ("query_to_doc", "doc_to_query")])
def test_it_is_the_multiple_negatives_ranking_loss(given: Any, directions: Any) -> None:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    torch.manual_seed(1)
    queries, documents = torch.randn(4, 8), torch.randn(12, 8)
    batch = Batch(
        queries=tuple("abcd"), positives=tuple("ABCD"), negatives=tuple((f"n{row}", f"m{row}") for row in range(4))
    )
    # Theirs takes the columns one after the other, ours row by row.
    columns = [queries, documents[:4], documents[4::2], documents[5::2]]
    if len(directions) == 2:
        batch = Batch(queries=batch.queries, positives=batch.positives)
        columns, documents = columns[:2], documents[:4]
    theirs = MultipleNegativesRankingLoss(None, scale=20, directions=directions, partition_mode="per_direction")
    ours = InfoNCE(temperature=0.05, directions="both" if len(directions) == 2 else "query")
    wanted = theirs.compute_loss_from_embeddings(columns, None)
    assert float(ours(given(queries, documents), batch)) == pytest.approx(float(wanted), rel=1e-5)


def test_gradients_agree_with_differences() -> None:
    torch.manual_seed(2)
    batch = Batch(queries=("a", "b", "c"), positives=("A", "B", "C"), negatives=(("n",), ("m",), ("o", "A")))
    queries = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    documents = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    loss = InfoNCE(temperature=0.3, directions="both")
    assert torch.autograd.gradcheck(lambda q, d: loss.of_vectors(q, d, batch), (queries, documents))


def _one_of_two(rank: int, address: str, found: object) -> None:
    import torch.distributed as distributed

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    queries, documents, batches = _halves()
    mine, theirs = queries[rank].requires_grad_(), documents[rank].requires_grad_()
    loss = InfoNCE(temperature=0.3, directions="both").of_vectors(mine, theirs, batches[rank])
    loss.backward()
    found[rank] = (loss.item(), mine.grad.tolist(), theirs.grad.tolist())  # type: ignore[index]
    distributed.destroy_process_group()


def _halves() -> tuple[list[torch.Tensor], list[torch.Tensor], list[Batch]]:
    """Rows of two processes of unequal sizes; the second query of the one is the first of the other."""
    torch.manual_seed(3)
    first = Batch(queries=("a", "b"), positives=("A", "B"), negatives=(("n",), ("m", "k")))
    second = Batch(queries=("b", "c", "d"), positives=("X", "C", "D"), negatives=(("o",), (), ("A",)))
    queries = [torch.randn(2, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)]
    documents = [torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)]
    return queries, documents, [first, second]


@pytest.mark.slow
def test_two_processes_have_the_loss_and_the_gradient_of_one(tmp_path: Path) -> None:
    from multiprocessing import get_context

    context = get_context("spawn")
    with context.Manager() as manager:
        found = manager.dict()
        address = f"file://{tmp_path / 'meeting'}"
        workers = [context.Process(target=_one_of_two, args=(rank, address, found)) for rank in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        results = [found[rank] for rank in range(2)]
    queries, documents, (first, second) = _halves()
    whole = Batch(
        queries=first.queries + second.queries,
        positives=first.positives + second.positives,
        negatives=first.negatives + second.negatives,
    )
    left, right = torch.cat(queries).requires_grad_(), torch.cat(documents).requires_grad_()
    order = [0, 1, 5, 6, 7, 2, 3, 4, 8, 9]  # All positives, then all negatives.
    loss = InfoNCE(temperature=0.3, directions="both").of_vectors(left, right[order], whole)
    assert (2 * results[0][0] + 3 * results[1][0]) / 5 == pytest.approx(loss.item(), rel=1e-9)
    # The sum of both processes' means has weights 1/2 and 1/3; one process with these weights is the oracle.
    left.grad = right.grad = None
    halves = InfoNCE(temperature=0.3, directions="both")
    total = _weighted(halves, left, right[order], whole)
    total.backward()
    assert torch.tensor(results[0][1] + results[1][1]).allclose(left.grad.float(), rtol=1e-5, atol=1e-7)
    assert torch.tensor(results[0][2] + results[1][2]).allclose(right.grad.float(), rtol=1e-5, atol=1e-7)


def _weighted(loss: InfoNCE, queries: torch.Tensor, documents: torch.Tensor, whole: Batch) -> torch.Tensor:
    """Row i's loss is 5 times the mean's derivative by its weight: taken from a batch's mean by differences of sums."""
    from retr.encoders.objectives import contrastive

    kept = contrastive.cross_entropy
    weights = torch.tensor([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3], dtype=torch.float64)
    try:
        contrastive.cross_entropy = lambda table, target: (kept(table, target, reduction="none") * weights).sum()
        return loss.of_vectors(queries, documents, whole)
    finally:
        contrastive.cross_entropy = kept
