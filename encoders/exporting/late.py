"""Exporting late-interaction models: compared by MaxSim scores; the projection stays beside the network."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.exporting.comparing import compare_scores
from retr.encoders.exporting.single import OneNetwork
from retr.encoders.exporting.texts import Texts
from retr.encoders.late.encoder import LateEncoder, load_folder
from retr.encoders.late.folder import read_late
from retr.encoders.late.scorer import LateScorer
from retr.encoders.late.scoring import copy_scoring
from retr.encoders.late.writing import LateModel, Projection, write_late
from retr.encoders.running.network import Network
from retr.retrieval.embeddings import Floats


@dataclass(frozen=True, slots=True, eq=False)
class LateSubject:
    """A late model and its texts; see `Subject`. Outputs are scores [pairs] of a few texts for each query.

    Filling that is not seen changes no other vector and runs by the same weights, so it is left out here.
    """

    model: LateEncoder
    folder: Path
    texts: Texts
    about: Mapping[str, Any]
    kind: str = "late"
    classifier: bool = False
    task: str = "sentence-similarity"

    @property
    def max_tokens(self) -> int:
        """Tokens of the longest text."""
        return self.model.marking.texts.max_tokens

    def facts(self) -> dict[str, object]:
        """The number of texts, their source and their hash."""
        return self.texts.facts()

    def outputs(self, network: Network | None = None, *, whole: bool = False) -> Floats:
        """float32 [pairs]."""
        return self._scores(self.model if network is None else replace(self.model, network=network))

    def served(self, folder: Path) -> Floats:
        """float32 [pairs]."""
        return self._scores(load_folder(folder, device="cpu"))

    def by_torch(self) -> Floats:
        """float32 [pairs] by sentence-transformers."""
        from sentence_transformers import MultiVectorEncoder

        model: Any = MultiVectorEncoder(str(self.folder), device="cpu", local_files_only=True, trust_remote_code=False)
        if self.model.masked is not None:
            model[0].query_expansion, model[0].query_length = None, self.model.marking.texts.longest("query")
        shown = {"show_progress_bar": False}
        found = [
            model.similarity(model.encode_query([query], **shown), model.encode_document(texts, **shown))[0]
            for query, texts in self.texts.groups()
        ]
        return np.concatenate([scores.numpy() for scores in found])

    def compare(self, found: Floats, exact: Floats) -> dict[str, float]:
        """Rank correlation, the largest change, and the best that stay."""
        return compare_scores(found, exact)

    def loss(self, figures: dict[str, float]) -> float:
        """The largest change of a score."""
        return figures["score_error"]

    def write_settings(self, out: Path) -> None:
        """The folder of sentence-transformers' MultiVectorEncoder, whatever the original's layout."""
        told = read_late(self.folder)
        dense = [
            Projection(
                np.ascontiguousarray(layer.linear.weight.T),
                layer.linear.bias if layer.linear.bias.any() else None,
                layer.activation,
            )
            for layer in told.dense
        ]
        model = LateModel(told.texts, dense, told.normalised, told.pooling, told.mean)
        write_late(out, model, self.model.marking.tokenizers["document"])
        copy_scoring(self.folder, out)

    def _scores(self, model: LateEncoder) -> Floats:
        if model.masked is not None:
            marking = model.marking
            plain = replace(marking, texts=replace(marking.texts, expansion=None))
            model = replace(model, masked=None, marking=plain)
        scorer = LateScorer(model, "maxsim")
        return np.concatenate([scorer.score(query, texts) for query, texts in self.texts.groups()])


def open_source(folder: Path, name: str, texts: Texts) -> OneNetwork:
    """The model of a folder in any layout that is read."""
    model = load_folder(folder, device="cpu")
    about = {**model.describe(), **({"name": name} if name else {})}
    return OneNetwork(LateSubject(model, folder, texts, about))
