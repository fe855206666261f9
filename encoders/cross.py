"""A query and each text together to one score: a cross-encoder, without torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.graphs.transformer import BUILDER
from retr.encoders.pairwise import PairwiseEncoder
from retr.encoders.reading.families import Head
from retr.encoders.reading.folder import max_tokens, onnx_file, read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.tokenizing import check_list, read_tokenizer, tokenize
from retr.encoders.reading.triples import PairwiseSettings, Triples, read_head
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
        return self.logits([encoding.ids for encoding in encodings], [encoding.type_ids for encoding in encodings])

    def logits(self, ids: Sequence[Sequence[int]], segments: Sequence[Sequence[int]]) -> Floats:
        """One float32 a row of tokens and their segments, special ones included; rows may differ in length."""
        if isinstance(self.network, ClassifyingNetwork):
            return self._one_a_pair(self.network.logits(*([np.array(row) for row in part] for part in (ids, segments))))

        def work(rows: list[int]) -> Floats:
            here = [np.array([part[row] for row in rows], np.int64) for part in (ids, segments)]
            return self._logits(*here)

        runs = equal_lengths([len(row) for row in ids], self.network.budget)
        return on_all_cores(runs, work, np.empty(len(ids), np.float32))

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


def load(source: str, device: str = "") -> CrossEncoder | PairwiseEncoder:
    """The scorer of a folder, or of a hub name `organisation/name`."""
    from retr.encoders.reading import hub

    path = Path(source).expanduser()
    if path.is_dir():
        with reading(path):
            return _of_either_head(path, "", device)
    if path.exists():
        raise BadInput(f"{source} is a file; give the folder of a cross-encoder.")
    if hub.is_hub_name(source):
        path = hub.fetch(source)
        with reading(path):
            return _of_either_head(path, source, device)
    raise NotFound(f"No cross-encoder folder {source!r}. Give a folder, or a hub name such as organisation/name.")


def load_folder(path: Path, name: str = "", device: str = "", pairwise: PairwiseSettings | None = None) -> CrossEncoder:
    """The cross-encoder of a folder: safetensors of BERT's family, an ONNX file, or what torch can load.

    BadInput for a pairwise head's folder, unless it is told of that: the scores of pairs would mean nothing.
    """
    from retr.encoders.running.opening import open_network

    if pairwise is None and read_head(path).head == "pairwise":
        raise BadInput(f"{path} has a pairwise head, whose model gives no score of one text. Take a pointwise one.")
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
        **({"pairwise": asdict(pairwise)} if pairwise else {}),
    }
    about = {"name": name or path.resolve().name, "source": str(path), "runtime": opened.runtime}
    scorer = CrossEncoder(opened.network, opened.head, tokenizer, most, identity, about)
    scorer.score("a", ["b"])  # a model that is no scorer is refused here, not in the middle of a search
    return scorer


def _of_either_head(path: Path, name: str, device: str) -> CrossEncoder | PairwiseEncoder:
    head = read_head(path)
    if head.head == "pointwise":
        return load_folder(path, name, device)
    model = load_folder(path, name, device, head)
    return PairwiseEncoder(model, Triples.of(model.tokenizer, model.max_tokens), head)
