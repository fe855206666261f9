"""Documents that wait for the next commit: hashed, cut into passages, and given their vectors."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.manifest import EncoderFacts, Manifest
from retr.index.disk.segments import Entry, to_json
from retr.index.loading import Encoders
from retr.index.writing.passages import embedded
from retr.index.writing.stored import Stored, blocks_of, stored, stored_tokens
from retr.retrieval.embeddings import Floats, TokenVectors, Vectors, check_finite
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.pictures import has_picture
from retr.retrieval.records import Document, check_id

if TYPE_CHECKING:
    from retr.index.late.part import LatePart

_ROUNDING = 1e-6
"""Vectors this close to length 1 are stored as they are."""


@dataclass(slots=True)
class _Waiting:
    entry: Entry
    stored: Stored | None


class Batch:
    """What the next commit will hold."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._waiting: list[_Waiting] = []
        self.passages = 0
        self.characters = 0
        self.unencoded = 0
        self.token_bytes = 0
        self.coded: LatePart | None = None
        """The tokens of all passages, in order, where they are coded already."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def entries(self) -> list[Entry]:
        """The documents, in the order they came."""
        return [one.entry for one in self._waiting]

    def put(self, entry: Entry, known: Stored | None) -> None:
        """Take a document in, with its passages' vectors where they are known."""
        self._waiting.append(_Waiting(entry, known))
        self.passages += len(entry.spans)
        self.characters += len(entry.document.text)
        if known is not None:
            self.token_bytes += known.token_bytes
        elif self._manifest.encoders:
            self.unencoded += len(entry.spans)

    def encode(self, encoders: Encoders) -> int:
        """Give every document its vectors; says how many passages were encoded."""
        todo = [one for one in self._waiting if one.stored is None]
        entries = [one.entry for one in todo]
        manifest, vectors, tokens = self._manifest, None, None
        if manifest.encoder is not None and manifest.dim is not None:
            vectors = stored(embedded(encoders.dense(manifest), entries), manifest.encoder, manifest.dim)
        if manifest.late is not None:
            tokens = stored_tokens(embedded(encoders.late(manifest), entries), manifest.late)
        found, start = Stored(vectors, tokens), 0
        for one in todo:
            one.stored = found[start : start + len(one.entry.spans)]
            start += len(one.entry.spans)
        self.unencoded, self.token_bytes = 0, self.token_bytes + found.token_bytes
        return start

    def vectors(self) -> Floats | None:
        """One row a passage, in order; None without an encoder of passages."""
        if self._manifest.dim is None:
            return None
        known = [one.stored.vectors for one in self._waiting if one.stored and one.stored.vectors is not None]
        return np.concatenate([np.empty((0, self._manifest.dim), np.float32), *known])

    def tokens(self) -> list[TokenVectors]:
        """The token vectors of all passages, in order, in blocks; none without a late encoder."""
        known = (one.stored.tokens for one in self._waiting if one.stored and one.stored.tokens is not None)
        return list(blocks_of(known))


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
        seen = " and no encoder here reads its image" if has_picture(document) else ""
        raise BadInput(
            f"The document {document.id!r} has no text{seen}{where_from(document)}. Leave it out, or give it text."
        )


def where_from(document: Document) -> str:
    """Such as ' (papers.jsonl:12)'; empty when unknown."""
    path, line = document.source.get("path"), document.source.get("line")
    return f" ({path}:{line})" if path and line else f" ({path})" if path else ""


def hashes(document: Document, chunk_key: str) -> tuple[bytes, bytes]:
    """(text hash, record hash): what the vectors depend on besides the encoder, and everything that is stored."""
    picture = [str(document.source.get("sha256"))] if has_picture(document) else []
    text = _hash(chunk_key, document.title, document.text, *picture)
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
