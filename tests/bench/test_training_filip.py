"""The drawn scenes of the FILIP bench: what is held out, where things are, and what is counted as found."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    yield


def test_no_set_of_objects_is_drawn_twice_or_both_trained_on_and_held_out() -> None:
    from training_filip_data import scenes

    train, test = scenes(0, 200, 20)
    assert (len(train), len(test)) == (200, 20)
    contents = [scene.content for scene in [*train, *test]]
    assert len(set(contents)) == 220
    assert all(scene.held_out for scene in test) and not any(scene.held_out for scene in train)
    assert all(len({one.cell for one in scene.objects}) == len(scene.objects) for scene in train)


def test_a_caption_tells_of_each_object_and_its_spans_are_the_shapes() -> None:
    from training_filip_data import Object, Scene

    ring, star = Object("small", "red", "ring", 0), Object("large", "blue", "star", 4)
    scene = Scene.of([ring, star, Object("large", "red", "ring", 8)])
    assert scene.caption == "a small red ring, a large blue star and a large red ring"
    assert [scene.caption[slice(*one.span)] for one in scene.objects] == ["ring", "star", "ring"]
    assert scene.swapped() == "a small blue ring, a large red star and a large red ring"
    assert Scene.of([Object("small", "red", "ring", 0), Object("large", "red", "star", 1)]).swapped() is None


def test_an_object_is_drawn_in_its_cell_alone(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    from training_filip_data import CELL, COLOURS, SHAPES, Object, Scene, draw

    for cell, shape in enumerate(SHAPES):
        draw(Scene.of([Object("large", "blue", shape, cell)]), tmp_path / "a.png", random.Random(cell))
        with image.open(tmp_path / "a.png") as drawn:
            away = np.abs(np.asarray(drawn, float) - COLOURS["blue"]).sum(2)
        rows, columns = np.nonzero(away < 60)
        assert len(rows) > 10
        assert set(rows // CELL) == {cell // 3} and set(columns // CELL) == {cell % 3}


def test_a_word_counts_as_found_where_its_best_patch_is_in_the_cell() -> None:
    torch = pytest.importorskip("torch")
    from training_filip_measures import cells

    class Looking:
        """Patches of a grid of 6 x 6, one for each unit vector; the words "ring" and "star" are two of these."""

        class image:
            grid = (6, 6)

        class text:
            class backbone:
                class tokenizer:
                    @staticmethod
                    def encode(caption: str) -> object:
                        return type("Encoding", (), {"offsets": [(0, 4), (5, 9)]})

        def read_patches(self, images: list[str]) -> object:
            return type("Tokens", (), {"vectors": torch.eye(36)[None].repeat(len(images), 1, 1)})

        def read_words(self, captions: list[str]) -> object:
            found = torch.zeros(len(captions), 2, 36)
            found[:, 0, 2 * 6 + 5] = found[:, 1, 0] = 1.0  # Row 2, column 5 is cell 1 * 3 + 2; patch 0 is cell 0.
            return type("Tokens", (), {"vectors": found})

    objects = [{"shape": "ring", "cell": 5, "span": [0, 4]}, {"shape": "star", "cell": 1, "span": [5, 9]}]
    twice = [objects[0], {**objects[1], "shape": "ring"}]
    lines = [{"image": "", "caption": "", "objects": some} for some in (objects, objects[:1], twice)]
    assert cells(Looking(), ["a", "b", "c"], lines) == [("a", 0.5), ("b", 1.0)]


def test_emoji_lines_are_names_and_keywords() -> None:
    from training_filip_data import _train_lines

    row = {"id": "1f600", "name": "grin", "keywords": "grin|happy|:D|joy"}
    found = list(_train_lines(row, random.Random(0)))
    assert [line["image"] for line in found] == ["noto-1f600.png"] * 3 + ["twemoji-1f600.png"] * 3
    assert found[0]["caption"] == "grin"
    assert sorted(found[1]["caption"].split(", ")) == ["grin", "happy", "joy"]
    assert json.dumps(found)
