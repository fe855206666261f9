"""Who asks: questions made of a document's own sentences and title, or by whatever a caller brings."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from retr.distill.pairs import Pair, PairSettings
from retr.distill.pairs.ict import of_page
from retr.distill.pairs.pages import Page, Passage, drawn, holds, passages, read_page
from retr.distill.pairs.prose import Piece
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.kinds import resolve
from retr.retrieval.records import Document


@runtime_checkable
class Questioner(Protocol):
    """Makes pairs of documents; one with a model behind it, such as a question generator, fits here too."""

    @property
    def name(self) -> str:
        """Short, for the report."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, its questions may."""
        ...

    def ask(self, documents: Iterable[Document]) -> Iterator[Pair]:
        """Questions, each with a text of the document that answers it, document by document."""
        ...


@dataclass(frozen=True, slots=True)
class Cloze:
    """A sentence asks for the rest of its passage: the inverse cloze task, as `retr pairs` makes it."""

    settings: PairSettings
    name: str = "ict"

    @property
    def fingerprint(self) -> str:
        """The settings."""
        return repr(self.settings)

    def ask(self, documents: Iterable[Document]) -> Iterator[Pair]:
        """A pair for each passage of two sentences or more."""
        for document in documents:
            page = read_page(document, self.settings, ReadSettings())
            for query, positive in of_page(page, self.settings):
                yield Pair(query, positive, page.id, page.id)


@dataclass(frozen=True, slots=True)
class Titles:
    """A document's title asks for the first passage of its text, which then stands without it."""

    settings: PairSettings
    name: str = "title"

    @property
    def fingerprint(self) -> str:
        """The settings."""
        return repr(self.settings)

    def ask(self, documents: Iterable[Document]) -> Iterator[Pair]:
        """A pair for each document with a title of `min_words` or more that its text does not repeat."""
        for document in documents:
            title = " ".join(document.title.split())
            if not self.settings.min_words <= len(title.split()) <= self.settings.max_words:
                continue
            page = read_page(document, self.settings, ReadSettings())
            first = next((passage.text for passage in passages(page.pieces, self.settings.passage_words)), "")
            if len(first.split()) >= self.settings.min_words and title.casefold() not in _plain(first):
                yield Pair(title, first, page.id, page.id)


OWN: dict[str, type[Cloze] | type[Titles]] = {"ict": Cloze, "title": Titles}
"""Those that need nothing but the documents."""


def open_questioners(specs: Sequence[str], language: str, seed: int) -> tuple[Questioner, ...]:
    """Of names, and of `module:attribute=SOURCE` of a user's own, which is called with the source; without any, `OWN`.

    NotFound for an unknown name; BadInput for what is no questioner, and for one that is named twice.
    """
    settings = PairSettings(language=language, seed=seed)
    if len(set(specs)) < len(specs):
        raise BadInput(f"A questioner is named twice: {', '.join(specs)}. Name each once.")
    return tuple(OWN[spec](settings) if spec in OWN else _of_users(spec) for spec in specs or OWN)


def _of_users(spec: str) -> Questioner:
    name, _, source = spec.partition("=")
    if ":" not in name:
        raise unknown("questioner", spec, OWN)
    made = resolve(name, {}, "questioner")(source)
    if not isinstance(made, Questioner):
        raise BadInput(f"{spec!r} is no questioner: it needs name, fingerprint and ask(documents).")
    return made


def held_out_question(document: Document, settings: PairSettings) -> tuple[str, Document] | None:
    """A sentence drawn from the document, and the document without it; None where no sentence can be spared."""
    page = read_page(document, settings, ReadSettings())
    whole = Passage(page.pieces)
    fitting = [piece for piece in page.asking(page.pieces, settings) if _spared(page, whole, piece)]
    if not fitting:
        return None
    asked = drawn(settings, page.id, "held out").choice(fitting)
    rest = whole.without(asked).text
    if len(rest.split()) < settings.min_words:
        return None
    return " ".join(asked.text.split()), Document(document.id, rest, document.title)


def place_of(seed: int, *parts: str) -> int:
    """A number drawn evenly by the seed and the texts alone, whatever the order in which they come."""
    digest = hashlib.blake2b(repr((seed, *parts)).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def _spared(page: Page, whole: Passage, piece: Piece) -> bool:
    """Whether nothing that is left repeats the sentence."""
    return not holds(page.positive(whole.without(piece)), piece)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
