"""Exporting Poly-Encoders: a network for contexts and one for candidates; the codes stay beside them."""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.exporting.choosing import Trial, choose_kept
from retr.encoders.exporting.comparing import compare_scores
from retr.encoders.exporting.layout import copy_model, copy_settings
from retr.encoders.exporting.making import Maker, open_maker
from retr.encoders.exporting.padded import open_alone, open_padded
from retr.encoders.exporting.settings import NETWORKS, ExportSettings
from retr.encoders.exporting.single import batch_error
from retr.encoders.exporting.subject import Figures, Report, Written
from retr.encoders.exporting.texts import Texts
from retr.encoders.poly import load
from retr.encoders.rankers.opening import PARTS, SIDES, check_table, make_poly
from retr.encoders.rankers.settings import PolySettings, told_settings
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.record import Record
from retr.encoders.reading.safetensors_file import weight_files
from retr.encoders.running.network import Network
from retr.encoders.trained import TrainedScorer
from retr.retrieval.embeddings import Floats

SEPARATOR = "/"
"""Between a side and a unit of its network."""


@dataclass(frozen=True, slots=True, eq=False)
class PolyExport:
    """A trained Poly-Encoder and the texts on which it is compared; see `Exportable`."""

    folder: Path
    table: Mapping[str, Any]
    model: TrainedScorer
    about: Mapping[str, Any]
    texts: Texts
    kind: str = "poly"
    task: str = "text-ranking"
    library: str = "retr"

    @property
    def settings(self) -> PolySettings:
        """What training wrote."""
        return told_settings(PolySettings, self.table, self.folder, "poly")

    @property
    def sides(self) -> tuple[str, ...]:
        """Its encoders' folders."""
        return SIDES[:1] if self.settings.shared else SIDES

    def originals(self) -> list[Path]:
        """The files of the original's weights."""
        return [file for side in self.sides for file in weight_files(self.folder / side)]

    def facts(self) -> dict[str, object]:
        """The number of texts, their source and their hash."""
        return self.texts.facts()

    def write(self, folder: Path, settings: ExportSettings, report: Report) -> Written:
        """The networks, the codes, configurations and tokenizers."""
        for side in self.sides:
            (folder / side / NETWORKS[settings.precision]).parent.mkdir(parents=True)
        makers = {side: open_maker(self.folder / side, False, folder, report) for side in self.sides}
        kept: tuple[str, ...] = ()
        if settings.precision == "int8":
            report("choosing what stays in float")
            kept = choose_kept(self._trial(makers, folder), settings.bounds, report)
        files = []
        for side, maker in makers.items():
            network = folder / side / NETWORKS[settings.precision]
            report(f"writing {side}/{network.name}")
            files += maker.write(network, settings.precision, _of_side(kept, side))
            files += copy_model(self.folder / side, folder / side, weights=settings.weights)
            copy_settings(self.folder / side, folder / side)
        copy_settings(self.folder, folder, {"poly": self.table})
        shutil.copyfile(self.folder / PARTS["poly"], folder / PARTS["poly"])
        built = "torch" if any(maker.built == "torch" for maker in makers.values()) else "retr"
        network_name = f"{SIDES[0]}/{NETWORKS[settings.precision]}"
        return Written(network_name, (*files, folder / PARTS["poly"]), built, kept)  # type: ignore[arg-type]

    def figures(self, folder: Path, record: Record, settings: ExportSettings) -> Figures:
        """The folder as it loads, its files as others run them in padded batches, and these files against torch."""
        exact = self._scores(self.model)
        paths = [folder / side / NETWORKS[record.precision] for side in self.sides]
        together = self._by([self._padded(path) for path in paths])
        alone = self._by([open_alone(path, classifier=False) for path in paths])
        found = {
            "loaded": compare_scores(self._scores(load(str(folder), device="cpu")), exact),
            "file": {**compare_scores(together, exact), "batch_error": batch_error(together, alone, exact)},
        }
        if settings.torch and find_spec("torch") is not None and find_spec("transformers") is not None:
            found["torch"] = compare_scores(together, self._by_torch())
        return found

    def _padded(self, path: Path) -> Network:
        padding = int(read_json(path.parent.parent / "config.json").get("pad_token_id") or 0)
        most = max(self.settings.context_tokens, self.settings.candidate_tokens)
        return open_padded(path, classifier=False, max_tokens=most, padding=padding)

    def _scores(self, scorer: TrainedScorer) -> Floats:
        return np.concatenate([scorer.score(query, texts) for query, texts in self.texts.groups()])

    def _by(self, networks: list[Network]) -> Floats:
        """Scores [pairs] by networks of the sides."""
        ranker, _ = make_poly(self.folder, self.settings, networks[0], networks[-1])
        return np.concatenate([ranker(query, texts) for query, texts in self.texts.groups()])

    def _by_torch(self) -> Floats:
        import torch

        from retr.encoders.trainable.poly import open_poly

        student = open_poly(self.folder)
        student.module.eval()
        queries, groups = zip(*self.texts.groups(), strict=True)
        with torch.inference_mode():
            return torch.cat(student.score(queries, groups)).numpy()

    def _trial(self, makers: Mapping[str, Maker], workspace: Path) -> Trial:
        def outputs(kept: Collection[str], quick: bool) -> list[Floats]:
            fast = [maker.fast(_of_side(kept, side)) for side, maker in makers.items()]
            made = [network for network in fast if network is not None]
            found = [self._by(made)] if len(made) == len(fast) else []
            if found and quick:
                return found
            files = [
                maker.write(workspace / f"{side}.onnx", "int8", _of_side(kept, side)) for side, maker in makers.items()
            ]
            found.append(self._by([open_alone(written[0], classifier=False) for written in files]))
            for file in (file for written in files for file in written):
                file.unlink()
            return found

        units = [f"{side}{SEPARATOR}{unit}" for side, maker in makers.items() for unit in maker.units()]
        return Trial(units, self._scores(self.model), outputs, compare_scores, lambda figures: figures["score_error"])


def _of_side(units: Collection[str], side: str) -> list[str]:
    """The units of one side, by their own names."""
    return [unit.removeprefix(f"{side}{SEPARATOR}") for unit in units if unit.startswith(f"{side}{SEPARATOR}")]


def open_source(folder: Path, name: str, texts: Texts) -> PolyExport:
    """The model of a folder that training wrote."""
    table, model = check_table(folder, "poly"), load(str(folder), device="cpu")
    return PolyExport(folder, table, model, {**model.describe(), **({"name": name} if name else {})}, texts)
