"""Images with captions for training_filip.py: drawn scenes whose every object's place is known, and emoji.

A scene is a grid of 3 x 3 cells with 3 to 5 objects of a size, a colour and a shape, told of in any order. Which sets
of objects are held out is decided by a hash, and no set is drawn twice, so that no caption of a held-out scene, in any
order, was trained on. Emoji are those of RETR_DATA/emoji in two styles, split by name as that set says.
"""

import csv
import json
import random
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval_sets import data_root

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

CELLS, CELL, FINER = 3, 16, 4
"""Cells a side, pixels of a cell's side, and how much finer a scene is drawn before it is made small."""
COLOURS = {
    "red": (214, 39, 40), "green": (44, 160, 44), "blue": (31, 90, 200), "yellow": (240, 210, 40),
    "orange": (255, 140, 20), "purple": (130, 60, 180), "black": (25, 25, 25), "brown": (130, 80, 40),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "ring", "cross", "diamond", "star")
RADII = {"small": 4.2, "large": 7.2}
TRAIN, TEST = 6000, 512
ONE_IN = 10
"""Of so many sets of objects one is held out."""
STYLES = ("noto", "twemoji")
CAPTIONS = 3
"""Of each emoji and style to train on: its name, and its name with keywords twice."""


@dataclass(frozen=True, slots=True)
class Object:
    """One thing in a scene; `span` is where its shape's word stands in the caption."""

    size: str
    colour: str
    shape: str
    cell: int
    span: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Scene:
    """Objects, and a caption that tells of them in their order."""

    caption: str
    objects: tuple[Object, ...]

    @classmethod
    def of(cls, objects: Sequence[Object]) -> "Scene":
        """With its caption: "a small red circle, a large blue ring and a small green star"."""
        caption, placed = "", []
        for at, one in enumerate(objects):
            caption += "" if at == 0 else " and " if at == len(objects) - 1 else ", "
            caption += f"a {one.size} {one.colour} {one.shape}"
            span = (len(caption) - len(one.shape), len(caption))
            placed.append(Object(one.size, one.colour, one.shape, one.cell, span))
        return cls(caption, tuple(placed))

    @property
    def content(self) -> str:
        """What is in it, whatever the order and the places."""
        return " ".join(sorted(f"{one.size}-{one.colour}-{one.shape}" for one in self.objects))

    @property
    def held_out(self) -> bool:
        """By a hash of what is in it."""
        return int.from_bytes(blake2b(self.content.encode(), digest_size=8).digest(), "big") % ONE_IN == 0

    def swapped(self) -> str | None:
        """The caption with the colours of two objects exchanged that differ in colour and shape; None without such."""
        for first, one in enumerate(self.objects):
            for second, other in enumerate(self.objects[first + 1 :], start=first + 1):
                if one.colour != other.colour and one.shape != other.shape:
                    objects = list(self.objects)
                    objects[first] = Object(one.size, other.colour, one.shape, one.cell)
                    objects[second] = Object(other.size, one.colour, other.shape, other.cell)
                    return Scene.of(objects).caption
        return None


def scenes(seed: int, train: int = TRAIN, test: int = TEST) -> tuple[list[Scene], list[Scene]]:
    """Scenes to train on and held-out ones, no two of the same content."""
    drawn, known = random.Random(seed), set()
    found: tuple[list[Scene], list[Scene]] = ([], [])
    while len(found[0]) < train or len(found[1]) < test:
        cells = drawn.sample(range(CELLS * CELLS), drawn.randint(3, 5))
        chosen = [(drawn.choice(list(RADII)), drawn.choice(list(COLOURS)), drawn.choice(SHAPES)) for _ in cells]
        scene = Scene.of([Object(*what, cell) for what, cell in zip(chosen, cells, strict=True)])
        part, most = (found[1], test) if scene.held_out else (found[0], train)
        if scene.content not in known and len(part) < most:
            known.add(scene.content)
            part.append(scene)
    return found


