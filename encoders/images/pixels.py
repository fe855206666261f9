"""Image files to the numbers that a vision model reads, as transformers' processors make them, by Pillow and numpy."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retr.encoders.reading.folder import inside, read_json
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged, NotFound, missing_package

if TYPE_CHECKING:
    from PIL.Image import Image

FILE = "preprocessor_config.json"
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What is opened; Pillow's readers of other formats are old, seldom used, and so best left alone."""
LARGEST = 64_000_000
"""Pixels of one image: a small file can stand for a picture that fills all memory."""
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
        from PIL import ImageOps

        turned = ImageOps.exif_transpose(image)
        if turned.mode in ("P", "PA", "LA", "RGBA", "La", "RGBa") or "transparency" in turned.info:
            over = turned.convert("RGBA")
            below = images.new("RGBA", over.size, (*self.background, 255))
            turned = images.alpha_composite(below, over)
        flat = turned.convert("RGB")
        filtering = images.Resampling(self.resample)
        if not self.crop:
            return flat.resize((self.width, self.height), filtering)
        shorter = min(flat.size)
        flat = flat.resize((int(flat.width * self.edge / shorter), int(flat.height * self.edge / shorter)), filtering)
        left, top = (flat.width - self.width) // 2, (flat.height - self.height) // 2
        return flat.crop((left, top, left + self.width, top + self.height))


def read_images(paths: Sequence[str], root: Path, pixels: Pixels) -> Floats:
    """float32 [images, 3, height, width] of files below `root`; NotFound, BadInput or Damaged for one that is none."""
    found = np.empty((len(paths), 3, pixels.height, pixels.width), np.float32)
    for row, path in enumerate(paths):
        found[row] = pixels.of(open_image(path, root))
    return found


def open_image(path: str, root: Path) -> "Image":
    """One image, read whole; of an animation its first picture."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError:
        raise missing_package("pillow", needed_for="Reading images", extra="images") from None
    file = _within(path, root)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; its warning of size is checked below.
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > LARGEST:
                    size = f"{image.width} x {image.height}"
                    raise BadInput(f"{file} is {size} pixels; at most {LARGEST:,} are read. Make it smaller.")
                image.load()
                return image.copy()
    except UnidentifiedImageError:
        raise BadInput(f"{file} is no image of {', '.join(FORMATS)}. Convert it, or leave it out.") from None
    except Image.DecompressionBombError:
        raise BadInput(f"{file} is too large; at most {LARGEST:,} pixels are read. Make it smaller.") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Damaged(f"{file} cannot be read as an image ({reason}). Get it again, or leave it out.") from None


def _within(path: str, root: Path) -> Path:
    if not path or "\0" in path:
        raise BadInput(f"{path!r} is no path of an image. Give one below {root}.")
    try:
        file = inside(root, path)
    except BadInput:
        raise BadInput(f"The image {path!r} is not below {root}. Name a folder of images above it.") from None
    if not file.is_file():
        raise NotFound(f"There is no image {str(file)!r}. Check the path, and the folder that it is taken from.")
    return file


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
