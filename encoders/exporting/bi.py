"""Exporting one-vector encoders: their vectors, and the folder that sentence-transformers loads."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.bi import BiEncoder, load_folder
from retr.encoders.exporting.comparing import compare_vectors
from retr.encoders.exporting.layout import copy_settings, write_modules
from retr.encoders.exporting.single import OneNetwork
from retr.encoders.exporting.texts import Texts
from retr.encoders.reading.folder import read_folder, read_json
from retr.encoders.reading.record import RECORD
from retr.encoders.running.network import Network
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True, eq=False)
class BiSubject:
    """A bi-encoder and its texts; see `Subject`."""

    model: BiEncoder
    folder: Path
    texts: Texts
    kind: str = "bi"
    classifier: bool = False
    task: str = "sentence-similarity"

    @property
    def about(self) -> Mapping[str, Any]:
        """What the original tells of itself."""
        return self.model.describe()

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest text."""
        return self.model.max_tokens

    def facts(self) -> dict[str, object]:
        """The number of texts, their source and their hash."""
        return self.texts.facts()

    def outputs(self, network: Network | None = None, *, whole: bool = False) -> Floats:
        """[texts, dim]."""
        model = self.model if network is None else replace(self.model, network=network)
        return model.encode_documents(self.texts.texts).values

    def served(self, folder: Path) -> Floats:
        """[texts, dim]."""
        return load_folder(folder).encode_documents(self.texts.texts).values

    def by_torch(self) -> Floats:
        """[texts, dim], brought to unit length where retr does so."""
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(self.folder), device="cpu", local_files_only=True, trust_remote_code=False)
        prompt, normal = self.model.document_prompt or None, self.model.head.normalised
        found = model.encode(
            list(self.texts.texts), prompt=prompt, normalize_embeddings=normal, show_progress_bar=False
        )
        return np.asarray(found, np.float32)

    def compare(self, found: Floats, exact: Floats) -> dict[str, float]:
        """Cosines, the largest difference, and the neighbours that stay."""
        return compare_vectors(found, exact)

    def loss(self, figures: dict[str, float]) -> float:
        """One less the worst cosine."""
        return 1 - figures["worst_cosine"]

    def write_settings(self, out: Path) -> None:
        """modules.json, pooling, dense layers, prompts; and the dims that it was trained to be cut to."""
        told = read_json(self.folder / RECORD, missing={}).get("bi")
        copy_settings(self.folder, out, {"bi": told} if isinstance(told, dict) else None)
        write_modules(read_folder(self.folder), out)


def open_source(folder: Path, name: str, texts: Texts) -> OneNetwork:
    """The model of a folder, as its original runs here; BadInput for learned pooling, which no other library has."""
    if read_folder(folder).attention is not None:
        raise BadInput(f"{folder} pools by a query that it learned, which other libraries cannot. Use it as it is.")
    return OneNetwork(BiSubject(load_folder(folder, name), folder, texts))