def draw(scene: Scene, path: Path, drawn: random.Random) -> None:
    """A PNG, each object somewhat off the middle of its cell, on a ground of some light grey."""
    from PIL import Image, ImageDraw

    side = CELLS * CELL * FINER
    ground = drawn.randint(215, 255)
    image = Image.new("RGB", (side, side), (ground, ground, ground))
    pen = ImageDraw.Draw(image)
    for one in scene.objects:
        middle = [(place + 0.5) * CELL * FINER for place in (one.cell % CELLS, one.cell // CELLS)]
        x, y = (value + drawn.uniform(-0.6, 0.6) * FINER for value in middle)
        _draw_object(pen, one, x, y, ground)
    image.resize((CELLS * CELL, CELLS * CELL), Image.Resampling.LANCZOS).save(path)


def _draw_object(pen: "ImageDraw", one: Object, x: float, y: float, ground: int) -> None:
    radius, colour = RADII[one.size] * FINER, COLOURS[one.colour]
    box = (x - radius, y - radius, x + radius, y + radius)
    if one.shape in ("circle", "ring"):
        pen.ellipse(box, fill=colour)
        if one.shape == "ring":
            inner = radius * 0.55
            pen.ellipse((x - inner, y - inner, x + inner, y + inner), fill=(ground, ground, ground))
    elif one.shape == "cross":
        thin = radius * 0.32
        pen.rectangle((x - radius, y - thin, x + radius, y + thin), fill=colour)
        pen.rectangle((x - thin, y - radius, x + thin, y + radius), fill=colour)
    elif one.shape == "square":
        edge = radius * 0.85
        pen.rectangle((x - edge, y - edge, x + edge, y + edge), fill=colour)
    else:
        pen.polygon([(x + radius * right, y + radius * down) for right, down in OUTLINES[one.shape]], fill=colour)


def _star() -> tuple[tuple[float, float], ...]:
    from math import cos, pi, sin

    return tuple(
        (sin(at * pi / 5) * length, -cos(at * pi / 5) * length)
        for at in range(10)
        for length in [1 if at % 2 == 0 else 0.42]
    )


OUTLINES = {
    "triangle": ((0, -1), (0.95, 0.8), (-0.95, 0.8)),
    "diamond": ((0, -1), (0.7, 0), (0, 1), (-0.7, 0)),
    "star": _star(),
}
"""Corners, in radii, rightwards and downwards."""


def prepare_scenes(folder: Path, seed: int = 0) -> dict[str, Any]:
    """Draw all of them, unless they are there; what is known of the set."""
    done = folder / "data.json"
    if not done.exists():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        drawn = random.Random(seed + 1)
        parts = dict(zip(("train", "test"), scenes(seed), strict=True))
        for part, found in parts.items():
            lines = []
            for number, scene in enumerate(found):
                name = f"{part}-{number:05}.png"
                draw(scene, folder / "images" / name, drawn)
                lines.append(
                    {"image": name, "caption": scene.caption, "objects": [asdict(one) for one in scene.objects]}
                )
            _write_lines(folder / f"{part}.jsonl", lines)
        any_object = sum(1 / len(scene.objects) for scene in parts["test"]) / TEST
        done.write_text(json.dumps({"train": TRAIN, "test": TEST, "any_object": any_object}), encoding="utf-8")
    return dict(json.loads(done.read_text(encoding="utf-8")))


def prepare_emoji(folder: Path, seed: int = 0) -> dict[str, Any]:
    """Unpack the images and write the captions, unless they are there; what is known of the set."""
    done = folder / "data.json"
    if not done.exists():
        source = data_root() / "emoji"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for style in STYLES:
            _unpack(source / f"{style}_64px.zip", folder / "images", style)
        with (source / "meta.tsv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        drawn = random.Random(seed)
        train = [line for row in rows if row["split"] == "train" for line in _train_lines(row, drawn)]
        test = [
            {"id": row["id"], "caption": _told(row["name"], _words(row)[:3])} for row in rows if row["split"] == "test"
        ]
        _write_lines(folder / "train.jsonl", train)
        _write_lines(folder / "test.jsonl", test)
        counts = {"train": len(train) // CAPTIONS, "test": len(test), "captions": len(train)}
        done.write_text(json.dumps(counts), encoding="utf-8")
    return dict(json.loads(done.read_text(encoding="utf-8")))


def _train_lines(row: dict[str, str], drawn: random.Random) -> Iterator[dict[str, str]]:
    for style in STYLES:
        for number in range(CAPTIONS):
            words = drawn.sample(_words(row), min(3, len(_words(row)))) if number else []
            yield {"image": f"{style}-{row['id']}.png", "caption": _told(row["name"], words)}


def _words(row: dict[str, str]) -> list[str]:
    """Keywords that begin with a letter, other than the name itself."""
    return [word for word in row["keywords"].split("|") if word != row["name"] and word[:1].isalpha()]


def _told(name: str, words: Sequence[str]) -> str:
    return ", ".join([name, *words])


def _unpack(archive: Path, folder: Path, style: str) -> None:
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            if name.endswith(".png"):
                (folder / f"{style}-{Path(name).name}").write_bytes(file.read(name))


def _write_lines(path: Path, lines: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
