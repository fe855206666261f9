"""One vector a text: sentence-transformers' kind of encoder, without torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.graphs.transformer import BUILDER
from retr.encoders.models import MODELS
from retr.encoders.reading.card import licence
from retr.encoders.reading.folder import Dense, ModelFolder, read_folder, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.tokenizing import Tokens, check_list, read_tokenizer, token_ids
from retr.encoders.running.network import Network, PoolingNetwork
from retr.encoders.running.pipeline import Side
from retr.encoders.running.pooling import attend, pool, unit
from retr.encoders.running.session import equal_lengths, on_all_cores
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput, RetrError, unknown
from retr.retrieval.protocols import Similarity


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What follows on the token states: poolings, dense layers, unit length."""

    poolings: tuple[str, ...] = ("mean",)
    dense: tuple[Dense, ...] = ()
    normalised: bool = True
    include_prompt: bool = True
    attention: Floats | None = None

    def __call__(self, states: Floats, prompt_tokens: int) -> Floats:
        """[texts, tokens, dim] to [texts, dim of the vectors]."""
        skip = self.left_out(prompt_tokens)
        if self.attention is not None:
            return self.finish(attend(states, self.attention, skip))
        return self.finish(pool(states, self.poolings, skip))

    def left_out(self, prompt_tokens: int) -> int:
        """How many of a text's first tokens are not pooled."""
        return 0 if self.include_prompt else prompt_tokens

    def finish(self, vectors: Floats) -> Floats:
        """Pooled states [texts, dim x poolings] to [texts, dim of the vectors]."""
        for layer in self.dense:
            vectors = layer(vectors)
        return unit(vectors) if self.normalised else vectors


@dataclass(frozen=True, slots=True, eq=False)
class BiEncoder:
    """Texts to vectors [texts, dim]. `identity` is all that the vectors depend on, `about` what is told besides."""

    network: Network
    tokenizer: Any
    dim: int
    max_tokens: int
    identity: Mapping[str, Any]
    about: Mapping[str, Any]
    head: Head = field(default_factory=Head)
    similarity: Similarity = "cosine"
    query_prompt: str = ""
    document_prompt: str = ""

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the vectors may: sha256 of what they depend on, as hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        return self.encode_tokens(self.tokenize(texts, "queries"))

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order."""
        return self.encode_tokens(self.tokenize(texts, "documents"))

    def tokenize(self, texts: Sequence[str], side: Side) -> Tokens:
        """The token numbers of each text, after the side's prompt."""
        check_list(texts)
        return token_ids(self.tokenizer, texts, self.query_prompt if side == "queries" else self.document_prompt)

    def encode_tokens(self, tokens: Tokens) -> Vectors:
        """One vector a text, in order."""
        ids = tokens.ids
        if isinstance(self.network, PoolingNetwork) and self.head.attention is None:
            pooled = self.network.vectors(ids, self.head.poolings, self.head.left_out(tokens.skip))
            return Vectors(self.head.finish(pooled))

        def work(rows: list[int]) -> Floats:
            batch = np.stack([ids[row] for row in rows]).astype(np.int64)
            return self.head(self.network(batch, np.zeros_like(batch)), tokens.skip)

        out = np.empty((len(ids), self.dim), np.float32)
        runs = equal_lengths([len(row) for row in ids], self.network.budget)
        return Vectors(on_all_cores(runs, work, out))

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows: everything that the vectors depend on, the name, the licence, the runtime."""
        return {**self.about, **self.identity, "fingerprint": self.fingerprint}


def load(source: str, device: str = "") -> BiEncoder:
    """The encoder of a model that comes with the package, of a folder, or of a hub name `organisation/name`.

    `device` is where it runs, as `on_torch.compute.Compute` reads it; empty: RETR_DEVICE, else the CPU. A model that
    comes with the package is in int8 for a CPU, and runs nowhere else.
    """
    from retr.encoders import minilm
    from retr.encoders.reading import hub

    if source in MODELS:
        if device not in ("", "cpu", "auto"):
            raise BadInput(f"{source} comes as int8 for a CPU and cannot run on {device}. Give a model folder, or cpu.")
        return minilm.load(MODELS[source])
    path = Path(source).expanduser()
    if path.is_dir():
        with reading(path):
            return load_folder(path, device=device)
    if path.exists():
        raise BadInput(f"{source} is a file; give the folder of a model, such as sentence-transformers saves.")
    if hub.is_hub_name(source):
        path = hub.fetch(source)
        with reading(path):
            return load_folder(path, name=source, device=device)
    raise unknown("model or model folder", source, MODELS)


def load_folder(path: Path, name: str = "", device: str = "") -> BiEncoder:
    """The encoder of a sentence-transformers folder, in float32, or in the precision that it was exported in."""
    from retr.encoders.running.opening import open_network

    folder = read_folder(path)
    tokenizer, tokenizer_hash = read_tokenizer(path, folder.max_tokens, lowercase=folder.lowercase)
    opened = open_network(path, folder.config, device=device)
    head = Head(folder.poolings, folder.dense, folder.normalised, folder.include_prompt, folder.attention)
    dim = _dim(opened.network, tokenizer, head)
    identity = {
        "weights": hashes(path, (*opened.files, *folder.head_files)),
        "tokenizer": tokenizer_hash,
        "precision": opened.precision,
        "builder": BUILDER,
        "dim": dim,
        "max_tokens": folder.max_tokens,
        **_settings(folder),
    }
    about = {
        "name": name or path.resolve().name,
        "source": str(path),
        "runtime": opened.runtime,
        "licence": licence(path),
    }
    return BiEncoder(
        opened.network,
        tokenizer,
        dim,
        folder.max_tokens,
        identity,
        about,
        head,
        folder.similarity,
        folder.query_prompt,
        folder.document_prompt,
    )


def _settings(folder: ModelFolder) -> dict[str, Any]:
    return {
        "pooling": "+".join(folder.poolings),
        "include_prompt": folder.include_prompt,
        "dense": [layer.activation for layer in folder.dense],
        "normalised": folder.normalised,
        "similarity": folder.similarity,
        "prompts": {"query": folder.query_prompt, "document": folder.document_prompt},
        "lowercase": folder.lowercase,
    }


def _dim(network: Network, tokenizer: Any, head: Head) -> int:
    """The vectors' size, from one short text: it also shows now, and not later, that the parts fit together."""
    ids = np.array([tokenizer.encode("a").ids], np.int64)
    try:
        return int(head(network(ids, np.zeros_like(ids)), 0).shape[1])
    except RetrError:
        raise
    except Exception as error:  # torch's and numpy's errors share no base
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"The model folder's parts do not fit together ({reason}). Get the folder again.") from None
