"""An index of images, served: asked by words and by a picture, and its pictures handed out as they were indexed."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from tests.colours import draw, make_colours

import retr
from retr.cli.serving.keys import read_keys
from retr.retrieval.pictures import picture_document

pytest.importorskip("onnx")
Image = pytest.importorskip("PIL.Image")

NAMES = ("red.png", "b/both.png", "side.jpg")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, three photographs of which one is on its side, and an index for each interaction."""
    folder = tmp_path_factory.mktemp("served")
    draw(folder / "photos" / "red.png", "red")
    draw(folder / "photos" / "b" / "both.png", "red", "blue")
    aside = Image.new("RGB", (600, 300), (0, 255, 0))
    told = aside.getexif()
    told[0x0112], told[0x010E] = 6, "taken at home"
    aside.save(folder / "photos" / "side.jpg", exif=told)
    documents = [picture_document(name, root=folder / "photos") for name in NAMES]
    for kind in ("tokens", "global"):
        made = retr.create(folder / kind, encoder=f"filip={make_colours(folder / f'm-{kind}', interaction=kind)}")
        made.add([*documents, retr.Document("note", "cold water")])
    return folder


@pytest.fixture
def client(make_client: Any, photos: Path) -> Any:
    return make_client(index=photos / "tokens")


def as_base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@pytest.mark.parametrize("kind", ["tokens", "global"])
def test_words_and_pictures_ask(make_client: Any, photos: Path, tmp_path: Path, kind: str) -> None:
    client = make_client(index=photos / kind)
    assert client.get("/v1/index").json()["images"]
    wanted = {"mode": {"tokens": "late", "global": "dense"}[kind], "where": "width > 0", "explain": True}
    hit = client.post("/v1/search", json={"query": "blue", **wanted}).json()["hits"][0]
    assert hit["id"] == "b/both.png" and hit["source"]["image"] == "b/both.png" and "images" not in hit["source"]
    assert str(photos) not in str({**hit, "source": {**hit["source"], "path": ""}})
    asked = {"image": as_base64(draw(tmp_path / "asked.png", "green", "green", "green", "green")), "k": 1}
    told = client.post("/v1/search", json=asked).json()
    assert (told["query"], told["hits"][0]["id"]) == ("", "side.jpg")
    if kind == "tokens":
        assert {"word", "span", "patches"} == hit["explain"]["late"]["words"][0].keys()
        assert client.post("/v1/search", json={**asked, "rerank": True}).status_code == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "give the query, or in its place an image"),
        ({"query": "a", "image": "AAAA"}, "one of the two"),
        ({"image": ""}, "image"),
        ({"image": "§"}, "is not base64"),
        ({"image": "AAAA"}, "not of the formats"),
        ({"image": base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 40).decode()}, "image"),
        ({"image": 3}, "image"),
    ],
)
def test_what_is_no_question_is_the_callers_error(client: Any, body: dict[str, Any], told: str) -> None:
    answer = client.post("/v1/search", json=body)
    assert answer.status_code == 400 and told in answer.json()["error"]["message"].replace("The image", "image")


def test_a_picture_that_asks_has_its_limit(client: Any, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retr.cli.serving.pictures.MOST_PIXELS", 1000)
    asked = {"image": as_base64(photos / "photos" / "red.png")}
    assert "at most 1,000 are read" in client.post("/v1/search", json=asked).json()["error"]["message"]
    whole = (photos / "photos" / "red.png").read_bytes()
    cut = client.post("/v1/search", json={"image": base64.b64encode(whole[:90]).decode()})
    assert cut.status_code == 400


def test_an_index_of_texts_is_asked_by_no_picture(make_client: Any, index: Path, photos: Path) -> None:
    client = make_client(index=index)
    answer = client.post("/v1/search", json={"image": as_base64(photos / "photos" / "red.png")})
    assert answer.status_code == 400 and "no encoder that reads images" in answer.json()["error"]["message"]
    assert client.get("/v1/image", params={"id": "fish"}).status_code == 404


def test_a_picture_is_sent_small_upright_and_bare(client: Any) -> None:
    answer = client.get("/v1/image", params={"id": "side.jpg", "edge": 300})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert "sandbox" in answer.headers["content-security-policy"] and "private" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as made:
        assert made.size == (150, 300) and not made.getexif()
    assert b"taken at home" not in answer.content
    small = client.get("/v1/image", params={"id": "b/both.png"})
    with Image.open(io.BytesIO(small.content)) as made:
        assert (made.format, made.size, made.getpixel((40, 5))) == ("PNG", (64, 64), (0, 0, 255))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"id": "note"}, 404),
        ({"id": "none.png"}, 404),
        ({"id": "../tokens/CURRENT"}, 404),
        ({"id": "red.png", "edge": 15}, 400),
        ({"id": "red.png", "edge": 4096}, 400),
        ({"id": ""}, 400),
        ({}, 400),
    ],
)
def test_nothing_but_pictures_of_documents_is_sent(client: Any, asked: dict[str, Any], status: int) -> None:
    assert client.get("/v1/image", params=asked).status_code == status


def test_a_file_that_changed_or_leads_out_is_not_sent(make_client: Any, tmp_path: Path, photos: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        draw(tmp_path / "p" / name, "red")
    index = retr.create(tmp_path / "index", encoder=f"filip={photos / 'm-tokens'}")
    index.add([picture_document(name, root=tmp_path / "p") for name in ("a.png", "b.png", "c.png")])
    client = make_client(index=tmp_path / "index")
    assert client.get("/v1/image", params={"id": "a.png"}).status_code == 200
    (tmp_path / "p" / "a.png").rename(tmp_path / "a.png")
    (tmp_path / "p" / "a.png").symlink_to(tmp_path / "a.png")  # the same bytes, outside
    draw(tmp_path / "p" / "b.png", "blue")
    (tmp_path / "p" / "c.png").unlink()
    for name in ("a.png", "b.png", "c.png"):
        answer = client.get("/v1/image", params={"id": name})
        assert answer.status_code == 404 and str(tmp_path) not in answer.text


def test_pictures_need_the_scope_of_reading(make_client: Any, photos: Path) -> None:
    keys = read_keys(None, environment={"RETR_SERVE_KEYS": "read:read-key-0123456789"})
    client = make_client(keys, index=photos / "tokens")
    assert client.get("/v1/image", params={"id": "red.png"}).status_code == 401
    headers = {"Authorization": "Bearer read-key-0123456789"}
    assert client.get("/v1/image", params={"id": "red.png"}, headers=headers).status_code == 200
