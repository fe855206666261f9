"""Exporting Uni-Encoders: one network over rows of a context with its candidates; the head stays beside it."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.exporting.choosing import Trial, choose_kept
from retr.encoders.exporting.comparing import compare_scores
from retr.encoders.exporting.layout import copy_model, copy_settings
from retr.encoders.exporting.making import FromWeights
from retr.encoders.exporting.settings import NETWORKS, ExportSettings
from retr.encoders.exporting.single import batch_error
from retr.encoders.exporting.subject import Figures, Report, Written
from retr.encoders.exporting.texts import Texts
from retr.encoders.rankers.layout import Mask, Numbers, Positions, lay_rows
from retr.encoders.rankers.networks import OnnxRows, RowNetwork, open_rows
from retr.encoders.rankers.opening import PARTS, check_table, is_servable, make_uni, read_weights
from retr.encoders.rankers.settings import UniSettings, told_settings
from retr.encoders.rankers.uni import UniRanker
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.record import Record
from retr.encoders.reading.safetensors_file import weight_files
from retr.encoders.running.session import open_session
from retr.encoders.uni import load
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput

PADDING = 7
"""Columns of padding."""


@dataclass(frozen=True, slots=True, eq=False)
class PaddedRows(OnnxRows):
    """Each row padded, and beside it a longer one that is made of its own tokens, backwards."""

    fill: int = 0

    def together(self, rows: Sequence[Numbers], mask: Mask, positions: Positions) -> Floats:
        """States of the first row's candidates."""
        other = [row[::-1] for row in rows]
        if positions == "shared":
            other.append(rows[-1])
        width = sum(map(len, other)) + PADDING
        laid = lay_rows([rows, other], mask, positions, fill=self.fill, width=width)
        states: Floats = self.session.run(["last_hidden_state"], laid.inputs(self.inputs))[0]
        return states[0, len(rows[0]) : sum(map(len, rows))]


@dataclass(frozen=True, slots=True, eq=False)
class UniExport:
    """A trained Uni-Encoder and the texts on which it is compared; see `Exportable`."""

    folder: Path
    table: Mapping[str, Any]
    maker: FromWeights
    about: Mapping[str, Any]
    texts: Texts
    kind: str = "uni"
    task: str = "text-ranking"
    library: str = "retr"

    def originals(self) -> list[Path]:
        """The files of the original's weights."""
        return weight_files(self.folder)

    def facts(self) -> dict[str, object]:
        """The number of texts, their source and their hash."""
        return self.texts.facts()

    def write(self, folder: Path, settings: ExportSettings, report: Report) -> Written:
        """The network, the head, configuration and tokenizer."""
        network = folder / NETWORKS[settings.precision]
        network.parent.mkdir()
        kept: tuple[str, ...] = ()
        if settings.precision == "int8":
            report("choosing what stays in float")
            kept = choose_kept(self._trial(network.parent), settings.bounds, report)
        report(f"writing {network.name}")
        files = self.maker.write(network, settings.precision, kept)
        files += copy_model(self.folder, folder, weights=settings.weights)
        copy_settings(self.folder, folder, {"uni": self.table})
        shutil.copyfile(self.folder / PARTS["uni"], folder / PARTS["uni"])
        return Written(NETWORKS[settings.precision], (*files, folder / PARTS["uni"]), "retr", kept)

    def figures(self, folder: Path, record: Record, settings: ExportSettings) -> Figures:
        """The folder as it loads, its file as others run it in padded rows, and that file against torch."""
        exact, padding = self._scores(self._exact()), int(read_json(folder / "config.json").get("pad_token_id") or 0)
        alone = open_alone(folder / record.network)
        together = self._by(PaddedRows(alone.session, alone.inputs, fill=padding))
        scorer = load(str(folder), device="cpu")
        served = np.concatenate([scorer.score(query, texts) for query, texts in self.texts.groups()])
        found = {
            "loaded": compare_scores(served, exact),
            "file": {**compare_scores(together, exact), "batch_error": batch_error(together, self._by(alone), exact)},
        }
        if settings.torch and find_spec("torch") is not None and find_spec("transformers") is not None:
            found["torch"] = compare_scores(together, self._by_torch())
        return found

    def _exact(self) -> UniRanker:
        return self._ranker(open_rows(self.maker.weights)[0])

    def _ranker(self, network: RowNetwork) -> UniRanker:
        settings = told_settings(UniSettings, self.table, self.folder, "uni")
        return make_uni(self.folder, settings, self.maker.weights, network)[0]

    def _scores(self, ranker: UniRanker) -> Floats:
        return np.concatenate([ranker(query, texts) for query, texts in self.texts.groups()])

    def _by(self, network: RowNetwork) -> Floats:
        """Scores [pairs] by a network."""
        return self._scores(self._ranker(network))

    def _by_torch(self) -> Floats:
        import torch

        from retr.encoders.trainable.uni import open_uni

        student = open_uni(self.folder)
        student.module.eval()
        queries, groups = zip(*self.texts.groups(), strict=True)
        with torch.inference_mode():
            return torch.cat(student.score(queries, groups)).numpy()

    def _trial(self, workspace: Path) -> Trial:
        def outputs(kept: Collection[str], quick: bool) -> list[Floats]:
            found = [self._by(open_rows(self.maker.lowered(kept))[0])]
            if quick:
                return found
            files = self.maker.write(workspace / "candidate.onnx", "int8", kept)
            found.append(self._by(open_alone(files[0])))
            for file in files:
                file.unlink()
            return found

        exact = self._scores(self._exact())
        return Trial(self.maker.units(), exact, outputs, compare_scores, lambda figures: figures["score_error"])


def open_alone(path: Path) -> OnnxRows:
    """The file's network, one row a run and no padding."""
    session = open_session(path)
    return OnnxRows(session, tuple(item.name for item in session.get_inputs()))


def open_source(folder: Path, name: str, texts: Texts) -> UniExport:
    """The model of a folder that training wrote; BadInput where its architecture is not built here."""
    table = check_table(folder, "uni")
    if not is_servable(folder, "uni"):
        kind = read_json(folder / "config.json", missing={}).get("model_type")
        raise BadInput(
            f"{folder} is a Uni-Encoder of the type {kind!r}; those of BERT, RoBERTa, XLM-RoBERTa, CamemBERT and "
            "DistilBERT can be exported. Use the folder as it is: retr runs it by torch."
        )
    maker = FromWeights(read_weights(folder)[0], None, rows=True)
    about = {**load(str(folder), device="cpu").describe(), **({"name": name} if name else {})}
    return UniExport(folder, table, maker, about, texts)
