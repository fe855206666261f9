"""LangChain's documents to ours, and hits to LangChain's documents."""

import uuid
from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document as LangChainDocument

from retr.retrieval.errors import Mismatch
from retr.retrieval.records import Document, Hit


def to_documents(documents: Sequence[LangChainDocument], ids: Sequence[str | None] | None) -> list[Document]:
    """With the ids given, else their own, else new ones. Mismatch when there are not as many ids as documents."""
    if ids is not None and len(ids) != len(documents):
        raise Mismatch(f"There are {len(ids)} ids for {len(documents)} documents; give one a document, or none.")
    given = ids if ids is not None else [None] * len(documents)
    return [
        Document(id or document.id or str(uuid.uuid4()), document.page_content, metadata=document.metadata)
        for id, document in zip(given, documents, strict=True)
    ]


def from_document(document: Document) -> LangChainDocument:
    """A stored document whole."""
    return from_hit(Hit(document.id, 0.0, 0, document.title, document.text, document.metadata, document.source))


def from_hit(hit: Hit) -> LangChainDocument:
    """The hit's text and metadata, with its title and where it comes from, unless the metadata say so themselves."""
    origin: dict[str, Any] = {name: hit.source[name] for name in ("page", "start", "end") if name in hit.source}
    if hit.title:
        origin["title"] = hit.title
    if "path" in hit.source:
        origin["source"] = hit.source["path"]
    return LangChainDocument(id=hit.id, page_content=hit.text, metadata={**origin, **hit.metadata})
