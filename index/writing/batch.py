"""Documents that wait for the next commit: hashed, cut into passages, and given their vectors."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.manifest import EncoderFacts
from retr.index.disk.segments import Entry, to_json
from retr.index.exact import single
from retr.retrieval.embeddings import Embeddings, Vectors, check_finite
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Encoder
from retr.retrieval.records import Document, check_id

_ROUNDING = 1e-6
"""Vectors this close to length 1 are stored as they are."""


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    vectors: NDArray[np.float32] | None


class Batch:
    """What the next commit will hold."""

    def __init__(self, encoder: EncoderFacts | None, dim: int | None) -> None:
        self._facts = encoder
        self._dim = None if encoder is None else dim or encoder.dim
        self._waiting: list[_Waiting] = []
        self.passages = 0
        self.characters = 0
        self.unencoded = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def entries(self) -> list[Entry]:
        """The documents, in the order they came."""
        return [one.entry for one in self._waiting]

    def put(self, entry: Entry, vectors: NDArray[np.float32] | None) -> None:
        """Take a document in, with its passages' vectors where they are known."""
        self._waiting.append(_Waiting(entry, vectors))
        self.passages += len(entry.spans)
        self.characters += len(entry.document.text)
        self.unencoded += len(entry.spans) if vectors is None and self._dim is not None else 0

    def encode(self, encoder: Encoder) -> int:
        """Give every document its vectors; says how many passages were encoded."""
        assert self._dim is not None and self._facts is not None
        todo = [one for one in self._waiting if one.vectors is None]
        texts = [text for one in todo for text in encoded_texts(one.entry.document, one.entry.spans)]
        embeddings = encoder.encode_documents(texts)
        values = stored(embeddings, self._facts, self._dim)
        if len(values) != len(texts):
            raise Mismatch(f"The encoder gave {len(values)} vectors for {len(texts)} texts; it must give one a text.")
        start = 0
        for one in todo:
            one.vectors = values[start : start + len(one.entry.spans)]
            start += len(one.entry.spans)
        self.unencoded = 0
        return len(texts)

    def vectors(self) -> NDArray[np.float32] | None:
        """One row a passage, in order; None without an encoder."""
        if self._dim is None:
            return None
        known = [one.vectors for one in self._waiting if one.vectors is not None]
        return np.concatenate([np.empty((0, self._dim), np.float32), *known])


def stored(embeddings: Embeddings, encoder: EncoderFacts, dim: int) -> NDArray[np.float32]:
    """Vectors as the collection holds them: float32 [texts, dim], finite.

    Where fewer numbers are kept than the encoder gives (Matryoshka, arXiv 2205.13147), cosine vectors are made unit
    again.
    """
    values = single(embeddings, encoder.dim)
    check_finite(embeddings)
    if dim == encoder.dim:
        return values
    values = np.ascontiguousarray(values[:, :dim])
    if encoder.similarity == "cosine":
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return values


def given_vectors(vectors: NDArray[Any], encoder: EncoderFacts, dim: int) -> NDArray[np.float32]:
    """A user's own vectors, [texts, encoder.dim] or one alone, as the collection holds them: float32 [texts, dim].

    Cosine vectors get length 1. Mismatch for another shape, BadInput for NaN, infinity, or no direction to compare by.
    """
    values = np.ascontiguousarray(vectors, np.float32)
    values = values[None, :] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] != encoder.dim:
        shape = list(np.shape(vectors))
        raise Mismatch(f"The vectors have the shape {shape}; this collection needs [texts, {encoder.dim}].")
    kept = np.ascontiguousarray(values[:, :dim])
    lengths = np.sqrt(np.add.reduce(kept * kept, axis=1))  # Row by row alike: not as einsum, which sums by shape.
    smallest = lengths.min(initial=1.0)
    if not (smallest > 0 and lengths.max(initial=1.0) < np.inf):
        check_finite(Vectors(values))
        if encoder.similarity == "cosine" and not smallest:
            row = int(np.argmin(lengths))
            raise BadInput(f"Vector {row} is all zeros and has no direction to compare by cosine. Leave that text out.")
    if encoder.similarity != "cosine":
        return kept
    lengths[np.abs(lengths - 1) < _ROUNDING] = 1
    scaled: NDArray[np.float32] = kept / lengths[:, None]
    return scaled


def encoded_texts(document: Document, spans: Sequence[tuple[int, int]]) -> list[str]:
    """What an encoder and the lexical index see of each passage: the title, then the passage."""
    return [f"{document.title} {document.text[start:end]}".strip() for start, end in spans]


def check_document(document: Document, *, needs_text: bool = True) -> None:
    """BadInput when a document cannot be stored and found again; one with a vector of its own needs no text."""
    check_id(document.id)
    for name in ("text", "title"):
        value = getattr(document, name)
        if not isinstance(value, str):
            raise BadInput(f"The {name} of document {document.id!r} must be a string; got {type(value).__name__}.")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise BadInput(f"The {name} of document {document.id!r} holds a lone surrogate. Clean it first.")
    if needs_text and not document.text.strip():
        raise BadInput(
            f"The document {document.id!r} has no text{where_from(document)}. Leave it out, or give it text."
        )


def where_from(document: Document) -> str:
    """Such as ' (papers.jsonl:12)'; empty when unknown."""
    path, line = document.source.get("path"), document.source.get("line")
    return f" ({path}:{line})" if path and line else f" ({path})" if path else ""


def hashes(document: Document, chunk_key: str) -> tuple[bytes, bytes]:
    """(text hash, record hash): what the vectors depend on besides the encoder, and everything that is stored."""
    text = _hash(chunk_key, document.title, document.text)
    return text, _hash(text.hex(), _json_of(document, "metadata"), _json_of(document, "source"))


def _hash(*parts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()


def _json_of(document: Document, name: str) -> str:
    value: Any = getattr(document, name)
    try:
        return to_json(dict(value))
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"The {name} of document {document.id!r} is not JSON ({error}). "
            "Use strings, numbers, booleans, null, lists and objects with string keys."
        ) from None
