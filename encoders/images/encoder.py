"""Images and texts to vectors in one space, without torch where ONNX networks are there: the kind `filip`."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.images.networks import IMAGE, KIND, TEXT
from retr.encoders.images.pixels import Pixels
from retr.encoders.images.towers import Towers, open_towers
from retr.encoders.reading.card import licence
from retr.encoders.reading.folder import max_tokens, read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.record import read_record
from retr.encoders.reading.tokenizing import check_list, read_tokenizer, token_ids
from retr.encoders.running.session import equal_lengths, threads
from retr.retrieval.embeddings import Embeddings, Floats, TokenVectors, Vectors
from retr.retrieval.errors import BadInput, Damaged, NotFound, RetrError
from retr.retrieval.pictures import Picture
from retr.retrieval.protocols import Box, Similarity

IMAGES_AT_ONCE, TOKENS_AT_ONCE = 4, 4096
FILLED = "siglip_text_model"
"""The kind of text tower that reads texts filled up to its length."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class ImageTextEncoder:
    """Queries and documents are texts, or images by `encode_images`.

    With the similarity `maxsim` each has a vector a patch or a token; with `cosine` one. Texts that are `filled` are
    filled up to `max_tokens` with the token `fill`.
    """

    dim: int
    similarity: Similarity
    max_tokens: int
    tokenizer: Any
    pixels: Pixels
    grid: tuple[int, int]
    towers: Towers
    identity: Mapping[str, Any]
    about: Mapping[str, Any]
    filled: bool = False
    fill: int = 0

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the vectors may: sha256 of what they depend on, as hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        """One embedding a text, in order."""
        check_list(texts)
        ids = token_ids(self.tokenizer, texts, "").ids
        found: list[Floats] = [np.empty(0, np.float32)] * len(ids)
        for rows in equal_lengths([self._length(len(row)) for row in ids], TOKENS_AT_ONCE):
            given = np.full((len(rows), self._length(len(ids[rows[0]]))), self.fill, np.int64)
            for at, row in enumerate(rows):
                given[at, : len(ids[row])] = ids[row]
            for row, vectors in zip(rows, self.towers.texts(given), strict=True):
                found[row] = vectors[: len(ids[row])] if self.similarity == "maxsim" else vectors
        return self._embeddings(found)

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        """One embedding a text, in order: as queries."""
        return self.encode_queries(texts)

    def encode_images(self, images: Iterable[Picture]) -> Embeddings:
        """One embedding an image, in order; errors as `Picture.open`."""
        found: list[Floats] = []
        waiting = iter(images)
        workers = threads()
        with ThreadPoolExecutor(workers, thread_name_prefix="retr-images") as pool:
            while some := list(islice(waiting, IMAGES_AT_ONCE * workers)):
                for vectors in pool.map(self._read, _groups(some)):
                    found += list(vectors)
        return self._embeddings(found)

    def boxes(self, width: int, height: int) -> list[Box]:
        """Where each patch stands in an upright picture of that size, row by row; all that is seen, for one vector."""
        return self.pixels.boxes((width, height), self.grid)

    def spans(self, texts: Sequence[str], task: str = "document") -> list[list[tuple[str, Span]]]:
        """For each text each vector's token, and where it stands in the text; (0, 0) for one that stands nowhere."""
        check_list(texts)
        read = [self.tokenizer.encode(text) for text in texts]
        return [list(zip(one.tokens, map(tuple, one.offsets), strict=True)) for one in read]

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows: everything that the vectors depend on, the name, the licence, the runtime."""
        return {**self.about, **self.identity, "fingerprint": self.fingerprint}

    def _length(self, tokens: int) -> int:
        return self.max_tokens if self.filled else tokens

    def _read(self, images: Sequence[Picture]) -> Floats:
        return self.towers.images(np.stack([self.pixels.of(image.open()) for image in images]))

    def _embeddings(self, found: Sequence[Floats]) -> Embeddings:
        if self.similarity == "cosine":
            return Vectors(np.stack(found) if found else np.empty((0, self.dim), np.float32))
        offsets = np.cumsum([0, *(len(vectors) for vectors in found)], dtype=np.int64)
        return TokenVectors(np.concatenate([np.empty((0, self.dim), np.float32), *found]), offsets)


def load(source: str) -> ImageTextEncoder:
    """The encoder of a folder that `retr train` or `retr export` wrote."""
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise NotFound(f"There is no folder {source!r}. Give a folder of a model of the kind filip.")
    with reading(folder):
        return load_folder(folder)


def load_folder(folder: Path, *, by_torch: bool = False) -> ImageTextEncoder:
    """The encoder of a folder; its text half is tried, so that parts that do not fit are told here.

    Damaged where a file is not the one that `retr export` measured.
    """
    table = read_json(folder / "retr.json", missing={}).get(KIND)
    if not isinstance(table, dict) or table.get("interaction") not in ("tokens", "global"):
        raise Damaged(f"{folder / 'retr.json'} does not tell of a model of the kind filip. Get the folder again.")
    tokens = table["interaction"] == "tokens"
    read_record(folder, KIND)
    towers, files = open_towers(folder, by_torch=by_torch)
    image, text = (read_json(folder / side / "config.json") for side in (IMAGE, TEXT))
    told = read_json(folder / TEXT / "sentence_bert_config.json", missing={})
    most = max_tokens(folder / TEXT, text, told.get("max_seq_length"))
    tokenizer, stamp = read_tokenizer(folder / TEXT, most, lowercase=bool(told.get("do_lower_case", False)))
    pixels, patch = Pixels.read(folder / IMAGE, int(image["image_size"])), int(image["patch_size"])
    filled, fill = text.get("model_type") == FILLED, int(text.get("pad_token_id") or 0)
    dim = _dim(towers, most if filled else 0, tokenizer)
    identity = {
        "weights": hashes(folder, files),
        "tokenizer": stamp,
        "interaction": table["interaction"],
        "max_tokens": most,
        "pixels": repr(pixels),
        "precision": "float32",
        "dim": dim,
    }
    about = {
        "name": folder.resolve().name,
        "source": str(folder),
        "licence": licence(folder),
        "runtime": towers.runtime,
    }
    return ImageTextEncoder(
        dim=dim,
        similarity="maxsim" if tokens else "cosine",
        max_tokens=most,
        tokenizer=tokenizer,
        pixels=pixels,
        grid=(pixels.height // patch, pixels.width // patch) if tokens else (1, 1),
        towers=towers,
        identity=identity,
        about=about,
        filled=filled,
        fill=fill,
    )


def _dim(towers: Towers, filled: int, tokenizer: Any) -> int:
    ids = np.array([tokenizer.encode("a").ids], np.int64)
    if filled:
        ids = np.concatenate([ids, np.zeros((1, filled - ids.shape[1]), np.int64)], axis=1)
    try:
        return int(towers.texts(ids).shape[-1])
    except RetrError:
        raise
    except Exception as error:  # the runtimes' errors share no base
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"The model folder's parts do not fit together ({reason}). Get the folder again.") from None


def _groups(images: Sequence[Picture]) -> Iterator[Sequence[Picture]]:
    for start in range(0, len(images), IMAGES_AT_ONCE):
        yield images[start : start + IMAGES_AT_ONCE]
