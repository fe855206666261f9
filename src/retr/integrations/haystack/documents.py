"""Haystack's documents to ours and back, so that what is read equals what was written."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.dataclasses import Document as HaystackDocument

from retr.retrieval.filters import Compare, Field, Filter, Not
from retr.retrieval.records import Document, Hit

NOT_EMBEDDED = "_retr_not_embedded"
"""A metadata key of ours: the document came without a vector, and holds the place of one only."""

EMBEDDED: Filter = Not(Compare(Field(("metadata", NOT_EMBEDDED)), "=", True))

REST = "haystack"
"""Under this name stands, in a document's source, what Haystack's documents have and ours have not."""


def to_document(document: HaystackDocument, *, embedded: bool = True) -> Document:
    """Text and metadata as they are; everything else beside them."""
    rest: dict[str, Any] = {}
    if document.content is None:
        rest["no_content"] = True
    if document.blob is not None:
        blob = {"mime_type": document.blob.mime_type, "meta": document.blob.meta}
        rest["blob"] = {**blob, "data": base64.b64encode(document.blob.data).decode()}
    if document.score is not None:
        rest["score"] = document.score
    if document.embedding is not None:
        rest["embedding"] = _packed(document.embedding)
    if document.sparse_embedding is not None:
        rest["sparse_embedding"] = document.sparse_embedding.to_dict()
    meta = document.meta if embedded else {**document.meta, NOT_EMBEDDED: True}
    return Document(document.id, document.content or "", metadata=meta, source={REST: rest} if rest else {})


def from_document(document: Document, *, return_embedding: bool = True) -> HaystackDocument:
    """A document as it was written; one that was indexed elsewhere gains its title and where it comes from."""
    rest: Mapping[str, Any] = document.source.get(REST, {})
    given = rest.get("embedding") if return_embedding else None
    sparse = rest.get("sparse_embedding")
    return HaystackDocument(
        id=document.id,
        content=None if rest.get("no_content") else document.text,
        blob=_blob(rest.get("blob")),
        meta=_meta(document),
        score=rest.get("score"),
        embedding=None if given is None else np.frombuffer(base64.b64decode(given["data"]), given["type"]).tolist(),
        sparse_embedding=None if sparse is None else SparseEmbedding.from_dict(sparse),
    )


def from_hits(hits: Sequence[Hit], *, return_embedding: bool) -> list[HaystackDocument]:
    """Found documents, with their scores."""
    found = [Document(hit.id, hit.text, hit.title, hit.metadata, hit.source) for hit in hits]
    return [
        replace(from_document(document, return_embedding=return_embedding), score=hit.score)
        for document, hit in zip(found, hits, strict=True)
    ]


def _packed(embedding: Sequence[float]) -> dict[str, str]:
    """Its numbers exactly: as float32 where that holds them, as it does what models give."""
    exact = np.asarray(embedding, "<f8")
    short = exact.astype("<f4")
    kept: np.ndarray[Any, Any] = short if np.array_equal(short, exact) else exact
    return {"type": kept.dtype.str, "data": base64.b64encode(kept.tobytes()).decode()}


def _meta(document: Document) -> dict[str, Any]:
    meta: dict[str, Any] = {name: document.source[name] for name in ("page", "start", "end") if name in document.source}
    if document.title:
        meta["title"] = document.title
    if "path" in document.source:
        meta["file_path"] = document.source["path"]
    meta.update(document.metadata)
    meta.pop(NOT_EMBEDDED, None)
    return meta


def _blob(given: Mapping[str, Any] | None) -> ByteStream | None:
    if given is None:
        return None
    return ByteStream(base64.b64decode(given["data"]), meta=dict(given["meta"]), mime_type=given["mime_type"])
