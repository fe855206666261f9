"""The commands over a store: the same words as over a folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from retr.cli import make_app
from retr.cli.hits import show
from retr.index.settings import SearchSettings
from retr.opening import create
from retr.retrieval.records import Document

RECORDS = [{"id": id, "text": text, "n": n} for n, (id, text) in enumerate((("a", "red fish"), ("b", "blue bird")))]


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(map(json.dumps, RECORDS)))
    return str(path)


def retr(*command: str, ok: bool = True) -> Any:
    done = CliRunner().invoke(make_app(), [*command, "--json"])
    assert (done.exit_code == 0) == ok, done.output
    return json.loads(done.stdout) if ok else done.stderr


def test_a_store_is_made_asked_checked_and_copied(source: str, address: str, tmp_path: Path) -> None:
    store = ("--store", address)
    said = retr("index", source, *store, "--encoder", "none", "-q")
    assert (said["documents"], said["added"], said["generation"]) == (2, 2, 2)
    assert retr("index", source, *store, "-q")["unchanged"] == 2
    found = retr("search", "red", *store, "--where", "n < 5")
    assert ([hit["id"] for hit in found["hits"]], found["generation"]) == (["a"], 2)
    assert retr("check", *store)["sound"] is True
    assert retr("info", *store)["documents"] == 2
    assert retr("copy", str(tmp_path / "folder"), *store, "-q")["documents"] == 2
    assert retr("search", "red", "--index", str(tmp_path / "folder"))["hits"][0]["id"] == "a"
    assert retr("copy", f"{address}b", "--index", str(tmp_path / "folder"), "-q")["documents"] == 2
    assert retr("delete", "a", "--store", f"{address}b")["documents"] == 1
    assert retr("info", *store)["index"] == said["index"]


def test_how_vectors_were_searched_is_shown(address: str, encoder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    made = create(address, encoder=encoder)
    made.add([Document("a", "red fish")])
    show(made, made.search("red", settings=SearchSettings(mode="dense", explain=True)), "red", full=False)
    assert "\n       plan: " in capsys.readouterr().out


def test_what_a_store_cannot_hold_is_told_or_left_out(address: str, tmp_path: Path) -> None:
    rows = [{"id": "n", "text": "ok", "more": "a\0b"}, {"id": "b", "text": "blue bird"}]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = ("index", str(tmp_path / "r.jsonl"), "--store", address, "--encoder", "none", "-q")
    assert "'n' holds a NUL character, which PostgreSQL cannot. Clean it, or" in retr(*command, ok=False)
    retr("index", str(tmp_path / "r.jsonl"), "--index", str(tmp_path / "folder"), "--encoder", "none", "-q")
    for _ in range(2):  # The second time as the first: nothing was left behind.
        copied = retr("copy", f"{address}c", "--index", str(tmp_path / "folder"), "-q", ok=False)
        assert "'n' holds a NUL character" in copied
    said = retr(*command, "--on-error", "skip")
    assert (said["documents"], said["refused"], said["skipped"]) == (1, 1, 1) and "NUL" in said["problems"][0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--store", "folder"), "--store takes an address"),
        (("--store", "postgresql:///x", "--index", "y"), "Give either --index or --store"),
        (("--store", "oracle://h/x"), "No kind of store named 'oracle'"),
    ],
)
def test_what_is_no_store_is_said_in_one_line(options: tuple[str, ...], says: str) -> None:
    said = retr("info", *options, ok=False)
    assert said.startswith("error: ")
    assert says in said
    assert said.count("\n") == 1
