"""The head that compares two candidates: its rows of tokens, its scores, its folder, and what it learns from."""

from collections.abc import Callable
from itertools import product
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders import load_scorer  # noqa: E402
from retr.encoders.cross import load_folder  # noqa: E402
from retr.encoders.objectives.preferences import RankNet  # noqa: E402
from retr.encoders.reading.tokenizing import read_tokenizer  # noqa: E402
from retr.encoders.reading.triples import PairwiseSettings, Triples, aggregated, ordered_pairs  # noqa: E402
from retr.encoders.trainable.cross import CrossSettings, CrossStudent, open_cross  # noqa: E402
from retr.encoders.trainable.pairwise import PairwiseStudent  # noqa: E402
from retr.encoders.trainable.student import Student  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

QUERY, TEXTS = "the red fish", ["a stone falls", "", "cold water in the blue sky", "a stone falls", "red fish"]
MakeFolder = Callable[..., Path]


def opened(folder: Path, **settings: Any) -> PairwiseStudent:
    student = open_cross(folder, CrossSettings("pairwise", **settings))
    assert isinstance(student, PairwiseStudent)
    student.module.eval()
    return student


def scores(student: Student) -> Any:
    with torch.no_grad():
        return student.score([QUERY], [TEXTS])[0].numpy()


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("[CLS] $A [SEP] $B:1 [SEP]:1", "[CLS] red [SEP] a stone [SEP] fish [SEP]"),
        ("[CLS] $A [SEP] [SEP] $B [SEP]", "[CLS] red [SEP] [SEP] a stone [SEP] [SEP] fish [SEP]"),  # as RoBERTa's is
    ],
)
def test_a_triple_is_what_the_tokenizer_makes_of_a_pair_and_one_more(
    make_cross: MakeFolder, pair: str, expected: str
) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer, _ = read_tokenizer(make_cross("bert"), 24)
    special = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", pair=pair, special_tokens=special)
    triples = Triples.of(tokenizer, 24)
    row = triples.make(*triples.read(["red", "a stone", "fish"]))
    assert " ".join(tokenizer.id_to_token(id) for id in row.ids) == expected
    two = tokenizer.encode("red", "a stone")
    assert row.ids[: len(two.ids)] == two.ids and row.segments[: len(two.ids)] == two.type_ids
    assert set(row.segments[len(two.ids) :]) == {two.type_ids[-1]}
    assert triples.make([], [], []).ids == [*triples.before, *triples.between * 2, *triples.after]


@pytest.mark.parametrize(("query", "one", "other"), [*product([0, 3, 90], [0, 5, 90], [0, 6, 90])])
def test_triples_fit_and_cut_both_candidates_alike(make_cross: MakeFolder, query: int, one: int, other: int) -> None:
    triples = Triples.of(read_tokenizer(make_cross("bert"), 24)[0], 24)
    asked, left, right = [7] * query, [8] * one, [9] * other
    row, back = triples.make(asked, left, right), triples.make(asked, right, left)
    assert len(row.ids) == len(row.segments) <= 24
    assert [row.ids.count(id) for id in (7, 8, 9)] == [back.ids.count(id) for id in (7, 8, 9)]
    assert row.ids.count(7) == min(query, 20 // 3)
    room = 20 - row.ids.count(7)
    assert row.ids.count(8) + row.ids.count(9) == min(
        one + other, room if min(one, other) < room // 2 else room // 2 * 2
    )


def test_aggregates_by_hand() -> None:
    log_odds = np.array([[9.0, 2.0, -1.0], [0.0, 9.0, 3.0], [1.0, 0.5, 9.0]], np.float32)

    def won(z: float) -> float:
        return 1 / (1 + exp(-z))

    first = (won(2) + 1 - won(0) + won(-1) + 1 - won(1)) / 4
    assert aggregated(log_odds, "wins")[0] == pytest.approx(first)
    assert aggregated(log_odds, "log_odds").tolist() == pytest.approx(
        [(2 - 0 - 1 - 1) / 4, (0 - 2 + 3 - 0.5) / 4, 1 / 8 * -1]
    )
    assert aggregated(np.full((1, 1), 5, np.float32), "wins").tolist() == [0]
    assert ordered_pairs(3) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


@pytest.mark.parametrize("aggregate", ["wins", "log_odds"])
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "mpnet"])
def test_it_is_served_without_torch_as_it_learned(
    make_cross: MakeFolder, tmp_path: Path, family: str, aggregate: str
) -> None:
    student = opened(make_cross(family), aggregate=aggregate)
    assert isinstance(student, Student)
    student.save(tmp_path)
    found = scores(student)
    assert np.ptp(found) > 0.01 and abs(found[0] - found[3]) < 1e-5
    scorer = load_scorer(str(tmp_path))
    assert scorer.comparable is False and "pairwise" in str(scorer.describe())
    np.testing.assert_allclose(scorer.score(QUERY, TEXTS), found, atol=1e-5)
    order = [3, 1, 4, 0, 2]
    np.testing.assert_allclose(scorer.score(QUERY, [TEXTS[at] for at in order]), found[order], atol=1e-5)
    assert np.abs(scorer.score(QUERY, TEXTS[:3]) - found[:3]).max() > 1e-4
    assert scorer.score(QUERY, ["red"]).tolist() == [0] and scorer.score(QUERY, []).tolist() == []
    again = open_cross(tmp_path)
    assert isinstance(again, PairwiseStudent) and again.settings == PairwiseSettings("pairwise", aggregate)  # type: ignore[arg-type]


