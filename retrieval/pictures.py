"""Pictures: image files as bytes, checked before they are believed, and as documents that say where they are."""

import hashlib
import io
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound, missing_package
from retr.retrieval.records import Document, Metadata, check_id

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What is opened; Pillow's readers of other formats are old, seldom used, and so best left alone."""
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
LISTS = ("metadata.jsonl", "metadata.csv")
"""What tells of the images of the folder that it is in, a row each."""
LARGEST = 64_000_000
"""Pixels of one picture: a small file can stand for one that fills all memory."""
LARGEST_BYTES = 64 << 20
ROOT = "images"
"""What a document's source calls the folder that its picture's path is below; hits leave it out."""
_SIDEWAYS = (5, 6, 7, 8)
"""Values of EXIF's orientation by which width and height change places."""
_ORIENTATION = 0x0112
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""Values of EXIF's orientation to Pillow's numbers of what undoes them."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The bytes of an image file; `name` is what messages call it."""

    data: bytes = field(repr=False)
    name: str = "The image"

    @classmethod
    def read(cls, path: str | Path, root: Path | None = None, *, name: str = "") -> "Picture":
        """The file at a path, below `root` where one is given. NotFound, or BadInput for what is no such file."""
        file = Path(path) if root is None else within(str(path), root)
        name = name or f"The image {str(path)!r}"
        try:
            if not file.is_file():
                raise NotFound(f"{name} is not there. Check the path, and the folder that it is taken from.")
            if file.stat().st_size > LARGEST_BYTES:
                raise BadInput(f"{name} is over {LARGEST_BYTES >> 20} MiB, which is the most. Make it smaller.")
            return cls(file.read_bytes(), name)
        except (OSError, ValueError) as error:
            raise BadInput(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}.") from None

    @property
    def sha256(self) -> str:
        """Of the bytes, as hex."""
        return hashlib.sha256(self.data).hexdigest()

    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright, from the head of the file alone. Errors as `open`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = self._headed(LARGEST)
            return (image.height, image.width) if _orientation(image) in _SIDEWAYS else image.size

    def open(self, most: int = LARGEST) -> "Image":
        """The picture decoded, of an animation the first; upright, of 8 bits a colour, without its metadata.

        BadInput for another format or more than `most` pixels, Damaged where it breaks off, NotFound without Pillow.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; its warning of size is checked here.
            image = self._headed(most)
            try:
                image.load()
            except (OSError, ValueError, SyntaxError, EOFError) as error:
                raise self._broken(error) from None
            return upright(image)

    def _headed(self, most: int) -> "Image":
        check_pillow()
        from PIL import Image, UnidentifiedImageError

        try:
            image = Image.open(io.BytesIO(self.data), formats=FORMATS)
        except UnidentifiedImageError:
            raise BadInput(f"{self.name} is not of the formats {', '.join(FORMATS)}. Convert it.") from None
        except Image.DecompressionBombError:
            raise BadInput(f"{self.name} is too large; at most {most:,} pixels are read. Make it smaller.") from None
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise self._broken(error) from None
        if image.width * image.height > most:
            size = f"{image.width} x {image.height}"
            raise BadInput(f"{self.name} is {size} pixels; at most {most:,} are read. Make it smaller.")
        return image

    def _broken(self, error: Exception) -> Damaged:
        return Damaged(f"{self.name} cannot be decoded ({' '.join(str(error).split())[:200]}). Get it again.")


def check_pillow() -> None:
    """NotFound, which says how to install it, where Pillow is missing."""
    if find_spec("PIL") is None:
        raise missing_package("pillow", needed_for="Reading images", extra="images")


def upright(image: "Image") -> "Image":
    """The same turned by EXIF's orientation, of 8 bits a colour, and without metadata: turned again, it stays."""
    turn = _TURNS.get(_orientation(image))
    turned = image.copy() if turn is None else image.transpose(turn)  # type: ignore[arg-type]  # an IntEnum's values
    clear = turned.info.get("transparency")
    turned = _of_bytes(turned, clear) if turned.mode.startswith("I") else turned
    kept = clear is not None and turned.mode == image.mode
    turned.info = {"transparency": clear} if kept else {}
    return turned


