"""Folders to students of images and texts: retr's own, CLIP's or SigLIP's, or a text encoder and a vision model."""

from dataclasses import dataclass
from math import isfinite, log
from pathlib import Path
from typing import Any

import torch

from retr.encoders.images.networks import HEADS, IMAGE, KIND, TEXT
from retr.encoders.reading.folder import read_json
from retr.encoders.trainable.backbone import BackboneSettings
from retr.encoders.trainable.images.student import (
    LARGEST_SCALE,
    Heads,
    ImageTextModule,
    ImageTextStudent,
    Interaction,
)
from retr.encoders.trainable.images.towers import (
    TOGETHER,
    ImageTower,
    TextTower,
    open_image_tower,
    open_text_tower,
    open_together,
)
from retr.encoders.trainable.parts import read_parts
from retr.retrieval.errors import BadInput, Damaged, NotFound, RetrError
from retr.retrieval.settings import settings_from

DIM = 256
"""Numbers of a vector where the folder has no projection (FILIP, section 3.2)."""
TEMPERATURE = 0.07


@dataclass(frozen=True, slots=True)
class FilipSettings:
    """What the model is. `images` is the folder that the rows' paths are taken from.

    `dim` 0 is the folder's own projection, or 256; `temperature` 0 is the folder's own, or 0.07 to begin with, for it
    is learnt: one for both directions, or, with `temperatures` 2, one for each. `image_model` is a vision model's
    folder to stand beside a text encoder; a folder that has its own images' half needs none.
    """

    interaction: Interaction = "tokens"
    dim: int = 0
    images: Path = Path(".")
    image_model: Path | None = None
    temperature: float = 0.0
    temperatures: int = 1

    def __post_init__(self) -> None:
        if self.interaction not in ("tokens", "global"):
            raise BadInput(f"interaction is tokens or global; got {self.interaction!r}.")
        if self.dim < 0:
            raise BadInput(f"dim is {self.dim}; give the numbers of a vector, or 0 for the folder's own.")
        if not (isfinite(self.temperature) and (self.temperature == 0 or self.temperature >= 1 / LARGEST_SCALE)):
            raise BadInput(f"temperature is {self.temperature}; give at least {1 / LARGEST_SCALE}, or 0.")
        if self.temperatures not in (1, 2):
            raise BadInput(f"temperatures is {self.temperatures}; give 1 for both directions, or 2.")

    def log_scale(self) -> torch.Tensor:
        """What the logarithm of the scales begins with."""
        return torch.full((self.temperatures,), log(1 / (self.temperature or TEMPERATURE)))


@dataclass(frozen=True, slots=True)
class FilipTable:
    """What retr.json says of a model's folder; `dim` 0 is a model without projections."""

    kind: str
    interaction: Interaction
    dim: int
    scales: int


def open_filip(
    folder: Path, settings: FilipSettings | None = None, running: BackboneSettings | None = None
) -> ImageTextStudent:
    """The student of a folder. Without settings a folder of retr's own stays as it says.

    CLIP's projections and temperature are taken over; what the folder has not begins at random from the seed.
    """
    running = running or BackboneSettings()
    asked = settings or FilipSettings()
    if asked.images and not asked.images.is_dir():
        raise NotFound(f"images is {str(asked.images)!r}, which is no folder. Name the folder of the rows' images.")
    told = read_json(folder / "retr.json", missing={}).get(KIND)
    if told is not None:
        return _own(folder, told, settings, running)
    if asked.image_model is not None:
        image, text = open_image_tower(asked.image_model, running), open_text_tower(folder, running)
        heads = _new_heads(image, text, asked, running.seed)
    elif read_json(folder / "config.json").get("model_type") in TOGETHER:
        image, text, model = open_together(folder, running)
        heads = _taken_over(model, image, text, asked, running.seed)
    else:
        raise BadInput(
            f"{folder} is a text encoder without an images' half. Name a vision model's folder as image_model in "
            "[student], or give a folder of CLIP, SigLIP or retr's filip as model."
        )
    return _student(image, text, heads, asked.images, asked.interaction)


def _own(folder: Path, told: Any, settings: FilipSettings | None, running: BackboneSettings) -> ImageTextStudent:
    try:
        table = settings_from(FilipTable, told, f"{folder / 'retr.json'}: {KIND}")
    except RetrError as error:
        raise Damaged(f"{error} It is not as retr wrote it: get the folder again.") from None
    asked = settings or FilipSettings(interaction=table.interaction, temperatures=table.scales)
    if asked.dim not in (0, table.dim):
        raise BadInput(f"dim is {asked.dim}, and the projections of {folder} give {table.dim} numbers. Leave dim out.")
    image, text = open_image_tower(folder / IMAGE, running), open_text_tower(folder / TEXT, running)
    heads = Heads((image.dim, text.dim), table.dim, torch.zeros(table.scales))
    read_parts(folder / HEADS, heads)
    with torch.no_grad():
        found = heads.log_scale if not asked.temperature else asked.log_scale()
        heads.log_scale = torch.nn.Parameter(found[: asked.temperatures].expand(asked.temperatures).clone())
    return _student(image, text, heads, asked.images, asked.interaction)


def _new_heads(image: ImageTower, text: TextTower, asked: FilipSettings, seed: int) -> Heads:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Heads((image.dim, text.dim), asked.dim or DIM, asked.log_scale())


def _taken_over(model: Any, image: ImageTower, text: TextTower, asked: FilipSettings, seed: int) -> Heads:
    """CLIP's projections where they are of the size; SigLIP has none, and compares what its heads pool."""
    own = int(model.visual_projection.out_features) if hasattr(model, "visual_projection") else 0
    if own and asked.dim in (0, own):
        heads = Heads((image.dim, text.dim), own, asked.log_scale())
        heads.image.load_state_dict(model.visual_projection.state_dict())
        heads.text.load_state_dict(model.text_projection.state_dict())
    elif asked.interaction == "global" and not own and asked.dim == 0:
        heads = Heads((image.dim, text.dim), 0, asked.log_scale())
    else:
        heads = _new_heads(image, text, asked, seed)
    if not asked.temperature:
        with torch.no_grad():
            heads.log_scale.fill_(float(model.logit_scale.detach()))
    return heads


def _student(
    image: ImageTower, text: TextTower, heads: Heads, images: Path, interaction: Interaction
) -> ImageTextStudent:
    """The parts together; what this interaction does not read gets no gradient, or several processes would wait."""
    module = ImageTextModule(image.model, text.backbone.model, heads.to(text.backbone.device))
    for model in (image.model, text.backbone.model):
        for name in ("pooler", "head"):
            unread = name == "pooler" or interaction == "tokens"
            if isinstance(getattr(model, name, None), torch.nn.Module) and unread:
                getattr(model, name).requires_grad_(False)
    return ImageTextStudent(module, image, text, images, interaction)
