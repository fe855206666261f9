"""A folder of images to rows of training: captions from a list, from text files beside the images, or from folders."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.pictures import ENDINGS, LISTS

CAPTIONS = ("caption", "captions", "text")


@dataclass(frozen=True, slots=True)
class Pair:
    """An image, by its path in the folder, and one caption of it."""

    image: str
    caption: str


def read_pairs(folder: Path, template: str = "{}") -> Iterator[Pair]:
    """The pairs of a folder, in the order of their paths; the first of these that it has decides.

    `metadata.jsonl` or `metadata.csv`: `file_name` and `caption`, `captions` or `text`, one or a list of them. Text
    files: `a/b.txt` beside `a/b.png`, a caption a line. Else the name of the folder that an image is in, `_` for a
    space, put into `template`.
    """
    if not folder.is_dir():
        raise NotFound(f"There is no folder {str(folder)!r}. Give a folder of images.")
    for name in LISTS:
        if (folder / name).is_file():
            yield from _listed(folder / name)
            return
    images = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in ENDINGS and path.is_file()]
    if not images:
        raise BadInput(f"{str(folder)!r} holds no image ({', '.join(ENDINGS)}). Give a folder of images.")
    beside = any(image.with_suffix(".txt").is_file() for image in images)
    for image in images:
        name = image.relative_to(folder).as_posix()
        captions = _beside(image) if beside else [template.format(_folder_name(image, folder))]
        yield from (Pair(name, caption) for caption in captions)


def write_pairs(folder: Path, out: Path, template: str = "{}") -> int:
    """Write the pairs as JSON lines with `image` and `caption`, as a recipe's `files`; how many there are."""
    count = 0
    with out.open("w", encoding="utf-8") as file:
        for pair in read_pairs(folder, template):
            file.write(json.dumps({"image": pair.image, "caption": pair.caption}, ensure_ascii=False) + "\n")
            count += 1
    return count


def _listed(path: Path) -> Iterator[Pair]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = map(json.loads, filter(str.strip, file)) if path.suffix == ".jsonl" else csv.DictReader(file)
        try:
            for number, row in enumerate(rows, start=1):
                yield from _of_row(row, f"{path}, row {number}")
        except (ValueError, csv.Error) as error:
            raise BadInput(f"{path} cannot be read ({' '.join(str(error).split())}). Correct that row.") from None


def _of_row(row: object, where: str) -> Iterator[Pair]:
    name = row.get("file_name") if isinstance(row, dict) else None
    told = next((row[key] for key in CAPTIONS if row.get(key)), None) if isinstance(row, dict) else None
    captions = told if isinstance(told, list) else [told]
    if not isinstance(name, str) or not name or not all(isinstance(one, str) and one.strip() for one in captions):
        raise BadInput(f"{where} lacks a file_name or a caption. Give both as texts; several captions as a list.")
    yield from (Pair(name, str(caption)) for caption in captions)


def _beside(image: Path) -> list[str]:
    text = image.with_suffix(".txt")
    lines = [line.strip() for line in text.read_text("utf-8").splitlines()] if text.is_file() else []
    if not any(lines):
        raise BadInput(f"{image} has no caption in {text.name} beside it, as others have. Write one, or remove it.")
    return [line for line in lines if line]


def _folder_name(image: Path, folder: Path) -> str:
    if image.parent == folder:
        raise BadInput(f"{image} has no caption: no metadata.jsonl, no text file, no folder of a name. Give one.")
    return image.parent.name.replace("_", " ")