def test_scores_are_the_means_of_its_comparisons(make_cross: MakeFolder) -> None:
    student = opened(make_cross("bert"))
    with torch.no_grad():
        table = [[float(student.compare([QUERY], [[(one, other)]])[0]) for other in TEXTS] for one in TEXTS]
    np.testing.assert_allclose(scores(student), aggregated(np.array(table, np.float32), "wins"), atol=1e-5)


def test_a_pairwise_folder_is_no_scorer_of_pairs(make_cross: MakeFolder, tmp_path: Path) -> None:
    opened(make_cross("bert")).save(tmp_path)
    with pytest.raises(BadInput, match="has a pairwise head"):
        load_folder(tmp_path)
    assert isinstance(open_cross(tmp_path, CrossSettings("pointwise")), CrossStudent)
    with pytest.raises(BadInput, match="which is of a pairwise head"):
        CrossSettings("pointwise", "wins")
    with pytest.raises(BadInput, match="no vectors"):
        opened(make_cross("bert")).encode_queries(["red"])


class Leads:
    """Compares by a table of texts' worth, and an advantage of whoever comes first."""

    def compare(self, queries: Any, pairs: Any) -> list[torch.Tensor]:
        worth = {"A": 2.0, "n": 0.5, "m": -1.0, "B": 0.0}
        return [torch.tensor([worth[one] - worth[other] + 0.25 for one, other in group]) for group in pairs]


def lost(*leads: float) -> float:
    return sum(log(1 + exp(-lead)) for lead in leads) / len(leads)


def test_ranknet_asks_a_comparing_head_for_both_orders() -> None:
    batch = Batch(("a", "b"), ("A", "B"), (("n", "m"), ("m",)))
    expected = lost(1.75, 3.25, 1.25, 1.25, 2.75, 0.75)
    assert float(RankNet()(Leads(), batch)) == pytest.approx(expected)  # type: ignore[arg-type]
    graded = Batch(("a",), ("A",), (("n", "m"),), scores=((1.0, 1.0, 3.0),))
    assert float(RankNet()(Leads(), graded)) == pytest.approx(lost(-2.75, -1.25, -3.25, -1.75))  # type: ignore[arg-type]


def test_ranknet_of_scores_by_hand(make_cross: MakeFolder) -> None:
    student = open_cross(make_cross("bert"))
    student.module.eval()
    batch = Batch((QUERY, QUERY), (TEXTS[0], TEXTS[2]), ((TEXTS[1], TEXTS[4]), ()))
    with torch.no_grad():
        first, one, other = student.score([QUERY], [[TEXTS[0], TEXTS[1], TEXTS[4]]])[0].tolist()
        assert float(RankNet(sigma=2.0)(student, batch)) == pytest.approx(
            lost(2 * (first - one), 2 * (first - other)), abs=1e-5
        )
        with pytest.raises(BadInput, match="no two candidates of unequal grade"):
            RankNet()(student, Batch((QUERY,), (TEXTS[0],)))


def test_comparisons_have_gradients_and_learn(make_cross: MakeFolder) -> None:
    student = opened(make_cross("bert"))
    batch = Batch((QUERY,), (TEXTS[0],), (tuple(TEXTS[1:3]),))
    steps = torch.optim.AdamW(student.module.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = RankNet()(student, batch)
        losses.append(float(loss.detach()))
        steps.zero_grad()
        loss.backward()
        steps.step()
    assert losses[-1] < 0.5 * losses[0]
    assert scores(student)[0] > scores(student)[[1, 2]].max()
    row = student.score([QUERY], [TEXTS[:3]])[0]
    row[0].backward()
    assert all(value.grad is not None for value in student.module.parameters())
