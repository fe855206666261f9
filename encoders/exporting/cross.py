"""Exporting cross-encoders: the scores of pairs, and the folder that sentence-transformers loads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.cross import CrossEncoder, load_folder
from retr.encoders.exporting.comparing import compare_scores
from retr.encoders.exporting.single import OneNetwork
from retr.encoders.exporting.texts import Texts
from retr.encoders.reading.folder import read_json
from retr.encoders.running.network import Network
from retr.retrieval.embeddings import Floats

SETTINGS = ("config_sentence_transformers.json", "sentence_bert_config.json")


@dataclass(frozen=True, slots=True, eq=False)
class CrossSubject:
    """A cross-encoder and its pairs; see `Subject`."""

    model: CrossEncoder
    folder: Path
    texts: Texts
    kind: str = "cross"
    classifier: bool = True
    task: str = "text-ranking"

    @property
    def about(self) -> Mapping[str, Any]:
        """What the original tells of itself."""
        return self.model.describe()

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest pair."""
        return self.model.max_tokens

    def facts(self) -> dict[str, object]:
        """The number of texts, their source and their hash."""
        return self.texts.facts()

    def outputs(self, network: Network | None = None, *, whole: bool = False) -> Floats:
        """[pairs]."""
        head = None if whole else self.model.head
        return self._scores(self.model if network is None else replace(self.model, network=network, head=head))

    def served(self, folder: Path) -> Floats:
        """[pairs]."""
        return self._scores(load_folder(folder))

    def by_torch(self) -> Floats:
        """[pairs], raw logits."""
        import torch
        from sentence_transformers import CrossEncoder as Original

        model = Original(str(self.folder), device="cpu", local_files_only=True, trust_remote_code=False)
        pairs = [(query, text) for query, texts in self.texts.groups() for text in texts]
        found = model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        return np.asarray(found, np.float32).reshape(-1)

    def compare(self, found: Floats, exact: Floats) -> dict[str, float]:
        """Rank correlation, the largest changes, and the best that stay."""
        return compare_scores(found, exact)

    def loss(self, figures: dict[str, float]) -> float:
        """The largest change of a score."""
        return figures["score_error"]

    def write_settings(self, out: Path) -> None:
        """The original's settings, and its length."""
        for name in SETTINGS:
            content = read_json(self.folder / name, missing={})
            content = {key: value for key, value in content.items() if key != "__version__"}
            if name.startswith("sentence_bert"):
                content |= {"max_seq_length": self.max_tokens}
            if content:
                (out / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _scores(self, model: CrossEncoder) -> Floats:
        return np.concatenate([model.score(query, texts) for query, texts in self.texts.groups()])


def open_source(folder: Path, name: str, texts: Texts) -> OneNetwork:
    """The model of a folder, as its original runs here."""
    return OneNetwork(CrossSubject(load_folder(folder, name), folder, texts))
