"""Evidence metrics by hand: the published ones with their ways, the usual ones beside them."""

import pytest

from retr.retrieval.errors import BadInput
from retr.retrieval.evaluation.evidence import evaluate_evidence, reachable

FACTS = ["red fish", "blue bird", "old tree"]


def figures(texts: list[str], facts: list[str]) -> dict[str, float]:
    return dict(evaluate_evidence({"q": texts}, {"q": facts}).means)


def test_figures_by_hand() -> None:
    found = figures(["none", "a red\nfish here", "none", "the redfish again", "a blue bird"], FACTS)
    assert found == pytest.approx(
        {
            "hits@10": 1.0,
            "hits@4": 1.0,
            "map@10 (published)": (1 / 2 + 0 / 4 + 1 / 5) / 3,
            "mrr@10": 1 / 2,
            "map@10": (1 / 2 + 3 / 5) / 3,
            "recall@10": 2 / 3,
            "recall@4": 1 / 3,
            "all@10": 0.0,
        }
    )


def test_two_facts_in_one_passage_are_both_found() -> None:
    found = figures(["red fish and blue bird"], FACTS[:2])
    assert found["map@10 (published)"] == found["map@10"] == found["recall@4"] == found["all@10"] == 1.0


def test_a_list_with_all_facts_first_is_perfect_by_the_usual_map_alone() -> None:
    found = figures(FACTS, FACTS)
    assert found["map@10"] == 1.0
    assert found["map@10 (published)"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_a_fact_that_stands_twice_in_the_gold_counts_twice_in_the_published_map() -> None:
    found = figures(["red fish"], ["red fish", "red fish"])
    assert found["map@10 (published)"] == 1 / 2
    assert found["map@10"] == found["recall@10"] == 1.0


def test_what_is_beyond_the_first_ten_does_not_count() -> None:
    found = figures(["none"] * 10 + ["red fish"], FACTS)
    assert set(found.values()) == {0.0}
    late = figures(["none"] * 4 + ["red fish"], FACTS)
    assert (late["hits@4"], late["hits@10"], late["recall@4"]) == (0.0, 1.0, 0.0)


def test_questions_without_facts_are_left_out_and_those_without_passages_count_zero() -> None:
    found = evaluate_evidence({"a": ["red fish"]}, {"a": ["red fish"], "b": ["blue bird"], "null": []})
    assert found.means["hits@10"] == 0.5
    assert (found.queries, found.missing, found.unjudged) == (2, ("b",), ("null",))


def test_a_fact_cut_in_two_can_be_found_by_nobody() -> None:
    assert reachable({"a": FACTS, "b": ["red fish"]}, ["a red fish", "a blue", "bird"]) == pytest.approx(1 / 3)
    assert reachable({"a": []}, ["x"]) == 0.0


def test_a_question_must_have_a_fact_with_something_in_it() -> None:
    with pytest.raises(BadInput, match="No question has a fact"):
        evaluate_evidence({"a": ["x"]}, {"a": []})
    with pytest.raises(BadInput, match="'a' has an empty fact"):
        evaluate_evidence({"a": ["x"]}, {"a": [" \n"]})


@pytest.mark.parametrize("seed", range(20))
def test_the_published_metrics_equal_a_reading_of_the_paper_program(seed: int) -> None:
    import random

    rng = random.Random(seed)
    words = ["a", "b", "c", "ab", "bc"]
    texts = [" ".join(rng.choices(words, k=3)) for _ in range(rng.randint(0, 14))]
    facts = rng.choices(["a b", "bc", "c a", "zz", "abc"], k=rng.randint(1, 4))
    found = figures(texts, facts)
    known: list[str] = []
    total, first = 0.0, 0
    for rank, text in enumerate(texts[:10], start=1):
        held = [fact for fact in facts if fact.replace(" ", "") in text.replace(" ", "")]
        if held:
            first = first or rank
        for fact in held:
            if fact not in known:
                known.append(fact)
                total += 1 / rank
    assert found["map@10 (published)"] == pytest.approx(total / len(facts))
    assert found["mrr@10"] == pytest.approx(1 / first if first else 0.0)
    assert found["hits@4"] == float(0 < first <= 4)
