"""One vector a token: late-interaction models without torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.graphs.transformer import BUILDER
from retr.encoders.late.folder import LateFolder, read_late
from retr.encoders.late.marking import Marking, Span, open_marking
from retr.encoders.late.merging import merged
from retr.encoders.late.opening import open_networks
from retr.encoders.late.scoring import Scorings, ScoringSettings, read_scorings
from retr.encoders.late.settings import Task, TokenPooling
from retr.encoders.late.states import MaskedNetwork, TokenHead, token_vectors
from retr.encoders.reading.card import licence
from retr.encoders.reading.folder import reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.running.network import Network
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import BadInput, Damaged, NotFound, RetrError
from retr.retrieval.protocols import Similarity
from retr.retrieval.rerank import TokenScoring


@dataclass(frozen=True, slots=True, eq=False)
class LateEncoder:
    """Texts to vectors of their tokens. `mean`: a score is divided by the number of the query's vectors."""

    network: Network
    masked: MaskedNetwork | None
    marking: Marking
    head: TokenHead
    dim: int
    identity: Mapping[str, Any]
    about: Mapping[str, Any]
    pooling: TokenPooling | None = None
    mean: bool = False
    scorings: Scorings = field(default_factory=lambda: Scorings(ScoringSettings(), False, None, {}))
    similarity: Similarity = "maxsim"

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the vectors may: sha256 of what they depend on, as hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    @property
    def max_tokens(self) -> int:
        """Tokens of a document that are read, special ones included."""
        return self.marking.texts.longest("document")

    @property
    def tokenizer(self) -> Any:
        """The documents' `tokenizers.Tokenizer`."""
        return self.marking.tokenizers["document"]

    def encode_queries(self, texts: Sequence[str]) -> TokenVectors:
        """The vectors of each text's tokens, in order; those that queries are filled up with are among them."""
        return self._encode(texts, "query")

    def encode_documents(self, texts: Sequence[str]) -> TokenVectors:
        """The vectors of each text's tokens, in order, less those that do not count."""
        return self._encode(texts, "document")

    def spans(self, texts: Sequence[str], task: Task = "document") -> list[list[tuple[str, Span]]]:
        """For each text each vector's token, and where its characters begin and end in the text.

        (0, 0) is a token that stands for no character: special ones, the prompt's, and a query's filling. BadInput
        where vectors are merged, and so stand for several tokens.
        """
        if self._pools(task) is not None:
            raise BadInput("This model merges token vectors, which then have no place of their own in a text.")
        return [self.marking.spans(text, task) for text in texts]

    def scoring(self, name: str) -> TokenScoring:
        """A way to score these vectors: maxsim, ot, or xpool where the model has learned it."""
        return self.scorings.named(name)

    def pooled(self, factor: float) -> "LateEncoder":
        """The same encoder, whose documents have about one vector in `factor`; 1 is all of them."""
        protected = TokenPooling(factor) if self.pooling is None else replace(self.pooling, factor=factor)
        pooling = None if factor == 1 else protected
        told = None if pooling is None else asdict(pooling)
        return replace(self, pooling=pooling, identity={**self.identity, "pooling": told})

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows: everything that the vectors depend on, the name, the runtime."""
        return {**self.about, **self.identity, "fingerprint": self.fingerprint}

    def _encode(self, texts: Sequence[str], task: Task) -> TokenVectors:
        marked = self.marking.mark(texts, task)
        values = token_vectors(self.network, self.masked, marked, self.head, self.dim)
        kept = np.concatenate(marked.kept) if marked.kept else np.empty(0, bool)
        found = _ragged([int(one.sum()) for one in marked.kept], values[kept])
        pooling = self._pools(task)
        if pooling is None:
            return found
        parts = [merged(one, pooling) for one in found]
        together = np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)
        return _ragged([len(part) for part in parts], together)

    def _pools(self, task: Task) -> TokenPooling | None:
        return self.pooling if self.pooling is not None and task in self.pooling.tasks else None


def load(source: str, device: str = "") -> LateEncoder:
    """The encoder of a folder, or of a hub name `organisation/name`; `device` as for one-vector encoders."""
    from retr.encoders.reading import hub

    path = Path(source).expanduser()
    if not path.is_dir() and hub.is_hub_name(source) and not path.exists():
        path = hub.fetch(source)
    if not path.is_dir():
        raise NotFound(f"No folder {source!r} of a late model. Give one of sentence-transformers, PyLate or ColBERT.")
    with reading(path):
        return load_folder(path, device=device)


def load_folder(path: Path, device: str = "") -> LateEncoder:
    """The encoder of a folder; it is tried, so that parts that do not fit are told here."""
    folder = read_late(path)
    marking, tokenizer_hash = open_marking(path, folder.texts)
    networks = open_networks(folder, device)
    head = TokenHead(folder.dense, folder.normalised)
    identity = {
        "weights": hashes(path, list(dict.fromkeys((*networks.opened.files, *folder.head_files)))),
        "tokenizer": tokenizer_hash,
        "precision": networks.opened.precision,
        "builder": BUILDER,
        **_told(folder),
    }
    about = {
        "name": path.resolve().name,
        "source": str(path),
        "licence": licence(path),
        "max_tokens": folder.texts.longest("document"),
        "runtime": networks.opened.runtime,
    }
    dim = _dim(networks.plain, marking, head)
    encoder = LateEncoder(
        networks.plain,
        networks.masked,
        marking,
        head,
        dim,
        {**identity, "dim": dim},
        about,
        folder.pooling,
        folder.mean,
        read_scorings(path, folder.mean),
    )
    if encoder.scorings.pooling is not None and encoder.scorings.pooling.dim != dim:
        raise Damaged(f"{path}: X-Pool's weights are of {encoder.scorings.pooling.dim} numbers, the vectors of {dim}.")
    encoder.encode_queries(["a"])
    return encoder


def _told(folder: LateFolder) -> dict[str, Any]:
    return {
        "texts": asdict(folder.texts),
        "dense": [layer.activation for layer in folder.dense],
        "normalised": folder.normalised,
        "pooling": None if folder.pooling is None else asdict(folder.pooling),
        "mean": folder.mean,
    }


def _dim(network: Network, marking: Marking, head: TokenHead) -> int:
    """The vectors' size, from one short text: it also shows now, and not later, that the parts fit together."""
    ids = np.stack(marking.mark(["a"], "document").ids)
    try:
        return int(head(network(ids, np.zeros_like(ids))[0]).shape[1])
    except RetrError:
        raise
    except Exception as error:  # torch's and numpy's errors share no base
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"The model folder's parts do not fit together ({reason}). Get the folder again.") from None


def _ragged(lengths: Sequence[int], values: Floats) -> TokenVectors:
    return TokenVectors(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
