"""Wrappers and unsupervised starts: chunks have the gradient of the whole, lengths share one pass, texts alone."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from retr.encoders.objectives import OBJECTIVES, objective_from  # noqa: E402
from retr.encoders.objectives.contrastive import InfoNCE  # noqa: E402
from retr.encoders.objectives.grad_cache import GradCache  # noqa: E402
from retr.encoders.objectives.listwise import ListwiseSoftmax  # noqa: E402
from retr.encoders.objectives.matryoshka import Matryoshka  # noqa: E402
from retr.encoders.objectives.unsupervised import MirrorBERT, SimCSE  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput, NotFound  # noqa: E402
from retr.retrieval.kinds import resolve  # noqa: E402

WORDS = ("apple", "bread", "candle", "dove", "echo", "fern", "goat")
BATCH = Batch(
    queries=WORDS,
    positives=tuple(word[::-1] + "s" for word in WORDS),
    negatives=tuple((word[:2] + "xyz", word[1:]) for word in WORDS),
)


def gradients(student: Any, objective: Any) -> tuple[float, torch.Tensor]:
    student.module.zero_grad()
    torch.manual_seed(11)
    loss = objective(student, BATCH)
    loss.backward()
    return loss.item(), torch.cat([value.grad.flatten() for value in student.module.parameters()])


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("objective", [InfoNCE(), ListwiseSoftmax(teacher=False)], ids=["vectors", "scores"])
def test_chunks_have_the_loss_and_the_gradient_of_the_whole(letters: Any, objective: Any, chunk: int) -> None:
    loss, whole = gradients(letters(), objective)
    chunked_loss, chunked = gradients(letters(), GradCache(chunk=chunk).around(objective))
    assert chunked_loss == pytest.approx(loss, rel=1e-9)
    assert float((chunked - whole).norm() / whole.norm()) < 1e-9


def test_a_chunk_of_the_whole_batch_draws_the_same_dropout(letters: Any) -> None:
    """The second pass of a chunk must drop what the first one dropped, or this gradient is another one."""
    loss, whole = gradients(letters(dropout=0.5), InfoNCE())
    again_loss, again = gradients(letters(dropout=0.5), GradCache(chunk=100).around(InfoNCE()))
    assert again_loss == loss
    assert torch.allclose(again, whole, rtol=1e-9)


def test_no_more_than_a_chunk_goes_through_the_module(letters: Any) -> None:
    student = letters()
    gradients(student, GradCache(chunk=2).around(InfoNCE()))
    assert student.largest == 2


def test_matryoshka_is_the_weighted_sum_over_lengths(given: Any) -> None:
    torch.manual_seed(1)
    queries, documents = torch.randn(2, 6), torch.randn(2, 6)
    batch = Batch(queries=("a", "b"), positives=("A", "B"))
    found = Matryoshka(dims=(6, 2), weights=(1.0, 0.5)).around(InfoNCE())(given(queries, documents), batch)
    parts = [InfoNCE()(given(queries[:, :dim], documents[:, :dim]), batch) for dim in (6, 2)]
    assert float(found) == pytest.approx((parts[0] + 0.5 * parts[1]).item())


def test_matryoshka_is_that_of_sentence_transformers_by_gradient(letters: Any) -> None:
    _, found = gradients(letters(), Matryoshka(dims=(6, 4, 2)).around(InfoNCE()))
    total = torch.zeros_like(found)
    for dim in (6, 4, 2):
        student = letters()
        documents = [*BATCH.positives, *(text for row in BATCH.negatives for text in row)]
        loss = InfoNCE().of_vectors(
            student.encode_queries(BATCH.queries)[:, :dim], student.encode_documents(documents)[:, :dim], BATCH
        )
        loss.backward()
        total += torch.cat([value.grad.flatten() for value in student.module.parameters()])
    assert torch.allclose(found, total)


def test_matryoshka_encodes_once(letters: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    student, calls = letters(), []
    encode = student.encode_queries
    monkeypatch.setattr(student, "encode_queries", lambda texts: calls.append(len(texts)) or encode(texts))
    Matryoshka(dims=(6, 4, 2)).around(InfoNCE())(student, BATCH)
    assert calls == [7]


def test_matryoshka_refuses_more_than_the_models_dim(letters: Any) -> None:
    with pytest.raises(BadInput, match="8 is more than the model's dim, 6"):
        Matryoshka(dims=(8,)).around(InfoNCE())(letters(), BATCH)


def test_simcse_is_infonce_of_two_dropout_masks(letters: Any) -> None:
    student = letters(dropout=0.5)
    torch.manual_seed(7)
    loss = SimCSE()(student, BATCH)
    torch.manual_seed(7)
    first, second = student.encode_documents(WORDS), student.encode_documents(WORDS)
    assert not torch.equal(first, second)
    wanted = InfoNCE().of_vectors(first, second, Batch(queries=WORDS, positives=WORDS))
    assert loss.item() == wanted.item()


def test_simcse_under_matryoshka_keeps_both_dropout_masks(letters: Any) -> None:
    """A memory by text would give both copies one vector, and so a smaller loss."""
    student = letters(dropout=0.5)
    torch.manual_seed(7)
    plain = SimCSE()(student, BATCH)
    torch.manual_seed(7)
    assert Matryoshka(dims=(6,)).around(SimCSE())(student, BATCH).item() == plain.item()


def test_mirror_bert_masks_one_span_of_one_copy(letters: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    student, seen = letters(), []
    encode = student.encode_documents
    monkeypatch.setattr(student, "encode_documents", lambda texts: seen.append(list(texts)) or encode(texts))
    torch.manual_seed(0)
    MirrorBERT(span=3)(student, BATCH)
    assert seen[0] == list(WORDS)
    for word, masked in zip(WORDS, seen[1], strict=True):
        before, after = masked.split("[MASK]")
        assert word.startswith(before) and word.endswith(after) and len(before) + len(after) == len(word) - 3


def test_a_text_no_longer_than_the_span_stays() -> None:
    assert MirrorBERT(span=5).masked("short") == "short"


def test_a_table_makes_an_objective_with_what_goes_around_it(letters: Any) -> None:
    table = {"name": "infonce", "temperature": 0.1, "grad-cache": {"chunk": 2}, "matryoshka": {"dims": [6, 3]}}
    student = letters()
    found = objective_from(table, "recipe.toml: [objective]")(student, BATCH)
    wanted = Matryoshka(dims=(6, 3)).around(InfoNCE(temperature=0.1))(letters(), BATCH)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-9)
    assert student.largest == 2


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, "name is missing or no string"),
        ({"name": "infonse"}, "Did you mean 'infonce'"),
        ({"name": "infonce", "temperature": 0.0}, "temperature is 0.0"),
        ({"name": "infonce", "temprature": 1.0}, "Did you mean 'temperature'"),
        ({"name": "infonce", "matryoshka": {"dims": []}}, "give at least one"),
        ({"name": "infonce", "grad-cache": {"chunk": 0}}, "chunk is 0"),
    ],
)
def test_a_wrong_table_says_what_is_wrong(table: dict[str, Any], words: str) -> None:
    with pytest.raises((BadInput, NotFound), match=words) as failure:
        objective_from(table, "recipe.toml: [objective]")
    assert "recipe.toml" in str(failure.value)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_defaults_and_a_source(name: str) -> None:
    cls = resolve(name, OBJECTIVES, "objective")
    cls()
    assert "et al." in cls.__doc__ or "&" in cls.__doc__ or "Su 2022" in cls.__doc__
