"""Documents to pairs: one stream in, one stream out, the same pairs for the same documents and seed."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from retr.distill.pairs.pages import Page, read_page
from retr.distill.pairs.settings import METHODS, PairSettings
from retr.retrieval.corpus.settings import ReadSettings
from retr.retrieval.kinds import resolve
from retr.retrieval.records import Document


@dataclass(frozen=True, slots=True)
class Pair:
    """A row to train with. The ids are of the documents that the query and the positive are taken from.

    By them training sees that two rows of a batch speak of one document, and takes neither for the other's negative.
    """

    query: str
    positive: str
    query_id: str
    positive_id: str


@dataclass(slots=True)
class Counts:
    """What there was so far; `links` are those of the texts and of the metadata, to whatever they lead."""

    documents: int = 0
    rows: int = 0
    links: int = 0


def make_pairs(
    documents: Iterable[Document],
    settings: PairSettings | None = None,
    *,
    reading: ReadSettings | None = None,
    counts: Counts | None = None,
) -> Iterator[Pair]:
    """Pairs of the documents, as they come; link prediction reads all of them first, into a file.

    What is drawn of a document hangs on the seed, its id and its text, not on its place among the others. `reading` is
    how HTML files were read, whose links stand in no document's text. NotFound without the package sentencex.
    """
    settings, reading, counts = settings or PairSettings(), reading or ReadSettings(), counts or Counts()
    for pair in _pairs(_pages(documents, settings, reading, counts), settings):
        counts.rows += 1
        yield pair


def _pages(
    documents: Iterable[Document], settings: PairSettings, reading: ReadSettings, counts: Counts
) -> Iterator[Page]:
    for document in documents:
        page = read_page(document, settings, reading)
        counts.documents += 1
        counts.links += len(page.links)
        yield page


def _pairs(pages: Iterator[Page], settings: PairSettings) -> Iterator[Pair]:
    make = resolve(settings.method, METHODS, "method of making pairs")
    if settings.method == "wlp":
        for query, positive, asked, linking in make(pages, settings):
            yield Pair(query, positive, asked, linking)
        return
    for page in pages:
        for query, positive in make(page, settings):
            yield Pair(query, positive, page.id, page.id)
