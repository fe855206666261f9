"""Inverse cloze task: a sentence asks for the passage that it was taken out of."""

from collections.abc import Iterator

from retr.distill.pairs.pages import Page, Passage, drawn, holds, passages
from retr.distill.pairs.prose import Piece, as_query
from retr.distill.pairs.settings import PairSettings


def of_page(page: Page, settings: PairSettings) -> Iterator[tuple[str, str]]:
    """(query, positive) of each passage of at least two sentences (Lee et al. 2019, arXiv 1906.00300, section 5).

    The rest of the passage has the title before it. With `keep_prob` the passage stays whole: then words that both
    sides share are learned too.
    """
    for number, passage in enumerate(passages(page.pieces, settings.passage_words)):
        random = drawn(settings, page.id, number)
        sentences = [
            piece for piece in page.asking(passage.pieces, settings) if _leaves(page, passage, piece, settings)
        ]
        for piece in random.sample(sentences, min(settings.rows, len(sentences))):
            kept = random.random() < settings.keep_prob
            yield as_query(piece.text), page.positive(passage if kept else passage.without(piece))


def _leaves(page: Page, passage: Passage, sentence: Piece, settings: PairSettings) -> bool:
    """Whether something to learn from is left without the sentence, and nothing that repeats it."""
    rest = passage.without(sentence)
    return len(rest.text.split()) >= settings.min_words and not holds(page.positive(rest), sentence)
