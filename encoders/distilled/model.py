"""A Distilled Sentence Embedding's folder as one object: texts to vectors, pairs of vectors to numbers. No torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.distilled.head import DseHead, read_head
from retr.encoders.distilled.shape import HEAD, DseShape, read_shape
from retr.encoders.graphs.transformer import BUILDER, build
from retr.encoders.reading.families import is_known, read_transformer
from retr.encoders.reading.folder import max_tokens, read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.safetensors_file import floats, read_safetensors, weight_files
from retr.encoders.reading.tokenizing import Tokens, check_list, read_tokenizer, token_ids
from retr.encoders.running.network import TOKENS_A_RUN, Network, open_built
from retr.encoders.running.pooling import pool, unit
from retr.encoders.running.session import equal_lengths, on_all_cores
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged, NotFound


@dataclass(frozen=True, slots=True, eq=False)
class DseModel:
    """`identity` is all that vectors and scores depend on, `about` what is told besides."""

    shape: DseShape
    network: Network
    tokenizer: Any
    max_tokens: int
    embedding: tuple[Floats, Floats] | None
    head: DseHead
    dim: int
    identity: Mapping[str, Any]
    about: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, vectors or scores may: sha256 of what they depend on, as hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def tokenize(self, texts: Sequence[str]) -> Tokens:
        """The token numbers of each text."""
        check_list(texts)
        return token_ids(self.tokenizer, texts, "")

    def vectors(self, texts: Sequence[str]) -> Floats:
        """float32 [texts, dim], of any length, or with `unit` of length one: u of the paper."""
        return self.vectors_of(self.tokenize(texts))

    def vectors_of(self, tokens: Tokens) -> Floats:
        """The same of tokens."""
        ids = tokens.ids

        def work(rows: list[int]) -> Floats:
            batch = np.stack([ids[row] for row in rows]).astype(np.int64)
            return self._pooled(self.network(batch, np.zeros_like(batch)))

        runs = equal_lengths([len(row) for row in ids], self.network.budget)
        return on_all_cores(runs, work, np.empty((len(ids), self.dim), np.float32))

    def logits(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """float32 [pairs, outputs]; each different text is encoded once."""
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        places = {text: row for row, text in enumerate(texts)}
        vectors = self.vectors(texts)
        left, right = ([places[pair[side]] for pair in pairs] for side in (0, 1))
        return self.logits_of(vectors[left], vectors[right])

    def logits_of(self, left: Floats, right: Floats) -> Floats:
        """The same of two float32 [pairs, dim] of vectors that were computed before."""
        found = self.head.pairs(self.head.left(left), self.head.right(right))
        if not self.shape.symmetric or self.shape.head == "dot":
            return found
        return np.asarray((found + self.head.pairs(self.head.left(right), self.head.right(left))) / 2, np.float32)

    def every(self, left: Floats, right: Floats) -> Floats:
        """float32 [left, right, outputs]: every vector [left, dim] with every other [right, dim]."""
        found = self.head.every(self.head.left(left), self.head.right(right))
        if not self.shape.symmetric or self.shape.head == "dot":
            return found
        back = self.head.every(self.head.left(right), self.head.right(left))
        return np.asarray((found + back.transpose(1, 0, 2)) / 2, np.float32)

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows: everything that vectors and scores depend on, the name, the runtime."""
        return {**self.about, **self.identity, "fingerprint": self.fingerprint}

    def _pooled(self, states: Floats) -> Floats:
        """States of the last layers side by side [texts, tokens, layers x dim] to [texts, dim]."""
        texts, tokens, width = states.shape
        if self.shape.combine == "mean":
            states = states.reshape(texts, tokens, self.shape.layers, width // self.shape.layers).mean(axis=2)
        found = pool(states, (self.shape.pooling,), self.shape.skip)
        if self.embedding is not None:
            found = found @ self.embedding[0] + self.embedding[1]
        return unit(found) if self.shape.unit else np.asarray(found, np.float32)


def load_model(source: str) -> DseModel:
    """The model of a folder that `retr distill` wrote; NotFound or Damaged where it is none or not whole."""
    path = Path(source).expanduser()
    if not path.is_dir():
        raise NotFound(f"No folder {source!r} of a Distilled Sentence Embedding. Give the one that was written.")
    with reading(path):
        return _load(path)


def _load(path: Path) -> DseModel:
    shape = read_shape(path)
    config = read_json(path / "config.json")
    if not is_known(config):
        raise BadInput(
            f"{path} is a {config.get('model_type')!r} model; a Distilled Sentence Embedding is served for BERT, "
            "RoBERTa, MPNet and DistilBERT. Distil into one of these."
        )
    told = read_json(path / "sentence_bert_config.json", missing={})
    most = max_tokens(path, config, told.get("max_seq_length"))
    tokenizer, tokenizer_hash = read_tokenizer(path, most, lowercase=bool(told.get("do_lower_case", False)))
    files = [file for file in weight_files(path) if file.name != HEAD]
    weights = read_transformer(read_safetensors(files), config)
    if len(weights.layers) < shape.layers:
        raise Damaged(f"{path} pools {shape.layers} layers and has {len(weights.layers)}. Get the folder again.")
    network = open_built(build(weights, linears="float32", segments=False, top=shape.layers), TOKENS_A_RUN)
    if not (path / HEAD).is_file():
        raise NotFound(f"{path / HEAD} is missing, which retr.json beside it tells of. Get the folder again.")
    parts = {name: floats(values) for name, values in read_safetensors([path / HEAD]).items()}
    embedding, dim = None, shape.pooled(weights.dim)
    if shape.embedding:
        embedding, dim = (parts["embedding.weight"].T.copy(), parts["embedding.bias"]), shape.embedding
    identity = {
        "weights": hashes(path, (*files, path / HEAD)), "tokenizer": tokenizer_hash, "builder": BUILDER,
        "precision": "float32",
        "max_tokens": most, "dse": read_json(path / "retr.json")["dse"],
    }  # fmt: skip
    about = {"name": path.resolve().name, "source": str(path), "licence": "not stated"}
    about |= {"runtime": "onnxruntime, float32"}
    head = read_head(parts, shape, dim)
    return DseModel(shape, network, tokenizer, most, embedding, head, dim, identity, about)
