"""Which cycle's model is kept, and which one the next cycle learns from."""

from collections.abc import Sequence

from retr.retrieval.errors import BadInput


def chosen_cycle(scores: Sequence[float | None], mode: str) -> int:
    """From 1: in the mode paper the first of the best by its validation, in strict the last, whatever was measured."""
    if mode != "paper":
        return len(scores)
    measured = [score for score in scores if score is not None]
    if len(measured) != len(scores):
        raise BadInput("The mode paper needs a measure of every cycle; name labelled pairs in [validation].")
    return measured.index(max(measured)) + 1
