"""Image files to the numbers that a vision model reads, as transformers' processors make them, by Pillow and numpy."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retr.encoders.reading.folder import read_json
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged
from retr.retrieval.pictures import LARGEST, Picture, upright
from retr.retrieval.protocols import Box

if TYPE_CHECKING:
    from PIL.Image import Image

FILE = "preprocessor_config.json"
BICUBIC = 3
HALF, WHITE = (0.5, 0.5, 0.5), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Pixels:
    """How an image becomes [3, height, width]: its size, and the mean and deviation of each colour.

    With `crop` the shorter edge is brought to `edge` and the middle is cut out, else the image is brought to the size
    whatever its shape. `resample` is Pillow's number of the filter. What is transparent shows `background`.
    """

    height: int
    width: int
    crop: bool = False
    edge: int = 0
    mean: tuple[float, ...] = HALF
    deviation: tuple[float, ...] = HALF
    resample: int = BICUBIC
    background: tuple[int, ...] = WHITE

    def __post_init__(self) -> None:
        """Refuse what is no size, and anything but three colours."""
        if min(self.height, self.width) < 1 or (self.crop and self.edge < max(self.height, self.width)):
            raise BadInput(
                f"An image of {self.height} x {self.width}, its shorter edge first brought to {self.edge}, cannot be "
                "made. Give sizes of at least 1, and with crop an edge of at least both."
            )
        if {len(self.mean), len(self.deviation), len(self.background)} != {3} or min(self.deviation) <= 0:
            raise BadInput("mean, deviation and background need one number for each of 3 colours, deviation above 0.")
        if self.resample not in range(6):
            raise BadInput(f"resample is {self.resample}; Pillow's filters are 0 to 5, such as 3 for bicubic.")

    @classmethod
    def read(cls, folder: Path, size: int) -> "Pixels":
        """As preprocessor_config.json says; without it, a square of `size` with transformers' usual numbers."""
        told = read_json(folder / FILE, missing={})
        height, width, edge = _sizes(told, size)
        return cls(
            height, width, edge > 0, edge,
            tuple(map(float, told.get("image_mean") or HALF)),
            tuple(map(float, told.get("image_std") or HALF)),
            int(told.get("resample", BICUBIC)),
            tuple(map(int, told.get("retr_background") or WHITE)),
        )  # fmt: skip

    def write(self, folder: Path) -> None:
        """preprocessor_config.json, which transformers reads as well."""
        size = {"shortest_edge": self.edge} if self.crop else {"height": self.height, "width": self.width}
        told = {
            "image_processor_type": "CLIPImageProcessor" if self.crop else "ViTImageProcessor",
            "do_resize": True, "size": size, "resample": self.resample, "do_rescale": True, "rescale_factor": 1 / 255,
            "do_normalize": True, "image_mean": self.mean, "image_std": self.deviation, "do_convert_rgb": True,
            "do_center_crop": self.crop, "crop_size": {"height": self.height, "width": self.width},
            "retr_background": self.background,
        }  # fmt: skip
        (folder / FILE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")

    def of(self, image: "Image") -> Floats:
        """float32 [3, height, width] of one image, upright and over the background."""
        flat = self.shown(image)
        values = np.asarray(flat, np.float32) / 255
        values = (values - np.array(self.mean, np.float32)) / np.array(self.deviation, np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1), np.float32)

    def shown(self, image: "Image") -> "Image":
        """The image as the model sees it, in colours still: of the size, upright, over the background."""
        from PIL import Image as images

        turned = upright(image)
        if turned.mode in ("P", "PA", "LA", "RGBA", "La", "RGBa") or "transparency" in turned.info:
            over = turned.convert("RGBA")
            below = images.new("RGBA", over.size, (*self.background, 255))
            turned = images.alpha_composite(below, over)
        flat = turned.convert("RGB")
        filtering = images.Resampling(self.resample)
        if not self.crop:
            return flat.resize((self.width, self.height), filtering)
        whole = self._whole(*flat.size)
        if whole[0] * whole[1] > LARGEST:  # A strip, which would fill all memory before its middle is cut out.
            return flat.resize((self.width, self.height), filtering, self.seen(*flat.size))
        flat = flat.resize(whole, filtering)
        left, top = (flat.width - self.width) // 2, (flat.height - self.height) // 2
        return flat.crop((left, top, left + self.width, top + self.height))

    def seen(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what the model sees of a picture of that size, in the picture's pixels."""
        if not self.crop:
            return 0.0, 0.0, float(width), float(height)
        across, down = self._whole(width, height)
        left, top = (across - self.width) // 2, (down - self.height) // 2
        right, bottom = left + self.width, top + self.height
        return left * width / across, top * height / down, right * width / across, bottom * height / down

    def _whole(self, width: int, height: int) -> tuple[int, int]:
        """The size that a picture is brought to before its middle is cut out."""
        shorter = min(width, height)
        return int(width * self.edge / shorter), int(height * self.edge / shorter)

    def boxes(self, size: tuple[int, int], grid: tuple[int, int]) -> list[Box]:
        """Where each patch of the grid, row by row, stands in a picture of that width and height."""
        left, top, right, bottom = self.seen(*size)
        downs = np.linspace(top, bottom, grid[0] + 1).round().astype(int).tolist()
        across = np.linspace(left, right, grid[1] + 1).round().astype(int).tolist()
        return [(one[0], other[0], one[1], other[1]) for other in pairwise(downs) for one in pairwise(across)]


def read_images(paths: Sequence[str], root: Path, pixels: Pixels) -> Floats:
    """float32 [images, 3, height, width] of files below `root`; NotFound, BadInput or Damaged for one that is none."""
    found = np.empty((len(paths), 3, pixels.height, pixels.width), np.float32)
    for row, path in enumerate(paths):
        found[row] = pixels.of(open_image(path, root))
    return found


def open_image(path: str, root: Path) -> "Image":
    """One image below a folder, read whole; of an animation its first picture."""
    return Picture.read(path, root).open()


def _sizes(told: Mapping[str, Any], size: int) -> tuple[int, int, int]:
    """Height, width and, where the middle is cut out, the shorter edge before that, else 0."""
    asked, crop = told.get("size", size), told.get("crop_size", size)
    cut = bool(told.get("do_center_crop", False))
    whole = {"height": asked, "width": asked} if isinstance(asked, int) else dict(asked)
    if isinstance(asked, int) and cut:
        whole = {"shortest_edge": asked}
    middle = {"height": crop, "width": crop} if isinstance(crop, int) else dict(crop)
    if "shortest_edge" in whole:
        if not cut:
            raise Damaged("preprocessor_config.json has a shortest_edge and no middle cut out: sizes would differ.")
        return int(middle["height"]), int(middle["width"]), int(whole["shortest_edge"])
    return int(whole["height"]), int(whole["width"]), 0
