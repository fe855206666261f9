"""Which texts become negatives: worked by hand on vectors at known angles, the query at 0 degrees."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from retr.distill.mining import MiningSettings, mine
from retr.distill.mining.choosing import taken
from retr.distill.mining.judging import EncoderScorer, index_scorer
from retr.distill.mining.settings import Bounds
from retr.index.collection import Collection
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.records import Document, Query
from retr.retrieval.runs import Qrels

QUERY = [Query("q", "what lies at 0")]
TEXTS = {"pos": "so 20", "a": "is 5", "b": "at 25", "c": "on 30", "d": "in 40", "e": "by 60", "f": "to 80"}
# Cosines: pos .9397, a .9962, b .9063, c .8660, d .7660, e .5000, f .1736; 95% of the positive's is .8927.

Make = Callable[..., Collection]


def settings(**changes: Any) -> MiningSettings:
    return MiningSettings(**{"mode": "dense", "negatives": 2, **changes})


def negatives(collection: Collection, chosen: MiningSettings, qrels: Qrels | None = None, **more: Any) -> list[str]:
    [row] = mine(collection, QUERY, qrels or Qrels({"q": {"pos": 1}}), chosen, **more)
    return [one.id for one in row.negatives]


def test_without_a_scorer_the_nearest_are_taken_but_the_positive(make_index: Make) -> None:
    assert negatives(make_index(TEXTS), settings()) == ["a", "b"]
    assert negatives(make_index(TEXTS, "other"), settings(skip_top=2, negatives=3)) == ["c", "d", "e"]


def test_by_default_what_scores_above_95_percent_of_the_positive_is_dropped(make_index: Make) -> None:
    collection = make_index(TEXTS)
    mining = mine(collection, QUERY, Qrels({"q": {"pos": 1}}), settings(), scorer=index_scorer(collection))
    [row] = mining
    assert [one.id for one in row.negatives] == ["c", "d"]
    assert row.positive_score == pytest.approx(0.9397, abs=1e-4)
    assert row.scores == pytest.approx((0.8660, 0.7660), abs=1e-4)
    assert (mining.counts.candidates, mining.counts.false_negatives) == (6, 2)


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        ({"relative_margin": 0.0}, ["b", "c"]),  # .9397
        ({"relative_margin": 0.1}, ["d", "e"]),  # .8457
        ({"margin": 0.2}, ["e", "f"]),  # .7397
        ({"margin": -0.1}, ["a", "b"]),  # 1.0397
        ({"max_score": 0.8}, ["d", "e"]),
        ({"max_score": 0.8, "margin": 0.2}, ["e", "f"]),
    ],
)
def test_each_bound_drops_what_scores_above_it(make_index: Make, bounds: dict[str, float], kept: list[str]) -> None:
    collection = make_index(TEXTS)
    assert negatives(collection, settings(**bounds), scorer=EncoderScorer(collection.encoder)) == kept


def test_a_share_of_a_negative_score_lowers_the_bound_too() -> None:
    bounds = Bounds(relative_margin=0.1)
    assert bounds.highest(2.0) == pytest.approx(1.8)
    assert bounds.highest(-2.0) == pytest.approx(-2.2)


def test_what_people_judged_not_relevant_is_never_dropped(make_index: Make) -> None:
    collection = make_index(TEXTS)
    judged = Qrels({"q": {"pos": 1, "a": 0}})
    assert negatives(collection, settings(), judged, scorer=index_scorer(collection)) == ["a", "c"]


def test_equal_texts_count_as_one_answer(make_index: Make) -> None:
    texts = TEXTS | {"copy": "SO  20", "echo": "What lies at 0", "b2": "at 25"}
    mining = mine(make_index(texts), QUERY, Qrels({"q": {"pos": 1}}), settings(negatives=9))
    [row] = mining
    assert sorted(one.text for one in row.negatives) == sorted(text for id, text in TEXTS.items() if id != "pos")
    assert mining.counts.same_text == 3


def test_other_passages_of_a_relevant_document_are_no_negatives(make_index: Make) -> None:
    collection = make_index(TEXTS)
    collection.add([Document("pos", "turned 50. " * 256 + "turned 70. " * 256)])
    assert collection.manifest.live_passages > collection.manifest.live_documents
    [row] = mine(collection, QUERY, Qrels({"q": {"pos": 1}}), settings(negatives=9))
    assert [one.id for one in row.negatives] == ["a", "b", "c", "d", "e", "f"]
    assert row.positive.text.endswith("50.")  # the passage that was found, which is the nearest


def test_a_row_for_each_positive_with_its_own_bound(make_index: Make) -> None:
    collection = make_index(TEXTS)
    rows = mine(collection, QUERY, Qrels({"q": {"pos": 1, "e": 2}}), settings(), scorer=index_scorer(collection))
    found = {row.positive.id: [one.id for one in row.negatives] for row in rows}
    assert found == {"pos": ["c", "d"], "e": ["f"]}  # 95% of .5 is .475
    assert rows.counts.rows_with_fewer == 1


def test_rows_without_a_negative_are_left_out_and_counted(make_index: Make) -> None:
    collection = make_index(TEXTS)
    rows = mine(collection, QUERY, Qrels({"q": {"f": 1}}), settings(depth=5), scorer=index_scorer(collection))
    assert list(rows) == []  # every candidate is nearer than the positive, at 80 degrees
    assert (rows.counts.rows, rows.counts.rows_without_negatives, rows.counts.false_negatives) == (0, 1, 5)


def test_a_positive_that_was_not_found_is_scored_all_the_same(make_index: Make) -> None:
    collection = make_index(TEXTS)
    [row] = mine(
        collection, QUERY, Qrels({"q": {"d": 1}}), settings(depth=4, margin=-0.13), scorer=index_scorer(collection)
    )
    assert (row.positive.id, row.positive.text) == ("d", "in 40")
    assert [one.id for one in row.negatives] == ["c"]  # .7660 + .13 is between c's .8660 and b's .9063


def test_queries_and_documents_that_are_not_there_are_counted(make_index: Make) -> None:
    queries = [*QUERY, Query("other", "at 10")]
    judged = Qrels({"q": {"pos": 1, "gone": 1}, "elsewhere": {"a": 1}, "other": {"a": 0}})
    rows = mine(make_index(TEXTS), queries, judged, settings())
    assert len(list(rows)) == 1
    counts = asdict(rows.counts)
    assert (counts["queries"], counts["queries_without_judgement"], counts["judged_without_query"]) == (1, 1, 1)
    assert counts["positives_not_in_index"] == 1


def test_a_scorer_sees_all_of_a_query_once(make_index: Make, near: Any) -> None:
    scorer = near()
    rows = mine(make_index(TEXTS), QUERY, Qrels({"q": {"pos": 1}}), settings(margin=7), scorer=scorer)
    assert [[one.id for one in row.negatives] for row in rows] == [["c", "d"]]  # at least 7 degrees further than 20
    assert scorer.calls == [7]


def test_a_listwise_scorer_has_margins_but_no_common_bound(make_index: Make, near: Any) -> None:
    collection, scorer = make_index(TEXTS), near(comparable=False)
    assert negatives(collection, settings(margin=7.0), scorer=scorer) == ["c", "d"]
    for wrong in ({"max_score": 1.0}, {"margin": "auto"}, {}):
        with pytest.raises(BadInput, match="cannot be compared"):
            negatives(collection, settings(**wrong), scorer=scorer)


def test_bounds_without_a_scorer_and_unjudged_queries_are_refused(make_index: Make) -> None:
    collection = make_index(TEXTS)
    with pytest.raises(BadInput, match="no scorer"):
        negatives(collection, settings(margin=1.0))
    with pytest.raises(BadInput, match="None of the 1 queries is judged"):
        mine(collection, QUERY, Qrels({"q": {"pos": 0}}), settings())


def test_broken_scores_are_refused(make_index: Make, near: Any) -> None:
    collection = make_index(TEXTS)
    with pytest.raises(BadInput, match="NaN or infinity for the query 'q'"):
        negatives(collection, settings(margin=1.0), scorer=near(add=float("nan")))
    short = near()
    short.score = lambda query, texts: near().score(query, texts)[1:]
    with pytest.raises(Mismatch, match="7 texts"):
        negatives(collection, settings(margin=1.0), scorer=short)


def test_the_least_likely_auto_margin_says_what_is_missing(make_index: Make) -> None:
    collection = make_index(TEXTS)
    with pytest.raises(BadInput, match="at least 30 candidates; there are 6"):
        negatives(collection, settings(margin="auto"), scorer=index_scorer(collection))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"mode": "sparse"}, "No mode of mining named 'sparse'"),
        ({"sample": "tops"}, "Did you mean 'top'"),
        ({"negatives": 0}, "negatives is 0"),
        ({"depth": 0}, "k must be"),
        ({"skip_top": 100}, "nothing is left"),
        ({"seed": -1}, "seed is -1"),
        ({"margin": float("nan")}, "finite"),
        ({"relative_margin": 1.0}, "a share from 0 to below 1"),
        ({"max_score": float("inf")}, "finite"),
        ({"false_negatives": 0.0}, "between 0 and 1"),
    ],
)
def test_settings_without_meaning_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput if "named" not in says and "Did" not in says else Exception, match=says):
        MiningSettings(**wrong)


def test_draws_hang_on_seed_and_row_alone() -> None:
    uniform = MiningSettings(sample="uniform", negatives=5)
    first = taken(50, uniform, "q\0p").tolist()
    assert first == taken(50, uniform, "q\0p").tolist() == sorted(set(first))
    assert first != taken(50, uniform, "q\0r").tolist()
    assert first != taken(50, MiningSettings(sample="uniform", negatives=5, seed=1), "q\0p").tolist()
    assert taken(3, uniform, "q").tolist() == [0, 1, 2]


@pytest.mark.parametrize(("sample", "share"), [("uniform", 1 / 4), ("weighted", 1 / (1 + 1 / 2 + 1 / 3 + 1 / 4))])
def test_the_first_is_drawn_as_often_as_said(sample: Any, share: float) -> None:
    chosen = MiningSettings(sample=sample, negatives=1)
    drawn = [int(taken(4, chosen, str(key))[0]) for key in range(4000)]
    assert drawn.count(0) / 4000 == pytest.approx(share, abs=0.03)  # four standard errors
