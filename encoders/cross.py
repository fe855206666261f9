"""A query and each text together to one score: a cross-encoder, without torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.graphs.transformer import BUILDER
from retr.encoders.reading.families import Head
from retr.encoders.reading.folder import max_tokens, onnx_file, read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.tokenizing import check_list, read_tokenizer, tokenize
from retr.encoders.running.network import ClassifyingNetwork, Network
from retr.encoders.running.session import Ids, equal_lengths, on_all_cores
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, NotFound


@dataclass(frozen=True, slots=True, eq=False)
class CrossEncoder:
    """Scores are the model's raw logit: higher is better, and comparable between queries.

    sentence-transformers puts a sigmoid, or what the model names as `activation_fn`, on top; that changes no order.
    """

    network: Network
    head: Head | None
    tokenizer: Any
    max_tokens: int
    identity: Mapping[str, Any]
    about: Mapping[str, Any]
    comparable: bool = True

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the scores may: sha256 of what they depend on, as hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text. A pair that is too long loses tokens from the end of its longer half."""
        check_list(texts)
        encodings = tokenize(self.tokenizer, [(query, text) for text in texts])
        if isinstance(self.network, ClassifyingNetwork):
            numbers = [np.array(encoding.ids) for encoding in encodings]
            return self._one_a_pair(self.network.logits(numbers, [np.array(pair.type_ids) for pair in encodings]))

        def work(rows: list[int]) -> Floats:
            ids = np.array([encodings[row].ids for row in rows], np.int64)
            segments = np.array([encodings[row].type_ids for row in rows], np.int64)
            return self._logits(ids, segments)

        runs = equal_lengths([len(encoding.ids) for encoding in encodings], self.network.budget)
        return on_all_cores(runs, work, np.empty(len(encodings), np.float32))

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows: everything that the scores depend on, the name, the runtime."""
        return {**self.about, **self.identity, "fingerprint": self.fingerprint}

    def _logits(self, ids: Ids, segments: Ids) -> Floats:
        states = self.network(ids, segments)
        return self._one_a_pair(states if self.head is None else self.head(states[:, 0]))

    def _one_a_pair(self, logits: Floats) -> Floats:
        if logits.ndim != 2 or logits.shape[1] != 1:
            raise BadInput(
                f"{self.about['source']} gives an output of shape {list(logits.shape)} for {len(logits)} pairs; "
                "a scorer gives one number a pair. Take a model with one label."
            )
        return np.asarray(logits[:, 0], np.float32)


def load(source: str, device: str = "") -> CrossEncoder:
    """The scorer of a folder, or of a hub name `organisation/name`."""
    from retr.encoders.reading import hub

    path = Path(source).expanduser()
    if path.is_dir():
        with reading(path):
            return load_folder(path, device=device)
    if path.exists():
        raise BadInput(f"{source} is a file; give the folder of a cross-encoder.")
    if hub.is_hub_name(source):
        path = hub.fetch(source)
        with reading(path):
            return load_folder(path, name=source, device=device)
    raise NotFound(f"No cross-encoder folder {source!r}. Give a folder, or a hub name such as organisation/name.")


def load_folder(path: Path, name: str = "", device: str = "") -> CrossEncoder:
    """The cross-encoder of a folder: safetensors of BERT's family, an ONNX file, or what torch can load."""
    from retr.encoders.running.opening import open_network

    config = read_json(path / "config.json", missing={} if onnx_file(path) else None)
    settings = read_json(path / "sentence_bert_config.json", missing={})
    most = max_tokens(path, config, settings.get("max_seq_length"))
    tokenizer, tokenizer_hash = read_tokenizer(path, most)
    opened = open_network(path, config, classifier=True, device=device)
    identity = {
        "weights": hashes(path, opened.files),
        "tokenizer": tokenizer_hash,
        "precision": opened.precision,
        "builder": BUILDER,
        "max_tokens": most,
    }
    about = {"name": name or path.resolve().name, "source": str(path), "runtime": opened.runtime}
    scorer = CrossEncoder(opened.network, opened.head, tokenizer, most, identity, about)
    scorer.score("a", ["b"])  # a model that is no scorer is refused here, not in the middle of a search
    return scorer