def _of_bytes(image: "Image", clear: int | None) -> "Image":
    """A grey picture of 16 bits in 8: Pillow's own conversion cuts all that is above 255, and leaves it white."""
    from PIL import Image as images

    values = np.asarray(image).astype(np.uint16)
    grey = images.fromarray(((np.arange(1 << 16) * 255 + (1 << 15)) // 65535).astype(np.uint8)[values])
    if isinstance(clear, int):
        grey.putalpha(images.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey


def _orientation(image: "Image") -> int:
    """EXIF's, from 1 to 8; 1 where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = image.getexif().get(_ORIENTATION)
    except Exception:  # Pillow raises many kinds on broken EXIF, which says nothing of the picture itself.
        return 1
    return told if isinstance(told, int) else 1


def within(path: str, root: Path) -> Path:
    """The file at a path below `root`, links followed; BadInput for one that leads out of it."""
    if not path or "\0" in path:
        raise BadInput(f"{path!r} is no path of an image. Give one below {root}.")
    try:
        inside = (root / path).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise BadInput(f"The image {path[:200]!r} cannot be read: {error}.") from None
    if not inside:
        raise BadInput(f"The image {path!r} is not below {root}. Name a folder of images above it.")
    return root / path


def picture_facts(path: str, root: Path, *, name: str = "") -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What a document's metadata and its source tell of its picture, which is read and decoded whole to know it.

    Metadata has the size in pixels and bytes, and the sha256; the source also where the picture is.
    """
    picture = Picture.read(path, root, name=name)
    width, height = picture.open().size
    size = {"width": width, "height": height}
    told = {**size, "bytes": len(picture.data), "sha256": picture.sha256}
    return told, {"image": _below(root / path, root), ROOT: str(root.resolve()), **size, "sha256": picture.sha256}


def _below(file: Path, root: Path) -> str:
    """The path of a file, which is `within` the folder, as it is below that; through links where they name both."""
    inner = Path(os.path.relpath(file, root))
    return (file.resolve().relative_to(root.resolve()) if ".." in inner.parts else inner).as_posix()


def picture_document(
    path: str | Path,
    *,
    root: str | Path | None = None,
    id: str = "",
    text: str = "",
    title: str = "",
    metadata: Metadata | None = None,
) -> Document:
    """A document whose picture is the file `path`, taken from the folder `root`; `text` is its caption, if it has one.

    Without `root` the path is taken from the folder that the process runs in, or, a whole one, from the file's own. The
    id is the path below that folder, unless one is given.
    The picture is decoded now, so that a broken one is an error here: NotFound, BadInput or Damaged. Its bytes stay in
    the file: an index holds its vectors, size and sha256, and where it was.
    """
    alone = root is None and Path(path).is_absolute()
    folder = Path(path).parent if alone else Path(root or ".")
    told, source = picture_facts(Path(path).name if alone else str(path), folder, name=f"The image {str(path)!r}")
    inner = source["image"]
    own = {"path": inner, **told, **(metadata or {})}
    return Document(check_id(id or inner), text, title, own, {"path": str(folder / inner), **source})


def has_picture(document: Document) -> bool:
    """Whether a document has a picture: its source tells all that `picture_facts` found."""
    return document.source.keys() >= {"image", ROOT, "width", "height", "sha256"}


def picture_of(document: Document) -> Picture:
    """A document's picture as it was added: NotFound where the file is gone, Mismatch where it is another.

    RETR_IMAGES, where it is set, stands for the folder that the picture was below when it was added.
    """
    root = Path(os.environ.get("RETR_IMAGES") or str(document.source[ROOT]))
    name = f"The image of {document.id!r}"
    picture = Picture.read(str(document.source["image"]), root, name=name)
    if picture.sha256 != document.source.get("sha256"):
        raise Mismatch(f"{name} is not the one that was added: its file has changed. Add it again.")
    return picture


def as_picture(image: "str | Path | bytes | Picture") -> Picture:
    """An image as callers give it: a path, the bytes of a file, or a picture."""
    if isinstance(image, Picture):
        return image
    if isinstance(image, bytes):
        return Picture(image)
    if isinstance(image, str | Path):
        return Picture.read(image)
    raise BadInput(f"An image is given as a path or the bytes of a file; got {type(image).__name__}.")
