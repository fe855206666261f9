"""One vector a text from a table of words: the mean of the rows of its tokens. No network runs.

As model2vec (Minish Lab, 2024) and sentence-transformers' StaticEmbedding have it: a bag of words, in which neither
order nor neighbours count.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.reading.folder import reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.tokenizing import check_list, read_tokenizer
from retr.encoders.running.pooling import TINY, unit
from retr.encoders.running.session import on_all_cores
from retr.encoders.static.reading import StaticFolder, read_static
from retr.encoders.static.summing import sums
from retr.encoders.static.words import Words
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput, Mismatch, unknown
from retr.retrieval.protocols import Similarity

BUILDER = 1
"""Raised whenever the same folder would give other vectors; part of the fingerprint."""

MAX_TOKENS = 1 << 16
"""Tokens read of a text, some 50,000 words: the model itself has no limit, memory has."""

TEXTS_A_RUN = 256


@dataclass(frozen=True, slots=True, eq=False)
class StaticEncoder:
    """Texts to vectors [texts, dim]. `table` float32 [rows, dim]; `blank` [dim] is the vector of a text without words.

    `identity` is all that the vectors depend on, `about` what is told besides.
    """

    table: Floats
    blank: Floats
    words: Words
    identity: Mapping[str, Any]
    about: Mapping[str, Any]
    similarity: Similarity = "cosine"
    query_prompt: str = ""
    document_prompt: str = ""

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return int(self.table.shape[1])

    @property
    def max_tokens(self) -> int:
        """Tokens of one text that are read."""
        return self.words.max_tokens

    @property
    def tokenizer(self) -> Any:
        """A `tokenizers.Tokenizer` that adds no special tokens."""
        return self.words.tokenizer

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the vectors may: sha256 of what they depend on, as hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        return self._encode(texts, self.query_prompt)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        return self._encode(texts, self.document_prompt)

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows: everything that the vectors depend on, the name, the licence, the runtime."""
        return {**self.about, **self.identity, "fingerprint": self.fingerprint}

    def _encode(self, texts: Sequence[str], prompt: str) -> Vectors:
        check_list(texts)

        def work(rows: list[int]) -> Floats:
            ids, lengths = self.words.ids([texts[row] for row in rows], prompt)
            counts = np.maximum(lengths, 1).astype(np.float32)
            return self._finished(np.asarray(sums(self.table, ids, lengths) / counts[:, None], np.float32))

        firsts = range(0, len(texts), TEXTS_A_RUN)
        runs = [list(range(first, min(first + TEXTS_A_RUN, len(texts)))) for first in firsts]
        return Vectors(on_all_cores(runs, work, np.empty((len(texts), self.dim), np.float32)))

    def _finished(self, means: Floats) -> Floats:
        if self.similarity != "cosine":
            return means
        vectors = unit(means)
        vectors[np.abs(means).max(axis=1) < TINY] = self.blank
        return vectors


def load(source: str) -> StaticEncoder:
    """The encoder of a folder, or of a hub name `organisation/name`."""
    from retr.encoders.reading import hub

    path = Path(source).expanduser()
    name = ""
    if not path.exists() and hub.is_hub_name(source):
        path, name = hub.fetch(source), source
    if path.is_dir():
        with reading(path):
            return _load_folder(path, name)
    if path.exists():
        raise BadInput(f"{source} is a file; give the folder of a model, such as `retr distill` writes.")
    raise unknown("folder of static embeddings", source, ())


def _load_folder(path: Path, name: str) -> StaticEncoder:
    folder = read_static(path)
    tokenizer, tokenizer_hash = read_tokenizer(folder.place, MAX_TOKENS)
    tokenizer.post_processor = None
    rows = max(tokenizer.get_vocab().values(), default=-1) + 1
    if rows > len(folder.table):
        raise Mismatch(f"{path} has a tokenizer of {rows} tokens and a table of {len(folder.table)}. Get it again.")
    identity = {
        "weights": hashes(path, folder.files),
        "tokenizer": tokenizer_hash,
        "precision": folder.precision,
        "builder": f"static {BUILDER}",
        "dim": int(folder.table.shape[1]),
        "max_tokens": MAX_TOKENS,
        "similarity": folder.similarity,
        "skips_unknown": folder.skips_unknown,
        "prompts": {"query": folder.query_prompt, "document": folder.document_prompt},
    }
    about = {"name": name or path.resolve().name, "source": str(path), "runtime": "numpy", "licence": "not stated"}
    table = _known_alone(folder, tokenizer)
    words = Words(tokenizer, MAX_TOKENS)
    prompts = folder.query_prompt, folder.document_prompt
    return StaticEncoder(table, _blank(folder.table), words, identity, about, folder.similarity, *prompts)


def _known_alone(folder: StaticFolder, tokenizer: Any) -> Floats:
    """The table, in which the row of words that are not in the vocabulary is zero where they are to count nothing."""
    row = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "")
    if not folder.skips_unknown or row is None:
        return folder.table
    table = folder.table.copy()
    table[row] = 0
    return table


def _blank(table: Floats) -> Floats:
    """The unit vector of a text without words: away from what all words share, so that it is found after every other.

    Zeros would have no direction, and an index by distance would put them before most texts.
    """
    mean = table.mean(axis=0, dtype=np.float64)
    if np.abs(mean).max() < TINY:
        mean = np.eye(1, len(mean))[0]
    return np.asarray(-mean / np.linalg.norm(mean), np.float32)
