"""Evidence of multi-hop questions: which of the facts of an answer stand in the passages found (MultiHop-RAG)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from retr.retrieval.errors import BadInput
from retr.retrieval.evaluation.ranking import Evaluation, evaluation_of

DEPTH, SHALLOW = 10, 4
PUBLISHED = ("hits@10", "hits@4", "map@10 (published)", "mrr@10")
STANDARD = ("map@10", "recall@10", "recall@4", "all@10")


def evaluate_evidence(found: Mapping[str, Sequence[str]], facts: Mapping[str, Sequence[str]]) -> Evaluation:
    """From the texts found for each question, best first, and the facts of each; questions without a fact are left out.

    A passage holds a fact when the fact is a part of it, spaces and line ends of both left out. The published metrics
    are those of MultiHop-RAG's evaluation program (Tang and Yang, 2024): `hits@k`, `mrr@10` and its own `map@10`, which
    adds (facts found for the first time) / rank without what was found above, over the number of facts. The standard
    ones beside them: `map@10` with the precision at each rank, where a passage is right that holds a fact; `recall@k`,
    the share of the facts that were found; and `all@10`, whether all were.
    """
    asked = {id: [squeezed(fact) for fact in given] for id, given in facts.items() if given}
    if not asked:
        raise BadInput("No question has a fact to be found, so nothing can be evaluated. Check the file.")
    per_query: dict[str, dict[str, float]] = {name: {} for name in (*PUBLISHED, *STANDARD)}
    for id, wanted in asked.items():
        if not all(wanted):
            raise BadInput(f"The question {id!r} has an empty fact. Take it out of the file.")
        trail = _trail(found.get(id, ()), wanted)
        for name, value in _values(trail, wanted).items():
            per_query[name][id] = value
    missing = tuple(id for id in asked if not found.get(id))
    return evaluation_of(per_query, missing=missing, unjudged=tuple(id for id in facts if id not in asked))


def reachable(facts: Mapping[str, Sequence[str]], texts: Iterable[str]) -> float:
    """The share of all facts that stand in some text whole: the most that any search over these texts can find."""
    left = {squeezed(fact) for given in facts.values() for fact in given}
    total = len(left)
    for text in texts:
        held = squeezed(text)
        left = {fact for fact in left if fact not in held}
    return 1 - len(left) / total if total else 0.0


def squeezed(text: str) -> str:
    """The text without spaces and line ends, as the published program compares."""
    return text.replace(" ", "").replace("\n", "")


@dataclass(frozen=True, slots=True)
class _Step:
    """One place of the list: whether its passage holds a fact, and the facts that no place above held."""

    holds: bool
    new: frozenset[str]


def _trail(texts: Sequence[str], facts: Sequence[str]) -> list[_Step]:
    steps: list[_Step] = []
    known: set[str] = set()
    for text in texts[:DEPTH]:
        squeezed_text = squeezed(text)
        held = {fact for fact in facts if fact in squeezed_text}
        steps.append(_Step(bool(held), frozenset(held - known)))
        known |= held
    return steps


def _values(trail: Sequence[_Step], facts: Sequence[str]) -> dict[str, float]:
    places = [place for place, step in enumerate(trail, start=1) if step.holds]
    distinct = len(set(facts))
    new = [len(step.new) for step in trail]
    right = [sum(step.holds for step in trail[:place]) for place in range(1, len(trail) + 1)]
    ranks = range(1, len(trail) + 1)
    published = sum(count / rank for count, rank in zip(new, ranks, strict=True)) / min(len(facts), DEPTH)
    standard = sum(count * hits / rank for count, hits, rank in zip(new, right, ranks, strict=True)) / distinct
    return {
        "hits@10": float(bool(places)),
        "hits@4": float(bool(places) and places[0] <= SHALLOW),
        "map@10 (published)": published,
        "mrr@10": 1 / places[0] if places else 0.0,
        "map@10": standard,
        "recall@10": sum(new) / distinct,
        "recall@4": sum(new[:SHALLOW]) / distinct,
        "all@10": float(sum(new) == distinct),
    }
