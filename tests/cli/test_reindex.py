"""`retr reindex` in real processes: what it says, and which encoder answers afterwards."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import MakeModel

RECORDS = [{"id": word, "title": word, "text": f"the {word} {word}"} for word in ("red", "blue", "green", "warm")]


def retr(folder: Path, *command: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RETR_CACHE_DIR": str(folder / "cache")}
    line = [sys.executable, "-m", "retr", *command]
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == ok, done.stderr
    return done


def retr_json(folder: Path, *command: str) -> Any:
    return json.loads(retr(folder, *command, "--json").stdout)


@pytest.fixture
def here(tmp_path: Path, make_static: MakeModel) -> Path:
    """A folder with an index in `ix` that was made with one static encoder, and another one in `new`."""
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    for name, seed in (("old", 0), ("new", 1)):
        make_static("model2vec", seed=seed).rename(tmp_path / name)
    retr(tmp_path, "index", "r.jsonl", "-i", "ix", "--encoder", "static=old", "-q")
    return tmp_path


def encoder_of(folder: Path) -> str:
    spec: str = retr_json(folder, "info", "-i", "ix")["encoder"]["spec"]
    return spec


def test_one_command_encodes_compares_switches_and_says_how_to_go_back(here: Path) -> None:
    said = retr(here, "reindex", "--encoder", "static=new", "-i", "ix", "-k", "2").stdout
    assert "4 documents, 4 passages encoded" in said
    assert "overlap@2: " in said
    assert "retr rollback --to before-reindex-2" in said
    assert encoder_of(here) == "static=new"
    retr(here, "search", "red", "-i", "ix")
    retr(here, "rollback", "--to", "before-reindex-2", "-i", "ix")
    assert encoder_of(here) == "static=old"
    retr(here, "search", "red", "-i", "ix")


def test_a_shadow_waits_until_it_is_swapped_or_dropped(here: Path) -> None:
    (here / "q.txt").write_text("red\nblue\n")
    filled = retr_json(here, "reindex", "--encoder", "static=new", "-i", "ix", "--shadow", "--queries", "q.txt")
    assert (filled["encoded_passages"], filled["swapped"]) == (4, None)
    assert (filled["overlap"]["source"], filled["overlap"]["queries"]) == ("given", 2)
    assert encoder_of(here) == "static=old"
    retr(here, "reindex", "--drop", "-i", "ix")
    assert "has no shadow" in retr(here, "reindex", "--swap", "-i", "ix", ok=False).stderr
    retr(here, "reindex", "--encoder", "static=new", "-i", "ix", "--shadow", "-q")
    swapped = retr_json(here, "reindex", "--swap", "-i", "ix")
    assert (swapped["encoded_passages"], swapped["unchanged"]) == (0, 4)
    assert encoder_of(here) == "static=new"
