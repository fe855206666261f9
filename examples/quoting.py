"""A stand-in for a language model: answers with the best sentence of each passage, and names its source."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, and the document's id."""

    id: str
    text: str


def quote(question: str, passages: Sequence[Passage]) -> str:
    """One line a passage, best passage first: the sentence that shares most words with the question, and the id."""
    if not passages:
        return "The documents do not say."
    return "\n".join(f"“{_best_sentence(question, passage.text)}” [{passage.id}]" for passage in passages)


def _best_sentence(question: str, text: str) -> str:
    wanted = _words(question)
    sentences = [sentence.strip() for sentence in re.split(r"(?<=[.!?])\s+", text) if sentence.strip()]
    return max(sentences, key=lambda sentence: len(wanted & _words(sentence)), default=text.strip())


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3}
