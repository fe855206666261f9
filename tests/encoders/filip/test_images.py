"""Image files to pixels, folders of images to rows, alignments and their picture: all without torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from retr.encoders.images.alignment import Alignment  # noqa: E402
from retr.encoders.images.pairs import Pair, read_pairs, write_pairs  # noqa: E402
from retr.encoders.images.pixels import Pixels, open_image, read_images  # noqa: E402
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound  # noqa: E402
from retr.retrieval.pictures import Picture  # noqa: E402


def noise(height: int, width: int, colours: int = 3) -> Any:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, colours), dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "size"), [("CLIP", (31, 47)), ("CLIP", (64, 40)), ("ViT", (31, 47)), ("Siglip", (9, 9))]
)
def test_pixels_are_those_of_transformers(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    made = {"size": {"shortest_edge": 24}, "crop_size": {"height": 16, "width": 16}} if name == "CLIP" else {}
    theirs = getattr(transformers, f"{name}ImageProcessorPil")(**(made or {"size": {"height": 16, "width": 16}}))
    theirs.save_pretrained(str(tmp_path))
    expected = theirs(noise(*size), return_tensors="np")["pixel_values"][0]
    own = Pixels.read(tmp_path, 16)
    np.testing.assert_allclose(own.of(noise(*size)), expected, atol=1e-5)
    (tmp_path / "again").mkdir()
    own.write(tmp_path / "again")
    assert Pixels.read(tmp_path / "again", 16) == own


def test_what_is_transparent_shows_the_background() -> None:
    clear = Image.new("RGBA", (4, 4), (200, 10, 10, 0))
    np.testing.assert_allclose(Pixels(4, 4).of(clear), np.ones((3, 4, 4)))
    black = Pixels(4, 4, background=(0, 0, 0)).of(clear.convert("LA"))
    np.testing.assert_allclose(black, -np.ones((3, 4, 4)))


def test_a_photograph_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 4), (0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 4, 4))
    told = image.getexif()
    told[0x0112] = 6
    image.save(tmp_path / "a.png", exif=told)
    found = read_images(["a.png"], tmp_path, Pixels(8, 4))[0]
    assert found[0, 1, 1] == 1.0 and found[0, 6, 1] == -1.0


def test_broken_metadata_leaves_a_picture_as_it_is(tmp_path: Path) -> None:
    noise(4, 8).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + bytes(range(200)))
    found = Picture.read("a.jpg", tmp_path)
    assert found.size() == found.open().size == (8, 4) and not found.open().info
    assert read_images(["a.jpg"], tmp_path, Pixels(4, 4)).shape == (1, 3, 4, 4)


def test_grey_of_16_bits_keeps_its_shades(tmp_path: Path) -> None:
    shades = np.array([[0, 16448, 32896, 65535]], np.uint16)  # of a byte: 0, 64, 128, 255
    Image.fromarray(shades).save(tmp_path / "a.png", transparency=16448)
    found = Picture.read("a.png", tmp_path).open()
    assert np.asarray(found).tolist() == [[[0, 255], [64, 0], [128, 255], [255, 255]]]


def test_of_a_strip_only_the_middle_is_brought_to_size() -> None:
    strip = Image.new("L", (1, 600_000), 0)
    strip.paste(255, (0, 299_990, 1, 300_010))
    found = Pixels(24, 24, crop=True, edge=24).of(strip)  # all of it would be 24 x 14,400,000
    assert found.shape == (3, 24, 24) and (found == 1).all()


def test_grey_pictures_and_those_with_a_palette_are_read(tmp_path: Path) -> None:
    for name, mode in (("l.png", "L"), ("p.gif", "P"), ("one.bmp", "1"), ("c.jpg", "CMYK")):
        noise(6, 6).convert(mode).save(tmp_path / name)
    assert read_images(["l.png", "p.gif", "one.bmp", "c.jpg"], tmp_path, Pixels(4, 4)).shape == (4, 3, 4, 4)


def test_what_is_no_image_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_text("no image")
    noise(40, 40).save(tmp_path / "b.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "b.png").read_bytes()[:900])
    for path, error, told in (
        ("a.png", BadInput, "is not of the formats PNG"),
        ("cut.png", Damaged, "cannot be decoded"),
        ("none.png", NotFound, "is not there"),
        ("../a.png", BadInput, "is not below"),
        (str(tmp_path.parent / "a.png"), BadInput, "is not below"),
        ("", BadInput, "no path of an image"),
    ):
        with pytest.raises(error, match=told) as found:
            open_image(path, tmp_path / "." if path else tmp_path)
        assert "\n" not in str(found.value)
    assert open_image(str(tmp_path / "b.png"), tmp_path).size == (40, 40)
    with pytest.raises(BadInput, match="40 x 40 pixels; at most 1,000 are read"):
        Picture.read("b.png", tmp_path).open(1000)
    monkeypatch.setattr("retr.retrieval.pictures.LARGEST_BYTES", 100)
    with pytest.raises(BadInput, match="which is the most"):
        open_image("b.png", tmp_path)


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    noise(4, 4).save(tmp_path / "secret.png")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(BadInput, match="is not below"):
        open_image("a.png", tmp_path / "photos")


def test_boxes_of_patches_stand_in_the_picture_itself() -> None:
    squashed = Pixels(4, 6).boxes((60, 20), (2, 3))
    assert squashed[:2] == [(0, 0, 20, 10), (20, 0, 40, 10)] and squashed[-1] == (40, 10, 60, 20)
    cut = Pixels(4, 4, crop=True, edge=5).boxes((200, 100), (2, 2))  # brought to 10 x 5, of which 3 to 7 and 0 to 4
    assert cut == [(60, 0, 100, 40), (100, 0, 140, 40), (60, 40, 100, 80), (100, 40, 140, 80)]


@pytest.mark.parametrize("wrong", [{"height": 0}, {"crop": True, "edge": 3}, {"resample": 9}, {"mean": (0.5,)}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Pixels(**{"height": 4, "width": 4, **wrong})


def test_captions_come_from_a_list(tmp_path: Path) -> None:
    rows = [{"file_name": "a.png", "caption": ["one", "two"]}, {"file_name": "b/c.png", "text": "three"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pairs = [Pair("a.png", "one"), Pair("a.png", "two"), Pair("b/c.png", "three")]
    assert list(read_pairs(tmp_path)) == pairs
    assert write_pairs(tmp_path, tmp_path / "rows.jsonl") == 3
    assert json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[2]) == {"image": "b/c.png", "caption": "three"}
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "metadata.csv").write_text('file_name,caption\na.png,"one, two"\n')
    assert list(read_pairs(tmp_path)) == [Pair("a.png", "one, two")]
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.png,\n")
    with pytest.raises(BadInput, match="row 1 lacks"):
        list(read_pairs(tmp_path))


def test_captions_come_from_texts_beside_or_from_folders(tmp_path: Path) -> None:
    (tmp_path / "sea_lion").mkdir()
    noise(2, 2).save(tmp_path / "sea_lion" / "a.png")
    assert list(read_pairs(tmp_path, "a photo of a {}")) == [Pair("sea_lion/a.png", "a photo of a sea lion")]
    noise(2, 2).save(tmp_path / "b.png")
    with pytest.raises(BadInput, match="no metadata"):
        list(read_pairs(tmp_path))
    (tmp_path / "b.txt").write_text("one\n\ntwo\n")
    with pytest.raises(BadInput, match=r"has no caption in a\.txt"):
        list(read_pairs(tmp_path))
    (tmp_path / "sea_lion" / "a.txt").write_text("three\n")
    assert [pair.caption for pair in read_pairs(tmp_path)] == ["one", "two", "three"]
    with pytest.raises(NotFound, match="no folder"):
        list(read_pairs(tmp_path / "none"))


def alignment() -> Alignment:
    likeness = np.array([[0, 0.1, 0.9], [0, 0.8, 0.2], [0.3, 0.1, 0.1], [0, 0.6, 0.7]], np.float32)
    return Alignment("A red fish", ("[CLS]", "red", "fish"), ((0, 0), (2, 5), (6, 10)), (2, 2), likeness)


def test_an_alignment_says_which_patch_is_which_word() -> None:
    found = alignment()
    assert found.token_of_patch.tolist() == [2, 1, 0, 2] and found.patch_of_token.tolist() == [2, 1, 0]
    assert found.tokens_of("Red fish") == [1, 2] and found.tokens_of("fi") == [2]
    assert found.patches_of("fish").tolist() == [[True, False], [False, True]]
    np.testing.assert_allclose(found.heat_of("red fish"), [[0.9, 0.8], [0.1, 0.7]])
    told = found.json()
    assert json.loads(json.dumps(told)) == told and told["likeness"][1] == [0.0, 0.8, 0.2]
    assert np.mean(told["best_of_patch"]) == pytest.approx((0.9 + 0.8 + 0.3 + 0.7) / 4)


def test_words_that_are_not_there_and_other_shapes_are_refused() -> None:
    with pytest.raises(BadInput, match="is not in the caption"):
        alignment().tokens_of("blue")
    with pytest.raises(Mismatch, match="grid 2 x 3"):
        Alignment("a", ("a",), ((0, 1),), (2, 3), np.zeros((4, 1), np.float32))


def test_an_alignment_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from retr.encoders.images.drawing import draw_alignments

    draw_alignments(noise(8, 8), [("one", alignment())], ["red", "fish"], tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.width > drawn.height > 100
    with pytest.raises(BadInput, match="at least one of each"):
        draw_alignments(noise(8, 8), [], ["red"], tmp_path / "a.png")
