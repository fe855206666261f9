"""What an encoder makes of documents' passages: of their texts, or of the picture of a document that has one."""

from collections.abc import Iterator, Sequence

import numpy as np

from retr.index.disk.segments import Entry
from retr.index.writing.stored import joined, part_of
from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors
from retr.retrieval.errors import Mismatch
from retr.retrieval.pictures import Picture, has_picture, picture_of
from retr.retrieval.protocols import Encoder, ReadsImages
from retr.retrieval.records import Document


def encoded_texts(document: Document, spans: Sequence[tuple[int, int]]) -> list[str]:
    """What an encoder and the lexical index see of each passage: the title, then the passage."""
    return [f"{document.title} {document.text[start:end]}".strip() for start, end in spans]


def embedded(encoder: Encoder, entries: Sequence[Entry]) -> Embeddings:
    """One embedding a passage, in order. A document with a picture is one passage, and an encoder that reads images
    reads the picture alone; any other reads the texts.

    Errors as `picture_of`, and Mismatch where the encoder gives not one embedding for each.
    """
    shown = [isinstance(encoder, ReadsImages) and has_picture(entry.document) for entry in entries]
    texts = [
        text
        for entry, seen in zip(entries, shown, strict=True)
        if not seen
        for text in encoded_texts(entry.document, entry.spans)
    ]
    if not any(shown):
        return _counted(encoder.encode_documents(texts), len(texts))
    assert isinstance(encoder, ReadsImages)
    pictures = _counted(encoder.encode_images(_pictures(entries, shown)), sum(shown))
    if not texts:
        return pictures
    order = np.concatenate([np.full(len(entry.spans), seen) for entry, seen in zip(entries, shown, strict=True)])
    return _woven(pictures, _counted(encoder.encode_documents(texts), len(texts)), order)


def _pictures(entries: Sequence[Entry], shown: Sequence[bool]) -> Iterator[Picture]:
    return (picture_of(entry.document) for entry, seen in zip(entries, shown, strict=True) if seen)


def _woven(pictures: Embeddings, texts: Embeddings, is_picture: np.ndarray) -> Embeddings:
    """Both, where `is_picture` [passages] says which comes next."""
    places = np.empty(len(is_picture), np.int64)
    places[is_picture] = np.arange(len(pictures))
    places[~is_picture] = np.arange(len(pictures), len(is_picture))
    if isinstance(pictures, Vectors) and isinstance(texts, Vectors):
        return Vectors(np.concatenate([pictures.values, texts.values])[places])
    if not isinstance(pictures, TokenVectors) or not isinstance(texts, TokenVectors):
        raise Mismatch("The encoder gives one vector a token of texts or of images, but not of both.")
    whole = joined([pictures, texts])
    return joined([part_of(whole, place, place + 1) for place in places.tolist()])


def _counted(found: Embeddings, wanted: int) -> Embeddings:
    if len(found) != wanted:
        raise Mismatch(
            f"The encoder gave {len(found)} vectors for {wanted} texts; it must give one a text, or each text's tokens."
        )
    return found
