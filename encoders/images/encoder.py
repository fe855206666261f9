"""Images and texts to vectors without torch: an `Encoder` whose documents are paths of images."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.images.networks import IMAGE, IMAGES_IN, KIND, NETWORK, TEXT, TEXTS_IN
from retr.encoders.images.pixels import Pixels, read_images
from retr.encoders.reading.folder import max_tokens, read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.tokenizing import check_list, read_tokenizer, token_ids
from retr.encoders.running.session import equal_lengths, open_session
from retr.retrieval.embeddings import Embeddings, Floats, TokenVectors, Vectors
from retr.retrieval.errors import Damaged, NotFound
from retr.retrieval.protocols import Similarity

IMAGES_AT_ONCE, TOKENS_AT_ONCE = 16, 4096
FILLED = "siglip_text_model"
"""The kind of text tower that reads texts filled up to its length."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageTextEncoder:
    """Queries are texts, documents are paths of images below `images`; `encode_images` and `encode_texts` are either.

    With `tokens` each has a vector a patch or a token, compared by MaxSim; else one, compared by cosine.
    """

    dim: int
    similarity: Similarity
    fingerprint: str
    images: Path
    pixels: Pixels
    tokenizer: Any
    filled: int
    sessions: tuple[Any, Any]

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """One embedding a text, in order."""
        return self.encode_texts(texts)

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        """One embedding a path of an image, in order; errors as `read_images`."""
        return self.encode_images(texts)

    def encode_texts(self, texts: Sequence[str]) -> Embeddings:
        """Vectors of texts."""
        check_list(texts)
        ids = token_ids(self.tokenizer, texts, "").ids
        found: list[Floats] = [np.empty(0, np.float32)] * len(ids)
        for rows in equal_lengths([self.filled or len(row) for row in ids], TOKENS_AT_ONCE):
            given = np.zeros((len(rows), self.filled or len(ids[rows[0]])), np.int64)
            for at, row in enumerate(rows):
                given[at, : len(ids[row])] = ids[row]
            for row, vectors in zip(rows, self.sessions[1].run(None, {TEXTS_IN: given})[0], strict=True):
                found[row] = vectors[: len(ids[row])] if self.similarity == "maxsim" else vectors
        return self._embeddings(found)

    def encode_images(self, paths: Sequence[str]) -> Embeddings:
        """Vectors of images."""
        check_list(paths)
        found: list[Floats] = []
        for start in range(0, len(paths), IMAGES_AT_ONCE):
            pixels = read_images(paths[start : start + IMAGES_AT_ONCE], self.images, self.pixels)
            found += list(self.sessions[0].run(None, {IMAGES_IN: pixels})[0])
        return self._embeddings(found)

    def _embeddings(self, found: Sequence[Floats]) -> Embeddings:
        if self.similarity == "cosine":
            return Vectors(np.stack(found) if found else np.empty((0, self.dim), np.float32))
        offsets = np.cumsum([0, *(len(vectors) for vectors in found)], dtype=np.int64)
        return TokenVectors(np.concatenate([np.empty((0, self.dim), np.float32), *found]), offsets)


def load(source: str, *, images: Path | None = None) -> ImageTextEncoder:
    """The encoder of a folder with both networks, as `write_networks` leaves it.

    `images` is the folder that paths are taken from: RETR_IMAGES, or else the one in which the command runs.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise NotFound(f"There is no folder {source!r}. Give a folder of a model of the kind filip.")
    files = [folder / side / NETWORK for side in (IMAGE, TEXT)]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise NotFound(f"{missing[0]} is missing. Make it with write_networks, or use the folder by torch.")
    with reading(folder):
        table = read_json(folder / "retr.json").get(KIND)
        if not isinstance(table, dict) or table.get("interaction") not in ("tokens", "global"):
            raise Damaged(f"{folder / 'retr.json'} does not tell of a model of the kind filip. Get the folder again.")
        image, text = (read_json(folder / side / "config.json") for side in (IMAGE, TEXT))
        told = read_json(folder / TEXT / "sentence_bert_config.json", missing={})
        most = max_tokens(folder / TEXT, text, told.get("max_seq_length"))
        tokenizer, stamp = read_tokenizer(folder / TEXT, most, lowercase=bool(told.get("do_lower_case", False)))
        pixels = Pixels.read(folder / IMAGE, int(image["image_size"]))
    sessions = (open_session(files[0]), open_session(files[1]))
    dim = int(sessions[1].get_outputs()[0].shape[-1])
    identity = {**hashes(folder, files), "tokenizer": stamp, "tokens": most, "pixels": repr(pixels)}
    return ImageTextEncoder(
        dim=dim,
        similarity="maxsim" if table["interaction"] == "tokens" else "cosine",
        fingerprint=sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
        images=images or Path(os.environ.get("RETR_IMAGES", ".")),
        pixels=pixels,
        tokenizer=tokenizer,
        filled=most if text.get("model_type") == FILLED else 0,
        sessions=sessions,
    )
