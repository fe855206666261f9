"""Images indexed and searched from the command line: folders, rows, questions in words and by an image."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.colours import draw, make_colours
from typer.testing import CliRunner

import retr as library
from retr.cli import make_app
from retr.retrieval.errors import Mismatch

pytest.importorskip("onnx")
pytest.importorskip("PIL")


def retr(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(make_app(), [*map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def retr_json(*arguments: object) -> Any:
    return json.loads(retr(*arguments, "--json").splitlines()[-1])


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a folder of images with a text among them, and an index of both."""
    folder = tmp_path_factory.mktemp("images")
    make_colours(folder / "model")
    for name, colours in {"red": ["red"], "green": ["green"], "b/both": ["red", "blue"]}.items():
        draw(folder / "photos" / f"{name}.png", *colours)
    (folder / "photos" / "note.txt").write_text("cold water")
    retr("index", folder / "photos", "-i", folder / "index", "--encoder", f"filip={folder / 'model'}", "-q")
    return folder


def test_a_folder_of_images_answers_words(here: Path) -> None:
    assert retr_json("info", "-i", here / "index")["documents"] == 4
    found = retr_json("search", "blue", "-i", here / "index", "--mode", "late", "--where", "suffix = '.png'", "-k", 1)
    hit = found["hits"][0]
    assert (hit["id"], hit["text"], hit["source"]["image"]) == ("b/both.png", "", "b/both.png")
    assert hit["metadata"].keys() == {"path", "suffix", "modified", "bytes", "width", "height", "sha256"}
    assert "images" not in hit["source"]
    shown = retr(
        "search", "red", "and", "blue", "-i", here / "index", "--mode", "late", "--explain", "--where", "width > 0"
    )
    lines = [line.strip() for line in shown.splitlines()]
    assert lines[0].startswith("1. b/both.png") and lines[1] == "b/both.png, 64 x 64 pixels"
    assert "blue: 4 patches, most at 32,0 to 48,16 (1.000)" in lines


def test_an_image_asks(here: Path) -> None:
    asked = draw(here / "asked.png", "green")
    found = retr_json("search", "--image", asked, "-i", here / "index", "-k", 4, "--explain")
    assert (found["query"], found["image"]) == ("", str(asked))
    ids = [hit["id"] for hit in found["hits"]]
    assert ids[0] == "green.png" and set(ids) == {"green.png", "red.png", "b/both.png", "note.txt"}
    assert len(found["hits"][0]["explain"]["late"]["tokens"]) == 16
    assert "green.png" in retr("search", "--image", asked, "-i", here / "index")


def test_the_same_folder_again_encodes_nothing(here: Path) -> None:
    assert retr_json("index", here / "photos", "-i", here / "index", "-q")["unchanged"] == 4


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_rows_name_images_below_their_file(here: Path, tmp_path: Path, kind: str) -> None:
    rows = [{"id": "one", "image": "x/red.png", "caption": "fish", "year": 3}, {"id": "two", "image": "green.png"}]
    draw(tmp_path / "x" / "red.png", "red")
    draw(tmp_path / "green.png", "green")
    write_rows(tmp_path / f"rows.{kind}", rows)
    model, index = f"filip={here / 'model'}", tmp_path / "index"
    assert retr_json("index", tmp_path / f"rows.{kind}", "-i", index, "--encoder", model, "-q")["added"] == 2
    assert retr_json("search", "green", "-i", index)["hits"][0]["id"] == "two"
    hit = retr_json("search", "fish", "-i", index, "--mode", "lexical", "--where", "year = 3")["hits"][0]
    assert (hit["id"], hit["text"], hit["metadata"]["image"], hit["metadata"]["width"]) == (
        "one",
        "fish",
        "x/red.png",
        64,
    )
    write_rows(tmp_path / f"bad.{kind}", [{"image": "../index/CURRENT", "caption": ""}])
    assert "is not below" in retr("index", tmp_path / f"bad.{kind}", "-i", index, code=1)


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
        return
    names = list(rows[0])
    if path.suffix == ".csv":
        lines = [",".join(str(row.get(name, "")) for name in names) for row in rows]
        path.write_text("\n".join([",".join(names), *lines]) + "\n")
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path)


def test_a_list_of_captions_stands_for_its_folder(here: Path, tmp_path: Path) -> None:
    draw(tmp_path / "p" / "red.png", "red")
    draw(tmp_path / "p" / "other.png", "green")
    (tmp_path / "p" / "metadata.jsonl").write_text('{"file_name": "red.png", "text": "a fish"}')
    retr("index", tmp_path / "p", "-i", tmp_path / "index", "--encoder", f"filip={here / 'model'}", "-q")
    hits = retr_json("search", "red", "-i", tmp_path / "index")["hits"]
    assert [(hit["id"], hit["text"]) for hit in hits] == [("metadata.jsonl#1", "a fish")]


