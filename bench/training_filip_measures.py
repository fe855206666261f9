"""What a model of images and texts finds, and where it looks: per scene and per emoji, for training_filip.py."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from training_filip_data import CELLS, STYLES, Object, Scene, read_lines

DEPTHS = (1, 5)
Values = dict[str, dict[str, float]]


def of_scenes(student: Any, folder: Path) -> Values:
    """R@1 and R@5 both ways among all held-out scenes; `cell`, whether a shape's word is most like a patch in the cell
    of its object; `swap`, whether the caption is more alike than with two colours exchanged.

    `cell` is a scene's mean over the shapes that it holds once, `swap` is of the mean of both likenesses; scenes of
    which neither can be asked are left out there.
    """
    lines = read_lines(folder / "test.jsonl")
    ids = [line["image"].removesuffix(".png") for line in lines]
    images, captions = [line["image"] for line in lines], [line["caption"] for line in lines]
    tables = both_tables(student, images, captions)
    values = recalls(ids, *tables)
    values["cell"] = dict(cells(student, ids, lines))
    own = (tables[0].diagonal() + tables[1].diagonal()) / 2
    values["swap"] = dict(swaps(student, ids, lines, own))
    return values


def of_emoji(student: Any, folder: Path) -> Values:
    """R@1 and R@5 both ways among the held-out emoji of one style, the mean of the styles."""
    lines = read_lines(folder / "test.jsonl")
    ids, captions = [line["id"] for line in lines], [line["caption"] for line in lines]
    found = []
    for style in STYLES:
        found.append(recalls(ids, *both_tables(student, [f"{style}-{id}.png" for id in ids], captions)))
    return {metric: {id: float(np.mean([values[metric][id] for values in found])) for id in ids} for metric in found[0]}


def both_tables(student: Any, images: Sequence[str], captions: Sequence[str]) -> tuple[Any, Any]:
    """Image to text and text to image, each float64 [images, texts]."""
    import torch

    from retr.encoders.trainable.images.both_ways import both_ways

    with torch.no_grad():
        found = both_ways(student.read_images(images), student.read_texts(captions))
    return tuple(table.double().numpy() for table in found)  # type: ignore[return-value]  # There are two.


def recalls(ids: Sequence[str], to_text: Any, to_image: Any) -> Values:
    """1 or 0 a query, by the places of the right answers among all."""
    from retr.retrieval.evaluation.image_text import image_places, text_places

    owner = np.arange(len(ids))
    places = {"i2t": text_places(to_text, owner), "t2i": image_places(to_image, owner)}
    return {
        f"{way}@{k}": {id: float(place <= k) for id, place in zip(ids, found, strict=True)}
        for way, found in places.items()
        for k in DEPTHS
    }


def cells(student: Any, ids: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, float]]:
    """For each scene with such shapes the share of them whose word's best patch is in the right cell."""
    patches = student.read_patches([line["image"] for line in lines]).vectors.numpy()
    words = student.read_words([line["caption"] for line in lines]).vectors.numpy()
    rows, columns = student.image.grid
    found = []
    for row, (id, line) in enumerate(zip(ids, lines, strict=True)):
        spans = [tuple(span) for span in student.text.backbone.tokenizer.encode(line["caption"]).offsets]
        shapes = [one["shape"] for one in line["objects"]]
        hits = []
        for one in (one for one in line["objects"] if shapes.count(one["shape"]) == 1):
            best = int((patches[row] @ words[row, spans.index(tuple(one["span"]))]).argmax())
            cell = (best // columns) * CELLS // rows * CELLS + (best % columns) * CELLS // columns
            hits.append(float(cell == one["cell"]))
        if hits:
            found.append((id, float(np.mean(hits))))
    return found


def swaps(
    student: Any, ids: Sequence[str], lines: Sequence[Mapping[str, Any]], own: Sequence[float]
) -> Iterator[tuple[str, float]]:
    """For each scene that has another caption with two colours exchanged, whether its own is more alike; a tie is half.

    `own` is the likeness of each scene to its caption, the mean of both ways.
    """
    scenes = [Scene(line["caption"], tuple(Object(**one) for one in line["objects"])) for line in lines]
    wrong = {row: caption for row, scene in enumerate(scenes) if (caption := scene.swapped()) is not None}
    tables = both_tables(student, [lines[row]["image"] for row in wrong], list(wrong.values()))
    for row, one, other in zip(wrong, tables[0].diagonal(), tables[1].diagonal(), strict=True):
        found = (one + other) / 2
        yield ids[row], float(own[row] > found) + 0.5 * float(own[row] == found)
