"""Body first selection: a sentence of a document's first section asks for another passage of the document."""

from collections.abc import Iterator

from retr.distill.pairs.pages import Page, Passage, drawn, holds, passages
from retr.distill.pairs.prose import Piece, as_query
from retr.distill.pairs.settings import PairSettings


def of_page(page: Page, settings: PairSettings) -> Iterator[tuple[str, str]]:
    """(query, positive), the positive never of the sentence's own paragraph (Chang et al. 2020, section 3).

    Of a document with one paragraph it is another passage of that one; with one passage there is no pair.
    """
    random = drawn(settings, page.id)
    lead = page.lead(settings)
    for piece in random.sample(lead, min(settings.rows, len(lead))):
        found = [passage for passage in _others(page, piece, settings) if not holds(page.positive(passage), piece)]
        if found:
            yield as_query(piece.text), page.positive(random.choice(found))


def _others(page: Page, sentence: Piece, settings: PairSettings) -> list[Passage]:
    before = [piece for piece in page.pieces if piece.paragraph < sentence.paragraph]
    after = [piece for piece in page.pieces if piece.paragraph > sentence.paragraph]
    words = settings.passage_words
    if before or after:
        return passages(before, words) + passages(after, words)
    return [passage for passage in passages(page.pieces, words) if sentence not in passage.pieces]
