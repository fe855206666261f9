"""Questions that a decoder writes to passages: a maker of pairs for `retr pairs`, and a questioner for `retr adapt`."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from retr.distill.generating.settings import GenerateSettings
from retr.distill.pairs.making import Pair
from retr.distill.pairs.pages import Page, Passage, passages, read_page
from retr.distill.pairs.settings import PairSettings
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.errors import NotFound, missing_package
from retr.retrieval.records import Document

if TYPE_CHECKING:
    from retr.distill.generating.writer import Writer


def of_page(page: Page, settings: PairSettings) -> Iterator[tuple[str, str]]:
    """(query, positive) of each passage of `min_words` or more; a question of fewer or more words is left out."""
    writer = _writer(settings.generator, GenerateSettings(copy="largepig" if settings.copy else "none"))
    yield from _asked(page, settings, writer)


class Questions:
    """A questioner, as `retr adapt` takes it: `retr.distill.generating.questions:Questions=FOLDER`."""

    name = "generated"

    def __init__(self, source: str) -> None:
        self._writer = _writer(source, GenerateSettings())
        self._settings = PairSettings()

    @property
    def fingerprint(self) -> str:
        """The decoder's weights and settings, and the passages'."""
        return f"{self._writer.fingerprint} {self._settings!r}"

    def ask(self, documents: Iterable[Document]) -> Iterator[Pair]:
        """A question a passage, document by document."""
        for document in documents:
            page = read_page(document, self._settings, ReadSettings())
            for query, positive in _asked(page, self._settings, self._writer):
                yield Pair(query, positive, page.id, page.id)


def _asked(page: Page, settings: PairSettings, writer: "Writer") -> Iterator[tuple[str, str]]:
    for passage in passages(page.pieces, settings.passage_words):
        if len(passage.text.split()) < settings.min_words:
            continue
        question = writer.ask(_told(page, passage))
        if settings.min_words <= len(question.split()) <= settings.max_words:
            yield question, page.positive(passage)


def _told(page: Page, passage: Passage) -> str:
    return " ".join(page.positive(passage).split())


@lru_cache(maxsize=1)
def _writer(folder: str, settings: GenerateSettings) -> "Writer":
    """The decoder, loaded once for all pages."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise missing_package(package, needed_for="Writing questions", extra="train")
    from retr.distill.generating.writer import open_writer
    from retr.encoders.reading.folder import reading

    path = Path(folder).expanduser()
    if not path.is_dir():
        raise NotFound(f"No folder {folder!r} of a decoder. Give one that transformers saved, with its tokenizer.")
    with reading(path):
        return open_writer(path, settings)
