"""A document as pairs are made of it: its pieces, its passages, and where it links to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from random import Random

from retr.distill.pairs.links import linked_text
from retr.distill.pairs.prose import Piece, as_query, pieces_of
from retr.distill.pairs.settings import PairSettings
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.records import Document

HTML = (".html", ".htm", ".xhtml")


@dataclass(frozen=True, slots=True)
class Passage:
    """Pieces that stand one after another, perhaps without one that was taken out."""

    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        """Its paragraphs, a blank line between two."""
        paragraphs = groupby(self.pieces, key=lambda piece: (piece.paragraph, piece.kind))
        return "\n\n".join("".join(piece.text for piece in part).strip() for _, part in paragraphs)

    def without(self, sentence: Piece) -> "Passage":
        """The same without the sentence, wherever it stands in it."""
        asked = as_query(sentence.text)
        return Passage(tuple(piece for piece in self.pieces if as_query(piece.text) != asked))


@dataclass(frozen=True, slots=True)
class Page:
    """One document. `links` are (place in the text, target as it is written); links of its metadata have no place."""

    id: str
    title: str
    pieces: tuple[Piece, ...]
    links: tuple[tuple[int | None, str], ...] = ()
    url: str = ""

    def positive(self, passage: Passage) -> str:
        """What stands on the document's side: title and passage, as an index's encoder reads them."""
        return f"{self.title} {passage.text}".strip()

    def asking(self, pieces: Iterable[Piece], settings: PairSettings) -> list[Piece]:
        """Those of the pieces that can ask: sentences of a fitting length, none twice, none that introduces a list."""
        found: dict[str, Piece] = {}
        for piece in pieces:
            fits = settings.min_words <= _words(piece) <= settings.max_words
            if piece.kind == "prose" and fits and not piece.text.rstrip().endswith(":"):
                found.setdefault(as_query(piece.text), piece)
        return list(found.values())

    def lead(self, settings: PairSettings) -> list[Piece]:
        """What can ask of the first section that has such sentences; without sections, of the first paragraph."""
        sections = len({piece.section for piece in self.pieces}) > 1
        for _, part in groupby(self.pieces, key=lambda piece: piece.section if sections else piece.paragraph):
            if found := self.asking(part, settings):
                return found
        return []


def read_page(document: Document, settings: PairSettings, reading: ReadSettings) -> Page:
    """The document's pieces and links. Links within the text are read as what they show."""
    html = str(document.source.get("path", "")).lower().removesuffix(".gz").endswith(HTML)
    text, links = linked_text(document, reading, settings.links_field, html=html and settings.method == "wlp")
    pieces = pieces_of(text, language=settings.language, wrapped=not html)
    url = document.metadata.get("url")
    return Page(document.id, document.title, tuple(pieces), tuple(links), url if isinstance(url, str) else "")


def passages(pieces: Sequence[Piece], words: int) -> list[Passage]:
    """Whole paragraphs up to so many words together; a longer paragraph is cut between its sentences."""
    found: list[list[Piece]] = []
    count = 0
    for _, part in groupby(pieces, key=lambda piece: piece.paragraph):
        paragraph = list(part)
        size = sum(_words(piece) for piece in paragraph)
        for group in [paragraph] if size <= words else [[piece] for piece in paragraph]:
            size = sum(_words(piece) for piece in group)
            if not found or count + size > words:
                found.append([])
                count = 0
            found[-1] += group
            count += size
    return [Passage(tuple(group)) for group in found]


def drawn(settings: PairSettings, *names: object) -> Random:
    """Random numbers that hang on the seed, the method and the names alone: never on what was read before."""
    key = "\0".join(map(str, (settings.seed, settings.method, *names)))
    return Random(int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big"))


def holds(text: str, sentence: Piece) -> bool:
    """Whether the sentence's words stand in the text, whatever the white space and the case."""
    return as_query(sentence.text).casefold() in " ".join(text.split()).casefold()


def _words(piece: Piece) -> int:
    return len(piece.text.split())
