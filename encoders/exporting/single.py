"""Exporting a model of one network: the file, the folder around it, and how near they are to the original."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.exporting.choosing import Trial, choose_kept
from retr.encoders.exporting.layout import copy_model
from retr.encoders.exporting.making import Maker, open_maker
from retr.encoders.exporting.padded import open_alone, open_padded
from retr.encoders.exporting.settings import NETWORKS, ExportSettings
from retr.encoders.exporting.subject import Figures, Report, Subject, Written
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.record import Record
from retr.encoders.reading.safetensors_file import weight_files
from retr.retrieval.embeddings import Floats


@dataclass(frozen=True, slots=True, eq=False)
class OneNetwork:
    """A subject as an `Exportable`; sentence-transformers loads the folder."""

    subject: Subject
    library: str = "sentence-transformers"
    make: Callable[[Path, bool, Path, Report], Maker] = open_maker

    @property
    def kind(self) -> str:
        """The kind that loads it."""
        return self.subject.kind

    @property
    def task(self) -> str:
        """What hubs call such a model."""
        return self.subject.task

    @property
    def about(self) -> Mapping[str, Any]:
        """What the original tells of itself."""
        return self.subject.about

    def originals(self) -> list[Path]:
        """The files of the original's weights."""
        return weight_files(self.subject.folder)

    def facts(self) -> dict[str, object]:
        """The number of texts, their source and their hash."""
        return self.subject.facts()

    def write(self, folder: Path, settings: ExportSettings, report: Report) -> Written:
        """The network, configuration, tokenizer and settings."""
        network = folder / NETWORKS[settings.precision]
        network.parent.mkdir()
        maker = self.make(self.subject.folder, self.subject.classifier, network.parent, report)
        kept: tuple[str, ...] = ()
        if settings.precision == "int8":
            report("choosing what stays in float")
            kept = choose_kept(self._trial(maker, network.parent), settings.bounds, report)
        report(f"writing {network.name}")
        files = maker.write(network, settings.precision, kept)
        files += copy_model(self.subject.folder, folder, weights=settings.weights)
        self.subject.write_settings(folder)
        return Written(NETWORKS[settings.precision], tuple(files), maker.built, kept)

    def figures(self, folder: Path, record: Record, settings: ExportSettings) -> Figures:
        """The folder as it loads, its file as others run it in padded batches, and that file against torch."""
        subject, path = self.subject, folder / record.network
        exact = subject.outputs()
        padding = int(read_json(folder / "config.json").get("pad_token_id") or 0)
        padded = open_padded(path, classifier=subject.classifier, max_tokens=subject.max_tokens, padding=padding)
        together = subject.outputs(padded, whole=True)
        alone = subject.outputs(open_alone(path, classifier=subject.classifier), whole=True)
        found = {
            "loaded": subject.compare(subject.served(folder), exact),
            "file": {**subject.compare(together, exact), "batch_error": batch_error(together, alone, exact)},
        }
        if settings.torch and find_spec("sentence_transformers") is not None:
            found["torch"] = subject.compare(together, subject.by_torch())
        return found

    def _trial(self, maker: Maker, workspace: Path) -> Trial:
        subject = self.subject

        def outputs(kept: Collection[str], quick: bool) -> list[Floats]:
            """Of the network that retr makes of the file, if it does; and, unless that is enough, of the file."""
            fast = maker.fast(kept)
            found = [] if fast is None else [subject.outputs(fast)]
            if found and quick:
                return found
            files = maker.write(workspace / "candidate.onnx", "int8", kept)
            network = open_padded(files[0], classifier=subject.classifier, max_tokens=subject.max_tokens, padding=0)
            found.append(subject.outputs(network, whole=True))
            for file in files:
                file.unlink()
            return found

        return Trial(maker.units(), subject.outputs(), outputs, subject.compare, subject.loss)


def batch_error(together: Floats, alone: Floats, exact: Floats) -> float:
    """The largest change of a number by padding and company, over the largest number where that is above one."""
    return float(np.abs(together - alone).max()) / max(1.0, float(np.abs(exact).max()))
