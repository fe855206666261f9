"""Exporting models of images and texts: a network for each, and how near their vectors are to torch's."""

import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.exporting.comparing import compare_vectors
from retr.encoders.exporting.layout import copy_model, copy_settings
from retr.encoders.exporting.settings import NETWORKS, ExportSettings
from retr.encoders.exporting.subject import Figures, Report, Written
from retr.encoders.exporting.texts import Texts
from retr.encoders.images.encoder import ImageTextEncoder, load_folder
from retr.encoders.images.networks import HEADS, IMAGE, KIND, NETWORK, TEXT
from retr.encoders.images.pixels import FILE
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.record import Record
from retr.encoders.reading.safetensors_file import weight_files
from retr.retrieval.embeddings import Embeddings, Floats
from retr.retrieval.errors import BadInput
from retr.retrieval.pictures import Picture

PICTURES = 12
"""Drawn from a seed: of several shapes, some with noise in them."""


@dataclass(frozen=True, slots=True, eq=False)
class FilipExport:
    """A model as torch runs it, and the texts on which it is compared, beside a few pictures; see `Exportable`."""

    folder: Path
    model: ImageTextEncoder
    about: Mapping[str, Any]
    texts: Texts
    kind: str = KIND
    task: str = "zero-shot-image-classification"
    library: str = "retr"

    def originals(self) -> list[Path]:
        """The files of the original's weights."""
        return [*weight_files(self.folder / IMAGE), *weight_files(self.folder / TEXT), self.folder / HEADS]

    def facts(self) -> dict[str, object]:
        """The number of texts, their source and their hash, and the number of pictures."""
        return {**self.texts.facts(), "pictures": PICTURES}

    def write(self, folder: Path, settings: ExportSettings, report: Report) -> Written:
        """Both networks, configurations and the tokenizer. BadInput for another precision than float32."""
        if settings.precision != "float32":
            raise BadInput(f"A model of the kind filip is exported in float32; got {settings.precision}. Leave it out.")
        from retr.encoders.trainable.images.networks import write_networks

        files = []
        for side in (IMAGE, TEXT):
            (folder / side).mkdir()
            files += copy_model(self.folder / side, folder / side, weights=settings.weights)
            copy_settings(self.folder / side, folder / side)
        shutil.copyfile(self.folder / IMAGE / FILE, folder / IMAGE / FILE)
        if settings.weights:
            shutil.copyfile(self.folder / HEADS, folder / HEADS)
            files.append(folder / HEADS)
        copy_settings(self.folder, folder, {KIND: read_json(self.folder / "retr.json")[KIND]})
        report("tracing both networks with torch")
        write_networks(self.folder, folder)
        networks = [folder / side / NETWORK for side in (IMAGE, TEXT)]
        return Written(f"{IMAGE}/{NETWORKS['float32']}", (*networks, *files), "torch")

    def figures(self, folder: Path, record: Record, settings: ExportSettings) -> Figures:
        """The folder as it loads against torch: texts and pictures, and the same one at a time."""
        made, texts, shown = load_folder(folder), list(self.texts.texts), pictures()
        alone = (
            [made.encode_queries([text]).values for text in texts],
            [made.encode_images([one]).values for one in shown],
        )
        return {
            "texts": _compared(made.encode_queries(texts), self.model.encode_queries(texts), alone[0]),
            "images": _compared(made.encode_images(shown), self.model.encode_images(shown), alone[1]),
        }


def pictures() -> list[Picture]:
    """The pictures on which models are compared: always the same."""
    from PIL import Image

    rng, found = np.random.default_rng(0), []
    for number in range(PICTURES):
        height, width = rng.integers(40, 160, 2).tolist()
        slope = np.linspace(0, 255, width)[None, :, None] * rng.random(3) + np.zeros((height, 1, 1))
        noise = rng.integers(0, 256, (height, width, 3)) if number % 2 else 0
        values = np.clip(slope * 0.5 + noise * 0.5, 0, 255).astype(np.uint8)
        data = io.BytesIO()
        Image.fromarray(values).save(data, "PNG")
        found.append(Picture(data.getvalue(), f"The built-in image {number}"))
    return found


def _compared(found: Embeddings, exact: Embeddings, alone: list[Floats]) -> dict[str, float]:
    """Of all vectors, those of tokens and patches too; which other token is nearest says nothing of a model."""
    figures = compare_vectors(found.values, exact.values)
    figures.pop("overlap")
    return {**figures, "batch_error": float(np.abs(np.concatenate(alone) - found.values).max())}


def open_source(folder: Path, name: str, texts: Texts) -> FilipExport:
    """The model of a folder that training wrote, by torch."""
    model = load_folder(folder, by_torch=True)
    return FilipExport(folder, model, {**model.describe(), **({"name": name} if name else {})}, texts)
