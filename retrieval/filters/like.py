"""Patterns of `like`: read once into steps, then matched in Python or written again for SQL."""

from collections.abc import Sequence
from enum import Enum

from retr.retrieval.errors import BadInput


class Wild(Enum):
    """What is not a character in a pattern."""

    ONE = "_"
    RUN = "%"


Step = str | Wild


def read_pattern(pattern: str, escape: str) -> list[Step]:
    """Characters and wildcards. BadInput for an escape of more than one character, or one that ends the pattern."""
    if len(escape) > 1:
        raise BadInput(f"escape needs exactly one character; got {escape!r}. Example: like '10!%' escape '!'.")
    steps: list[Step] = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            taken = next(characters, None)
            if taken is None:
                raise BadInput(f"The pattern {pattern[-40:]!r} ends with its escape character {escape!r}. Double it.")
            steps.append(taken)
        else:
            steps.append(Wild(character) if character in "%_" else character)
    return steps


def sql_pattern(steps: Sequence[Step]) -> str:
    """The same pattern for `LIKE ? ESCAPE '\\'`."""
    return "".join(step.value if isinstance(step, Wild) else f"\\{step}" if step in "%_\\" else step for step in steps)


def lower(text: str) -> str:
    """Lower case, each character by itself, so that lengths and `_` are kept (İ has two characters in `str.lower`)."""
    return "".join(character.lower()[0] for character in text)


def matches_pattern(text: str, steps: Sequence[Step]) -> bool:
    """Whether the whole text fits; at most len(text) x len(steps) comparisons, whatever the pattern."""
    position = step = 0
    run = -1  # where the last % stands, and how much of the text it has taken so far
    taken_to = 0
    while position < len(text):
        if step < len(steps) and steps[step] is Wild.RUN:
            run, taken_to = step, position
            step += 1
        elif step < len(steps) and steps[step] in (Wild.ONE, text[position]):
            position, step = position + 1, step + 1
        elif run >= 0:
            taken_to += 1
            position, step = taken_to, run + 1
        else:
            return False
    return all(left is Wild.RUN for left in steps[step:])
