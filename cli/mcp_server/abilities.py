"""What an agent can do: search, fetch, and where it is allowed upsert and delete."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from retr.cli.mcp_server.answers import Fetched, Found, Given, Results, Written
from retr.index.settings import Mode, SearchSettings
from retr.integrations.shelf import ID, Shelf
from retr.retrieval.errors import BadInput, NotFound, RetrError
from retr.retrieval.filters import And, Filter, In, parse
from retr.retrieval.protocols import Scorer
from retr.retrieval.records import Document, Hit

MOST_RESULTS = 50
MOST_DOCUMENTS = 1000
PAGE_CHARACTERS = 20_000
"""How much of a document `fetch` gives at once: about 5,000 tokens."""

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

Query = Annotated[str, Field(description="A question, or words to look for.")]
Count = Annotated[int, Field(ge=1, le=MOST_RESULTS, description="How many results.")]
Where = Annotated[
    str | None,
    Field(description="Keep to documents whose metadata say so, such as: year >= 2020 and lang in ('en', 'de')"),
]
DocumentId = Annotated[str, Field(description="The id of a result of search.")]
Offset = Annotated[int, Field(ge=0, description="Where to start in a long document: the next_offset of the last part.")]
Documents = Annotated[
    list[Given], Field(min_length=1, max_length=MOST_DOCUMENTS, description="id and text are needed.")
]
Ids = Annotated[list[str], Field(min_length=1, max_length=MOST_DOCUMENTS, description="Ids of documents.")]


def told(tool: Callable[Asked, Answer]) -> Callable[Asked, Answer]:
    """What the caller can put right becomes an answer that it can read."""

    @wraps(tool)
    def answering(*given: Asked.args, **named: Asked.kwargs) -> Answer:
        try:
            return tool(*given, **named)
        except RetrError as error:
            raise ToolError(str(error)) from None

    return answering


class Tools:
    """Over one shelf. `scope`, if given, is a filter that every document shown must pass."""

    def __init__(self, shelf: Shelf, *, mode: Mode, scope: Filter | None, scorer: Scorer | None) -> None:
        self._shelf, self._mode, self._scope, self._scorer = shelf, mode, scope, scorer

    def search(self, query: str, k: int, where: str | None) -> Results:
        """The best passages, one a document."""
        settings = SearchSettings(mode=self._mode, where=self._within(None if where is None else parse(where)))
        hits = self._shelf.by_text(query, k, settings=settings, rerank=self._scorer, whole=False)
        return {"results": [_found(hit) for hit in hits]}

    def fetch(self, id: str, offset: int) -> Fetched:
        """A document, part by part. NotFound also for one that the scope hides."""
        collection = self._shelf.collection
        documents = collection.get([id])
        if documents and self._scope is not None and not collection.ids(self._within(In(ID, (id,)))):
            documents = []
        if not documents:
            raise NotFound(f"There is no document {id!r}. Take an id from the results of search.")
        document = documents[0]
        end = min(offset + PAGE_CHARACTERS, len(document.text))
        return {
            "id": document.id,
            "title": document.title,
            "text": document.text[offset:end],
            "url": _url(document.metadata, document.source),
            "metadata": dict(document.metadata),
            "offset": offset,
            "characters": len(document.text),
            "next_offset": end if end < len(document.text) else None,
        }

    def upsert(self, documents: Sequence[Given]) -> Written:
        """Add or replace documents."""
        for document in documents:
            if not document.get("id") or not document.get("text"):
                raise BadInput("Every document needs an id and a text, neither of them empty.")
        self._shelf.write(
            [Document(each["id"], each["text"], each.get("title", ""), each.get("metadata", {})) for each in documents]
        )
        return {"changed": len({each["id"] for each in documents}), "documents": len(self._shelf.collection)}

    def delete(self, ids: Sequence[str]) -> Written:
        """Delete documents by id."""
        return {"changed": self._shelf.remove(ids), "documents": len(self._shelf.collection)}

    def _within(self, where: Filter | None) -> Filter | None:
        if self._scope is None or where is None:
            return where or self._scope
        return And((self._scope, where))


def _found(hit: Hit) -> Found:
    return {
        "id": hit.id,
        "title": hit.title,
        "text": hit.text,
        "score": hit.score,
        "url": _url(hit.metadata, hit.source),
        "metadata": dict(hit.metadata),
        "source": {name: hit.source[name] for name in ("path", "page", "start", "end") if name in hit.source},
    }


def _url(metadata: Any, source: Any) -> str:
    """Where a person can look: the metadata's `url`, else the file it was read from."""
    return str(metadata.get("url") or source.get("path") or "")
