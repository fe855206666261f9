"""SMITH as an encoder: one vector of unit length for a long document, its blocks read one by one."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.graphs.transformer import BUILDER
from retr.encoders.reading.card import licence
from retr.encoders.reading.folder import read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.safetensors_file import floats, read_safetensors
from retr.encoders.reading.tokenizing import read_tokenizer
from retr.encoders.running.network import Network
from retr.encoders.running.opening import open_network
from retr.encoders.running.session import equal_lengths, on_all_cores
from retr.encoders.smith.blocks import Filling
from retr.encoders.smith.head import DocumentHead
from retr.encoders.smith.settings import PARTS, told
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.protocols import Similarity

LONGEST = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class SmithEncoder:
    """Texts to vectors [texts, dim]; queries and documents alike."""

    network: Network
    filling: Filling
    head: DocumentHead
    tokenizer: Any
    identity: Mapping[str, Any]
    about: Mapping[str, Any]
    similarity: Similarity = "cosine"

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.head.dim

    @property
    def max_tokens(self) -> int:
        """Tokens of one text that are read, where no sentence leaves room in its block."""
        return self.filling.max_tokens

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the vectors may."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        return self.encode_documents(texts)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        documents = self.filling(texts)
        blocks = list(chain.from_iterable(documents))

        def work(rows: list[int]) -> Floats:
            batch = np.array([blocks[row] for row in rows], np.int64)
            return np.asarray(self.network(batch, np.zeros_like(batch))[:, 0])

        runs = equal_lengths([len(block) for block in blocks], self.network.budget)
        first = on_all_cores(runs, work, np.empty((len(blocks), self.dim), np.float32))
        ends = np.cumsum([0, *map(len, documents)])
        vectors = [self.head(first[start:end]) for start, end in pairwise(ends)]
        return Vectors(np.stack(vectors) if vectors else np.empty((0, self.dim), np.float32))

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows."""
        return {**self.about, **self.identity, "fingerprint": self.fingerprint}


def load(source: str) -> SmithEncoder:
    """The encoder of a folder that training wrote."""
    path = Path(source).expanduser()
    if not path.is_dir():
        raise NotFound(f"No folder {source!r} of a smith encoder. Give the folder that training wrote.")
    with reading(path):
        return _load(path)


def _load(path: Path) -> SmithEncoder:
    settings = told(path)
    if settings is None:
        raise BadInput(f"{path} is no smith encoder: its retr.json has no table 'smith'. Train it with kind smith.")
    if not (path / PARTS).is_file():
        raise NotFound(f"{path / PARTS} is missing, which retr.json beside it tells of. Get the folder again.")
    head = DocumentHead(settings, {name: floats(values) for name, values in read_safetensors([path / PARTS]).items()})
    lowercase = bool(read_json(path / "sentence_bert_config.json", missing={}).get("do_lower_case", False))
    filling = Filling.of(read_tokenizer(path, LONGEST, lowercase=lowercase)[0], settings)
    tokenizer, tokenizer_hash = read_tokenizer(path, filling.max_tokens, lowercase=lowercase)
    opened = open_network(path, read_json(path / "config.json"), device="cpu")
    files = tuple(file for file in opened.files if file.name != PARTS)
    identity = {
        "weights": hashes(path, (*files, path / PARTS)), "tokenizer": tokenizer_hash, "precision": opened.precision,
        "builder": BUILDER, "dim": head.dim, "max_tokens": filling.max_tokens, "smith": asdict(settings),
    }  # fmt: skip
    about = {"name": path.resolve().name, "source": str(path), "licence": licence(path), "runtime": opened.runtime}
    return SmithEncoder(opened.network, filling, head, tokenizer, identity, about)
