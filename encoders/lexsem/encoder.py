"""LexSemBridge as an encoder: documents as its bi-encoder has them, queries weighed by their words."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders import bi
from retr.encoders.bi import BiEncoder
from retr.encoders.lexsem.gate import WordGate
from retr.encoders.lexsem.settings import PARTS, LexSemSettings, own_tokens, read_settings
from retr.encoders.reading.families import is_known, read_transformer
from retr.encoders.reading.folder import read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.safetensors_file import floats, read_safetensors, weight_files
from retr.encoders.running.session import equal_lengths, on_all_cores
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.protocols import Similarity


@dataclass(frozen=True, slots=True, eq=False)
class LexSemEncoder:
    """Vectors of documents are those of the folder as a bi-encoder; so are its queries', before they are weighed."""

    bi: BiEncoder
    gate: WordGate
    parts: Mapping[str, str]

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.bi.dim

    @property
    def similarity(self) -> Similarity:
        """The bi-encoder's."""
        return self.bi.similarity

    @property
    def identity(self) -> Mapping[str, Any]:
        """What the vectors depend on."""
        return {**self.bi.identity, "lexsem": {"settings": asdict(self.gate.settings), "weights": self.parts}}

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the vectors may."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    @property
    def max_tokens(self) -> int:
        """Tokens of one text that are read."""
        return self.bi.max_tokens

    @property
    def tokenizer(self) -> Any:
        """The bi-encoder's."""
        return self.bi.tokenizer

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order: the bi-encoder's."""
        return self.bi.encode_documents(texts)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, in order, weighed by the words of the text, which do not depend on other texts."""
        tokens = self.bi.tokenize(texts, "queries")

        def work(rows: list[int]) -> Floats:
            batch = np.stack([tokens.ids[row] for row in rows]).astype(np.int64)
            states = self.bi.network(batch, np.zeros_like(batch))
            return self.gate(self.bi.head(states, tokens.skip), batch, states)

        runs = equal_lengths([len(row) for row in tokens.ids], self.bi.network.budget)
        return Vectors(on_all_cores(runs, work, np.empty((len(tokens.ids), self.dim), np.float32)))

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows."""
        return {**self.bi.about, **self.identity, "fingerprint": self.fingerprint}


def load(source: str) -> LexSemEncoder:
    """The encoder of a folder that training wrote."""
    path = Path(source).expanduser()
    if not path.is_dir():
        raise NotFound(f"No folder {source!r} of a lexsem encoder. Give the folder that training wrote.")
    with reading(path):
        settings = read_settings(path)
        if not (path / PARTS).is_file():
            raise NotFound(f"{path / PARTS} is missing, which retr.json beside it tells of. Get the folder again.")
        encoder = bi.load_folder(path, device="cpu")
        left_out = frozenset(own_tokens(encoder.tokenizer, settings))
        parts = {name: floats(values) for name, values in read_safetensors([path / PARTS]).items()}
        gate = WordGate(settings, parts, left_out, _words(path, settings))
        return LexSemEncoder(encoder, gate, hashes(path, [path / PARTS]))


def _words(path: Path, settings: LexSemSettings) -> Floats | None:
    """The vectors of all words, [words, width], where they are needed."""
    if settings.words != "contextual":
        return None
    config = read_json(path / "config.json")
    if not is_known(config):
        raise BadInput(
            f"{path} is a {config.get('model_type')!r} model; contextual words need BERT's family. Take one."
        )
    return read_transformer(read_safetensors(weight_files(path)), config).words.rows()
