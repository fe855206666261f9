"""NT-Xent over all texts, preferences over probabilities, GRL's three parts: by hand, and by a naive double loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from retr.encoders.objectives import objective_from  # noqa: E402
from retr.encoders.objectives.grad_cache import GradCache  # noqa: E402
from retr.encoders.objectives.grl import GRL  # noqa: E402
from retr.encoders.objectives.preference import SFT, Preference, PreferenceSettings, pair_places  # noqa: E402
from retr.encoders.objectives.preference_losses import LOSSES, Gains  # noqa: E402
from retr.encoders.objectives.ullme import NTXent  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

BATCH = Batch(("ab", "cd", "ef"), ("abba", "dad", "fee"), (("cab", "bed"), ("ace",), ("dab",)))


class Writing:
    """Letters that also write: a probability by a layer of its own. `before` is a reference, fixed."""

    def __init__(self, letters: Any, shift: float = 0.0) -> None:
        self.letters, self.shift = letters, shift
        torch.manual_seed(7)
        self.writes = torch.nn.Linear(26, 1).double()
        self.module = torch.nn.ModuleList([letters.module, self.writes])
        self.device = torch.device("cpu")
        self.first = [value.detach().clone() for value in self.writes.parameters()]
        self.largest = 0

    def encode_queries(self, texts: Sequence[str]) -> Any:
        return self.letters.encode_queries(texts)

    encode_documents = encode_queries

    def log_probs(self, queries: Sequence[str], documents: Sequence[str]) -> Any:
        self.largest = max(self.largest, len(queries))
        return self._of(queries, documents, list(self.writes.parameters()))

    def reference_log_probs(self, queries: Sequence[str], documents: Sequence[str]) -> Any:
        return self._of(queries, documents, [value + self.shift for value in self.first])

    def _of(self, queries: Sequence[str], documents: Sequence[str], values: Any) -> Any:
        texts = [query + document for query, document in zip(queries, documents, strict=True)]
        counts = torch.tensor([[text.count(chr(97 + at)) for at in range(26)] for text in texts]).double()
        lengths = torch.tensor([len(document) for document in documents])
        return -(counts @ values[0].T + values[1])[:, 0].square(), lengths


@pytest.fixture
def writing(letters: Any) -> Writing:
    return Writing(letters())


def naive(vectors: Any, labels: list[int], anchors: list[int], score: Any, margin: float | None) -> Any:
    """The same by two loops."""
    unit = torch.nn.functional.normalize(vectors.detach(), dim=1)
    losses = []
    for a in anchors:
        same = [p for p in range(len(labels)) if labels[p] == labels[a] and p != a]
        others = [n for n in range(len(labels)) if labels[n] != labels[a]]
        if margin is not None:
            nearest = max(float(unit[a] @ unit[n]) for n in others)
            furthest = min(float(unit[a] @ unit[p]) for p in same)
            same = [p for p in same if float(unit[a] @ unit[p]) < nearest + margin]
            others = [n for n in others if float(unit[a] @ unit[n]) > furthest - margin]
        for p in same:
            terms = torch.stack([score(unit[a], unit[n]) for n in (p, *others)])
            losses.append(terms.logsumexp(0) - score(unit[a], unit[p]))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("similarity", ["distance", "cosine"])
@pytest.mark.parametrize("margin", [None, 0.25])
def test_nt_xent_is_the_naive_double_loop(letters: Any, similarity: Any, margin: float | None) -> None:
    student = letters()
    vectors = student.encode_queries([*BATCH.queries, *BATCH.positives, *(t for row in BATCH.negatives for t in row)])
    scores = {"distance": lambda a, n: -(a - n).norm() / 0.1, "cosine": lambda a, n: (a @ n) / 0.1}
    expected = naive(vectors, [0, 1, 2, 0, 1, 2, 3, 4, 5, 6], list(range(6)), scores[similarity], margin)
    found = NTXent(temperature=0.1, similarity=similarity, margin=margin)(student, BATCH)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_rows_of_one_query_or_of_one_positive_have_one_label(letters: Any) -> None:
    student = letters()
    batch = Batch(("ab", "ab", "cd"), ("abba", "dad", "fee"), (("fee",), (), ()))
    vectors = student.encode_queries([*batch.queries, *batch.positives, "fee"])
    expected = naive(vectors, [0, 0, 1, 0, 0, 1, 1], list(range(6)), lambda a, n: (a @ n) / 0.1, None)
    found = NTXent(temperature=0.1, similarity="cosine", margin=None)(student, batch)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_the_anchors_of_each_process_make_up_the_whole(letters: Any) -> None:
    vectors = letters().encode_queries([*BATCH.queries, *BATCH.positives])
    labels, loss = torch.tensor([0, 1, 2, 0, 1, 2]), NTXent(margin=None)
    parts = [loss.of_labels(vectors, labels, torch.arange(first, first + 2)) for first in (0, 2, 4)]
    torch.testing.assert_close(torch.stack(parts).mean(), loss.of_labels(vectors, labels, torch.arange(6)))


def test_equal_probabilities_give_the_known_losses() -> None:
    same = Gains(torch.zeros(3), torch.zeros(3))
    found = {name: float(loss(same, 0.1, 0.0).mean()) for name, loss in LOSSES.items()}
    assert found["sigmoid"] == pytest.approx(math.log(2))
    assert found["hinge"] == 1
    assert found["ipo"] == pytest.approx(1 / (2 * 0.1) ** 2)
    assert found["kto"] == 0.5


def test_preferences_by_hand() -> None:
    gains = Gains(torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0]))
    sigmoid = [1 / (1 + math.exp(-0.5 * lead)) for lead in (3, -1)]
    expected = [-(0.9 * math.log(p) + 0.1 * math.log(1 - p)) for p in sigmoid]
    assert LOSSES["sigmoid"](gains, 0.5, 0.1).tolist() == pytest.approx(expected)
    assert LOSSES["hinge"](gains, 0.5, 0.0).tolist() == [0.0, 1.5]
    # The mean gains are 1 and 0: so is how far the whole batch moved.
    first, second = ([1 / (1 + math.exp(-0.5 * v)) for v in values] for values in ((2.0, 0.0), (2.0, 0.0)))
    assert LOSSES["kto"](gains, 0.5, 0.0).tolist() == pytest.approx(
        [1 - (a + b) / 2 for a, b in zip(first, second, strict=True)]
    )


def test_pairs_keep_to_their_rows() -> None:
    for size in (1, 2, 5):
        batch = Batch(
            tuple(f"q{n}" for n in range(size)),
            tuple(f"p{n}" for n in range(size)),
            tuple(tuple(f"n{n}.{m}" for m in range(n % 3 + 1)) for n in range(size)),
        )
        texts = [(row, text) for row, found in enumerate(batch.candidates) for text in found]
        for better, worse in zip(*pair_places(batch), strict=True):
            assert texts[better] == (texts[worse][0], f"p{texts[worse][0]}")
            assert texts[worse][1].startswith(f"n{texts[worse][0]}.")


@pytest.mark.parametrize("loss", ["sigmoid", "hinge", "ipo", "kto"])
def test_a_preference_is_learned(writing: Writing, loss: Any) -> None:
    objective = Preference(PreferenceSettings(loss=loss))
    optimiser = torch.optim.SGD(writing.module.parameters(), lr=1e-3)
    before = objective(writing, BATCH).item()
    for _ in range(20):
        optimiser.zero_grad()
        objective(writing, BATCH).backward()
        optimiser.step()
    assert objective(writing, BATCH).item() < before


def test_cpo_is_a_preference_without_reference_and_the_positive_learned(writing: Writing) -> None:
    asked = PreferenceSettings(reference_free=True, nll_weight=1.0)
    free = Preference(PreferenceSettings(reference_free=True))(writing, BATCH)
    torch.testing.assert_close(Preference(asked)(writing, BATCH), free + SFT()(writing, BATCH))


PARTS = {
    "contrastive": GRL(generation=0, alignment=0),
    "preference": GRL(contrastive=0, alignment=0),
    "sft": GRL(contrastive=0, alignment=0, writing="sft"),
    "teacher": GRL(contrastive=0, generation=0),
    "paper": GRL(contrastive=0, generation=0, direction="paper"),
}


@pytest.mark.parametrize("name", PARTS)
def test_each_part_alone_moves_what_it_is_for(writing: Writing, name: str) -> None:
    PARTS[name](writing, BATCH).backward()
    embeds = any(value.grad is not None and value.grad.any() for value in writing.letters.module.parameters())
    writes = any(value.grad is not None and value.grad.any() for value in writing.writes.parameters())
    assert embeds == (name in ("contrastive", "teacher", "paper"))
    assert writes == (name in ("preference", "sft", "paper"))


def test_the_whole_is_the_sum_of_its_parts(writing: Writing) -> None:
    parts = [PARTS[name](writing, BATCH) for name in ("contrastive", "preference", "teacher")]
    weighted = GRL(contrastive=1.0, generation=2.0, alignment=3.0)(writing, BATCH)
    torch.testing.assert_close(weighted, parts[0] + 2 * parts[1] + 3 * parts[2])


@pytest.mark.parametrize("direction", ["teacher", "paper"])
def test_the_order_of_candidates_means_nothing(writing: Writing, direction: Any) -> None:
    objective = GRL(contrastive=0, generation=0, direction=direction)
    turned = Batch(BATCH.queries, BATCH.positives, tuple(row[::-1] for row in BATCH.negatives))
    torch.testing.assert_close(objective(writing, turned), objective(writing, BATCH))


def test_vectors_that_agree_with_what_is_written_have_no_divergence(given: Any) -> None:
    batch = Batch(("q",), ("p",), (("n",),))
    angle = math.acos(0.5)
    student = given(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]]))
    written = torch.tensor([-2.0, -2.5 * 3]), torch.tensor([1, 3])
    student.log_probs = student.reference_log_probs = lambda queries, documents: written
    for direction in ("teacher", "paper"):
        objective = GRL(contrastive=0, generation=0, temperature=1.0, direction=direction)  # type: ignore[arg-type]
        assert float(objective(student, batch)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_grad_cache_gives_the_gradient_of_the_whole(letters: Any, chunk: int) -> None:
    found = []
    for around in (lambda objective: objective, GradCache(chunk).around):
        student = Writing(letters(), shift=0.1)
        loss = around(GRL())(student, BATCH)
        loss.backward()
        found.append([loss.detach(), *(value.grad for value in student.module.parameters())])
    assert student.largest <= max(chunk, 1) or chunk == 100
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_student_that_cannot_write_is_told(letters: Any) -> None:
    for objective in (SFT(), Preference(), GradCache(2).around(GRL())):
        with pytest.raises(BadInput, match="which Letters cannot tell"):
            objective(letters(), BATCH)


def test_tables_name_them() -> None:
    told = {"name": "grl", "alignment": 0.5, "preference": {"loss": "ipo", "beta": 0.2}, "vectors": {"margin": 0.1}}
    expected = GRL(alignment=0.5, preference=PreferenceSettings("ipo", 0.2), vectors=NTXent(margin=0.1))
    assert objective_from(told, "x") == expected
    assert objective_from({"name": "preference", "preference": {"loss": "kto"}}, "x") == Preference(
        PreferenceSettings("kto")
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "grl", "contrastive": 0, "generation": 0, "alignment": 0}, "are all 0"),
        ({"name": "grl", "generation": -1}, "generation is -1"),
        ({"name": "preference", "preference": {"beta": 0}}, "beta is 0"),
        ({"name": "preference", "preference": {"loss": "kto", "reference_free": True}}, "cannot be reference_free"),
        ({"name": "preference", "preference": {"smoothing": 0.5}}, "below 0.5"),
    ],
)
def test_settings_out_of_range_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        objective_from(table, "x")
