"""From judged queries to what may be a negative: searched in batches, without what is known to be relevant."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from retr.distill.mining.settings import MiningSettings
from retr.index.collection import Collection
from retr.index.settings import SearchSettings
from retr.index.writing.creation import make_chunker
from retr.retrieval.chunking import Chunker, ChunkSettings
from retr.retrieval.records import Document, Hit, Query
from retr.retrieval.runs import Qrels

QUERIES_AT_ONCE = 64
MOST_PASSAGES = 32
"""Passages of a relevant document, which the index did not find, that are scored to see which one is meant."""


@dataclass(frozen=True, slots=True)
class Text:
    """One passage as an encoder reads it, the title first. `judged`: somebody says that it is not relevant."""

    id: str
    text: str
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Positive:
    """A relevant document: the passage that the index found for the query, or else its first passages."""

    id: str
    passages: tuple[str, ...]
    found: bool


@dataclass(frozen=True, slots=True)
class Pool:
    """What one query has to choose from, in the index's order; the counts say what was taken out before."""

    query: Query
    positives: tuple[Positive, ...]
    candidates: tuple[Text, ...]
    removed: Mapping[str, int] = field(default_factory=dict)


class Pools:
    """Searches for candidates. Titles and passages are as the index's encoder was given them."""

    def __init__(self, collection: Collection, qrels: Qrels, settings: MiningSettings) -> None:
        self._collection, self._qrels, self._settings = collection, qrels, settings
        self._search = SearchSettings(mode=settings.mode, depth=max(settings.depth, SearchSettings().depth))
        facts = collection.manifest.encoder
        cut = ChunkSettings(**collection.manifest.settings["chunk"])
        self._chunker: Chunker = make_chunker(cut, None if facts is None else collection.encoder)

    def of(self, queries: Sequence[Query]) -> Iterator[Pool]:
        """A pool a query, in order. Memory holds one batch."""
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            part = queries[start : start + QUERIES_AT_ONCE]
            texts = [query.text for query in part]
            found = self._collection.search_many(texts, self._settings.depth, settings=self._search)
            wanted = dict.fromkeys(id for query in part for id in relevant(self._qrels, query.id))
            documents = {document.id: document for document in self._collection.get(wanted)}
            for query, hits in zip(part, found, strict=True):
                yield self._pool(query, hits, documents)

    def _pool(self, query: Query, hits: Sequence[Hit], documents: Mapping[str, Document]) -> Pool:
        grades = self._qrels.grades[query.id]
        wanted = relevant(self._qrels, query.id)
        places = {hit.id: hit for hit in hits}
        positives = tuple(self._positive(documents[id], places.get(id)) for id in wanted if id in documents)
        # Equal texts are the same answer under another id; the query itself is no answer.
        seen = {_plain(text) for one in positives for text in one.passages} | {_plain(query.text)}
        candidates: list[Text] = []
        removed = {"relevant": 0, "same_text": 0, "skipped": 0}
        for hit in hits:
            text = _read(hit.title, hit.text)
            reason = _reason(hit.id in wanted, _plain(text) in seen)
            if reason:
                removed[reason] += 1
                continue
            seen.add(_plain(text))
            candidates.append(Text(hit.id, text, judged=hit.id in grades))
        skip = self._settings.skip_top
        removed["skipped"] = len(candidates[:skip])
        return Pool(query, positives, tuple(candidates[skip:]), removed)

    def _positive(self, document: Document, hit: Hit | None) -> Positive:
        if hit is not None:
            return Positive(document.id, (_read(hit.title, hit.text),), True)
        passages = self._chunker.split(document)[:MOST_PASSAGES]
        return Positive(document.id, tuple(_read(document.title, passage.text) for passage in passages), False)


def relevant(qrels: Qrels, query_id: str) -> list[str]:
    """The ids judged relevant, in the qrels' order."""
    return [id for id, grade in qrels.grades[query_id].items() if grade > 0]


def _reason(is_relevant: bool, is_known: bool) -> str:
    return "relevant" if is_relevant else "same_text" if is_known else ""


def _read(title: str, text: str) -> str:
    return f"{title} {text}".strip()


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