def test_a_broken_image_is_one_line_or_left_out(here: Path, tmp_path: Path) -> None:
    whole = draw(tmp_path / "p" / "a.png", "red")
    (tmp_path / "p" / "cut.png").write_bytes(whole.read_bytes()[:100])
    (tmp_path / "p" / "no.png").write_text("no image")
    (tmp_path / "p" / "bomb.png").write_bytes(bomb(whole.read_bytes()))
    model, index = f"filip={here / 'model'}", tmp_path / "index"
    told = retr("index", tmp_path / "p", "-i", index, "--encoder", model, code=1).splitlines()[-1]
    assert told.startswith("error: ") and "bomb.png: the image is too large; at most 64,000,000 pixels" in told
    done = retr_json("index", tmp_path / "p", "-i", index, "--encoder", model, "--on-error", "skip", "-q")
    assert (done["documents"], done["skipped"]) == (1, 3)
    reasons = "\n".join(done["problems"])
    assert "cut.png: the image cannot be decoded" in reasons and "no.png: the image is not of the formats" in reasons


def bomb(data: bytes) -> bytes:
    """A small PNG whose head says that it is 60,000 x 60,000."""
    import zlib

    head = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + data[24:29]
    return data[:12] + head + zlib.crc32(head).to_bytes(4, "big") + data[33:]


def test_an_encoder_of_texts_leaves_images_alone(here: Path, tmp_path: Path) -> None:
    done = retr_json("index", here / "photos", "-i", tmp_path / "index", "--encoder", "none", "-q")
    assert (done["documents"], done["ignored"]) == (1, {".png": 3})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["red", "--image", "a.png"], "not both; got 'red'"),
        (["--image", "a.png", "--queries", "q.txt", "--run", "r"], "not both; got '--queries'"),
        (["--image", "a.png", "--run", "r"], "--queries FILE and --run OUT go together"),
        (["red", "--qrels", "q.tsv"], "--qrels says which of --queries FILE are asked"),
        (["--image", "none.png"], "The image 'none.png' is not there"),
        (["--image", "none.png", "--mode", "lexical"], "is not there"),
    ],
)
def test_a_wrong_question_is_one_line(here: Path, arguments: list[str], told: str) -> None:
    assert told in retr("search", *arguments, "-i", here / "index", code=1)


def test_workers_of_ray_are_given_no_images(here: Path) -> None:
    pytest.importorskip("ray")
    told = retr("index", here / "photos", "-i", here / "index", "--on", "ray", code=1)
    assert "--on ray encodes texts; the encoder of" in told


def test_an_encoder_that_reads_no_images_does_not_stand_in_for_one_that_does(here: Path) -> None:
    class Texts:
        def __init__(self, encoder: Any) -> None:
            self.fingerprint, self.dim, self.encode_queries = encoder.fingerprint, encoder.dim, encoder.encode_queries

    texts = Texts(library.load_encoder(f"filip={here / 'model'}"))
    with pytest.raises(Mismatch, match="reads images, and the encoder given does not"):
        library.open(here / "index", encoder=texts).search("red", mode="late")  # type: ignore[arg-type]


def test_a_path_is_looked_for_where_the_index_lies_or_it_says_where_it_begins(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, elsewhere = tmp_path / "made", tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(here / "model", made / "models" / "ours")
    monkeypatch.chdir(made)
    retr("index", here / "photos", "-i", made / "of" / "photos", "--encoder", "filip=models/ours", "-q")
    monkeypatch.chdir(elsewhere)
    found = retr("search", "red", "-i", made / "of" / "photos")
    assert found == retr("search", "red", "-i", "../made/of/photos")
    (made / "models").rename(made / "others")
    told = retr("search", "red", "-i", made / "of" / "photos", code=1)
    assert "no folder 'models/ours'" in told and "Run it where the index was made" in told


def test_another_encoder_under_the_same_path_is_refused(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(here / "model", tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    retr("index", here / "photos", "-i", tmp_path / "index", "--encoder", "filip=model", "-q")
    shutil.rmtree(tmp_path / "model")
    make_colours(tmp_path / "model", seed=1)
    monkeypatch.chdir(tmp_path / "elsewhere")
    told = retr("search", "red", "-i", tmp_path / "index", code=1)
    assert "was made with filip=model (fingerprint" in told


def test_a_copy_the_wrong_way_round_says_how(here: Path, tmp_path: Path) -> None:
    told = retr("copy", here / "index", "-i", tmp_path / "new", code=1)
    assert f"Copy it with: retr copy NEW --index {here / 'index'}" in told


def test_a_file_name_of_two_lines_is_shown_on_one(here: Path, tmp_path: Path) -> None:
    draw(tmp_path / "p" / "red\n  1. other.png", "red")
    retr("index", tmp_path / "p", "-i", tmp_path / "index", "--encoder", f"filip={here / 'model'}", "-q")
    assert len(retr("search", "red", "-i", tmp_path / "index").splitlines()) == 2
