"""Pictures as documents: found by words and by pictures, explained by patches, kept like any other document."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.colours import draw, make_colours

import retr
from retr.index.settings import SearchSettings, WriteSettings
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound
from retr.retrieval.pictures import Picture, picture_document

pytest.importorskip("onnx")
pytest.importorskip("PIL")

PICTURES = "width > 0"
"""A text has the tokens of beginning and end in common with another text, and so is ahead of pictures."""
BY_PATCHES = SearchSettings(mode="late", explain=True)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model of each interaction, as an encoder's spec."""
    folder = tmp_path_factory.mktemp("models")
    return {kind: f"filip={make_colours(folder / kind, interaction=kind)}" for kind in ("tokens", "global")}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four pictures, one with two squares."""
    for name, colours in {"red": ["red"], "green": ["green"], "b/both": ["red", "blue"], "white": []}.items():
        draw(tmp_path / "photos" / f"{name}.png", *colours)
    return tmp_path / "photos"


NAMES = ["red.png", "green.png", "b/both.png", "white.png"]


def documents(photos: Path, **captions: str) -> list[retr.Document]:
    return [picture_document(name, root=photos, text=captions.get(Path(name).stem, "")) for name in NAMES]


def made(folder: Path, spec: str, photos: Path, **captions: str) -> Any:
    collection = retr.create(folder, encoder=spec)
    collection.add([*documents(photos, **captions), retr.Document("note", "cold water")])
    return collection


def ids(hits: list[retr.Hit]) -> list[str]:
    return [hit.id for hit in hits]


@pytest.mark.parametrize("kind", ["tokens", "global"])
def test_pictures_are_found_by_words_and_by_pictures(tmp_path: Path, models: Any, photos: Path, kind: str) -> None:
    collection = made(tmp_path / "index", models[kind], photos, both="fish")
    assert ids(collection.search("green", 1, where=PICTURES)) == ["green.png"]
    assert ids(collection.search("blue", 1, where=PICTURES)) == ["b/both.png"]
    assert ids(collection.search("fish", 1, mode="lexical")) == ["b/both.png"]
    assert ids(collection.search("water", 1)) == ["note"]
    alike = draw(tmp_path / "asked.png", "green", size=32)
    for image in (alike, str(alike), alike.read_bytes(), Picture.read(alike)):
        assert ids(collection.search(image=image, k=1)) == ["green.png"]
    assert ids(collection.search("red", where="path like 'b/%' and width = 64")) == ["b/both.png"]
    hit = collection.search("red", 1, where="path = 'red.png'")[0]
    assert hit.metadata["sha256"] == Picture.read(photos / "red.png").sha256 and "images" not in hit.source


def test_an_unchanged_picture_is_not_read_again_and_a_changed_one_is(tmp_path: Path, models: Any, photos: Path) -> None:
    collection = made(tmp_path / "index", models["tokens"], photos)
    assert collection.add(documents(photos)).unchanged == 4
    (photos / "white.png").unlink()
    draw(photos / "white.png", "blue")
    report = collection.add(documents(photos))
    assert (report.updated, report.unchanged, report.encoded) == (1, 3, 1)
    assert set(ids(collection.search("blue", 2, where=PICTURES))) == {"white.png", "b/both.png"}
    later = [retr.Document(one.id, one.text, one.title, {"seen": 1}, one.source) for one in documents(photos)]
    report = collection.add(later)
    assert (report.updated, report.encoded) == (4, 0)
    assert len(collection.ids("seen = 1")) == 4


def test_an_index_needs_no_picture_once_it_was_read(tmp_path: Path, models: Any, photos: Path) -> None:
    collection = made(tmp_path / "index", models["tokens"], photos)
    kept = collection.snapshot("before")
    for path in photos.rglob("*.png"):
        path.unlink()
    assert collection.delete(["red.png"]) == 1
    assert "red.png" not in ids(collection.search("red"))
    assert collection.compact().erased == 1
    opened = retr.open(tmp_path / "index")
    assert ids(opened.search("blue", 1, where=PICTURES)) == ["b/both.png"]
    assert not opened.check(retr.load_encoder).problems
    opened.rollback(kept.name)
    assert "red.png" in ids(opened.search("red"))


def test_a_picture_that_is_gone_or_another_stops_at_the_last_commit(tmp_path: Path, models: Any, photos: Path) -> None:
    collection = retr.create(tmp_path / "index", encoder=models["tokens"])
    first, *others = documents(photos)
    draw(photos / "green.png", "blue")
    each = WriteSettings(commit_passages=1)
    with pytest.raises(Mismatch, match=r"The image of 'green\.png' is not the one that was added"):
        collection.add([first, *others], settings=each)
    (photos / "b" / "both.png").unlink()
    with pytest.raises(NotFound, match=r"The image of 'b/both\.png' is not there"):
        collection.add([others[1]])
    assert retr.open(tmp_path / "index").ids() == ["red.png"]
    assert collection.add(documents_left(photos)).added == 2


def documents_left(photos: Path) -> list[retr.Document]:
    return [picture_document(name, root=photos) for name in ("red.png", "green.png", "white.png")]


def test_a_path_is_kept_as_it_is_below_its_folder(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    for path, root, id in (
        ("b/../red.png", photos, "red.png"),
        (photos / "b" / "both.png", photos, "b/both.png"),
        (photos / "b" / "both.png", None, "both.png"),
        ("b/both.png", None, "b/both.png"),
    ):
        document = picture_document(path, root=root)
        assert (document.id, document.source["image"], document.metadata["path"]) == (id, id, id)


def test_pictures_may_move(tmp_path: Path, models: Any, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = documents(photos)
    photos.rename(tmp_path / "moved")
    monkeypatch.setenv("RETR_IMAGES", str(tmp_path / "moved"))
    assert retr.create(tmp_path / "index", encoder=models["tokens"]).add(given).added == 4


def test_each_word_tells_its_patches_and_their_boxes(tmp_path: Path, models: Any, photos: Path) -> None:
    collection = made(tmp_path / "index", models["tokens"], photos)
    [hit] = collection.search("a Red and blue", 1, where="path like 'b/%'", settings=BY_PATCHES)
    told = hit.explain["late"]
    red, blue = (next(one for one in told["words"] if one["word"] == word) for word in ("Red", "blue"))
    assert (red["span"], blue["span"]) == ([2, 5], [10, 14])
    # The squares are the upper left and right quarters of 64 x 64, of 2 x 2 patches of 16; white is like none.
    assert {tuple(one["box"]) for one in red["patches"] if one["similarity"] > 0.9} == boxes(0, 0)
    assert {tuple(one["box"]) for one in blue["patches"] if one["similarity"] > 0.9} == boxes(32, 0)
    tokens = {one["query"]: one for one in told["tokens"]}
    assert tuple(tokens["blue"]["box"]) in boxes(32, 0) and tokens["blue"]["query_span"] == [10, 14]
    assert sum(one["similarity"] for one in told["tokens"]) == pytest.approx(hit.score, abs=1e-4)
    assert collection.snippet(hit, "red").text == ""


def boxes(left: int, top: int) -> set[tuple[int, int, int, int]]:
    """The four patches of a square."""
    corners = [(left + 16 * (at % 2), top + 16 * (at // 2)) for at in range(4)]
    return {(x, y, x + 16, y + 16) for x, y in corners}


def test_a_picture_that_asks_tells_its_own_patches(tmp_path: Path, models: Any, photos: Path) -> None:
    collection = made(tmp_path / "index", models["tokens"], photos)
    asked = draw(tmp_path / "asked.png", "blue", size=128)
    hits = collection.search(image=asked, settings=SearchSettings(explain=True), where="path = 'b/both.png'")
    tokens = hits[0].explain["late"]["tokens"]
    assert len(tokens) == 16 and tokens[0]["query_box"] == [0, 0, 32, 32] and tuple(tokens[0]["box"]) in boxes(32, 0)
    assert "words" not in hits[0].explain["late"] and hits[0].explain["mode"] == "late"
    note = collection.search(image=asked, settings=SearchSettings(explain=True), where="id = 'note'")[0]
    assert {"query_box", "token", "span"} <= note.explain["late"]["tokens"][0].keys()
    again = collection.search(image=asked, rerank="late", k=2)
    assert ids(again) == ids(collection.search(image=asked, k=2))


def test_what_cannot_be_is_told(tmp_path: Path, models: Any, photos: Path) -> None:
    words = retr.create(tmp_path / "words", encoder=None)
    with pytest.raises(BadInput, match=r"has no text and no encoder here reads its image \(.*red\.png\)"):
        words.add(documents(photos))
    with pytest.raises(BadInput, match="no encoder that reads images"):
        words.search(image=photos / "red.png")
    collection = made(tmp_path / "index", models["tokens"], photos)
    for wrong, match in (
        ({"query": "red", "image": photos / "red.png"}, "either a query or an image"),
        ({"image": photos / "red.png", "mode": "lexical"}, "no question to --mode lexical"),
        ({"image": photos / "red.png", "rerank": object()}, "reranker reads texts"),
        ({"image": b"nothing"}, "is not of the formats"),
        ({"image": 3}, "a path or the bytes"),
        ({}, "query is empty"),
    ):
        with pytest.raises(BadInput, match=match):
            collection.search(**wrong)
    (photos / "cut.png").write_bytes((photos / "red.png").read_bytes()[:100])
    with pytest.raises(Damaged, match="cannot be decoded"):
        picture_document("cut.png", root=photos)
    with pytest.raises(BadInput, match="is not below"):
        picture_document("../index/CURRENT", root=photos)


def test_captions_go_to_an_encoder_that_reads_no_images(tmp_path: Path, models: Any, photos: Path) -> None:
    class Words:
        dim, similarity, fingerprint = 8, "cosine", "words"

        def encode_documents(self, texts: Any) -> Any:
            from retr.retrieval.embeddings import Vectors

            return Vectors(np.eye(8, dtype=np.float32)[[len(text) % 8 for text in texts]])

        encode_queries = encode_documents

    both = retr.create(tmp_path / "both", encoder=Words(), late=models["tokens"])
    with pytest.raises(BadInput, match="has no text"):
        both.add(documents(photos))
    assert both.add(documents(photos, red="a", green="ab", both="abc", white="abcd")).encoded == 4
    assert ids(both.search(image=photos / "green.png", k=1)) == ["green.png"]
    assert ids(both.search("xyz", 1, mode="dense")) == ["b/both.png"]
