"""compact, snapshot, rollback, copy and the options of vectors, in real processes."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
from typer.main import get_command

from retr.cli import make_app
from retr.cli.hits import _explained
from retr.index.collection import Collection
from retr.index.dense.settings import Kind, Storage
from retr.index.disk.lock import WriterLock

RECORDS = [{"id": id, "text": text} for id, text in (("a", "red fish"), ("b", "blue bird"), ("c", "green frog"))]


def environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join(path for path in sys.path if path)
    return {"PYTHONPATH": path, "PATH": os.environ["PATH"], "RETR_CACHE_DIR": str(folder / "cache")}


def retr(folder: Path, *command: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "retr", *command]
    done = subprocess.run(line, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300)
    assert (done.returncode == 0) == ok, done.stderr
    return done


def retr_json(folder: Path, *command: str) -> Any:
    return json.loads(retr(folder, *command, "--json").stdout)


def found(folder: Path, index: str, query: str) -> list[str]:
    return [hit["id"] for hit in retr_json(folder, "search", query, "-i", index, "--mode", "lexical")["hits"]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lexical index of three documents in `ix`; tests work on copies."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "r.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    retr(folder, "index", "r.jsonl", "-i", "ix", "--encoder", "none", "-q")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A copy of `made`."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def generations(folder: Path, index: str = "ix") -> list[int]:
    return [one["generation"] for one in retr_json(folder, "rollback", "--list", "-i", index)["generations"]]


def test_compacting_leaves_nothing_of_the_deleted_in_the_files(here: Path) -> None:
    retr(here, "delete", "a", "-i", "ix")
    texts = [text for path in here.glob("ix/segments/*/*.parquet") for text in pq.read_table(path)["text"].to_pylist()]
    assert "red fish" in texts
    said = retr_json(here, "compact", "-i", "ix")
    assert (said["documents"], said["erased"], said["segments"], said["held"], said["pinned"]) == (2, 1, 1, [], [])
    texts = [text for path in here.glob("ix/segments/*/*.parquet") for text in pq.read_table(path)["text"].to_pylist()]
    assert sorted(texts) == ["blue bird", "green frog"]
    assert generations(here) == [said["generation"]]
    assert found(here, "ix", "red blue") == ["b"]
    assert retr_json(here, "check", "-i", "ix")["sound"]


def test_verifying_searches_every_file_and_says_when_a_snapshot_still_holds_it(here: Path) -> None:
    retr(here, "snapshot", "full", "-i", "ix")
    retr(here, "delete", "a", "-i", "ix")
    done = retr(here, "compact", "--verify", "-i", "ix", ok=False)
    assert "not erased: Generation 2 is still there" in done.stdout and "'full'" in done.stdout
    assert done.stderr.startswith("error: Deleted documents are not proven to be erased.")
    retr(here, "snapshot", "--drop", "full", "-i", "ix")
    proof = retr_json(here, "compact", "--verify", "-i", "ix")["verify"]
    assert (proof["erased"], proof["documents"], proof["found"], proof["blind"]) == (True, 1, [], [])
    assert proof["probes"]["text_hash"] == 1 and proof["bytes_searched"] > 0
    again = retr(here, "compact", "--verify", "-i", "ix").stdout.splitlines()[-1]
    assert again.startswith("verified: ") and again.endswith("; no deleted document was there to look for")


def test_verifying_says_what_it_looked_for(here: Path) -> None:
    retr(here, "delete", "a", "-i", "ix")
    said = retr(here, "compact", "--verify", "-i", "ix").stdout.splitlines()
    assert said[0].startswith("ix: 2 documents, 1 deleted erased, segments 1 -> 1, ")
    assert said[1].startswith("verified: ") and said[1].endswith(" pieces of 1 deleted documents: nothing is left")


def test_compacting_says_which_reader_still_holds_what_was_deleted(here: Path) -> None:
    reader = Collection.open(here / "ix", load=lambda _: pytest.fail("no encoder is needed"))
    held = reader.manifest.generation
    retr(here, "delete", "a", "-i", "ix")
    assert retr_json(here, "compact", "-i", "ix")["held"] == [held]
    assert f"still open in a reader: generation {held};" in retr(here, "compact", "-i", "ix").stdout
    assert reader.search("red", mode="lexical")[0].id == "a"
    del reader
    assert retr_json(here, "compact", "-i", "ix")["held"] == []


@pytest.mark.slow
def test_a_snapshot_outlives_compaction_and_is_gone_back_to(here: Path) -> None:
    assert retr(here, "snapshot", "-i", "ix").stdout == "No snapshots. Make one with: retr snapshot NAME\n"
    assert retr_json(here, "snapshot", "full", "-i", "ix")["documents"] == 3
    retr(here, "delete", "a", "-i", "ix")
    assert "kept by snapshots: full;" in retr(here, "compact", "-i", "ix").stdout
    assert found(here, "ix", "red") == []
    assert retr_json(here, "rollback", "--to", "full", "-i", "ix")["documents"] == 3
    assert found(here, "ix", "red") == ["a"]
    assert retr_json(here, "rollback", "-i", "ix")["documents"] == 2
    assert [pin["name"] for pin in retr_json(here, "snapshot", "-i", "ix")["snapshots"]] == ["full"]
    kept = next(one for one in retr_json(here, "rollback", "--list", "-i", "ix")["generations"] if one["snapshots"])
    assert (kept["snapshots"], kept["documents"], kept["live"]) == (["full"], 3, False)


def test_a_snapshot_that_is_dropped_holds_nothing(here: Path) -> None:
    retr(here, "snapshot", "full", "-i", "ix")
    retr(here, "delete", "a", "-i", "ix")
    assert retr_json(here, "snapshot", "--drop", "full", "-i", "ix") == {"dropped": "full"}
    assert retr_json(here, "compact", "-i", "ix")["pinned"] == []
    assert len(generations(here)) == 1


def test_the_last_change_is_taken_back_and_that_too(here: Path) -> None:
    retr(here, "delete", "a", "b", "-i", "ix")
    said = retr(here, "rollback", "-i", "ix").stdout
    assert said == "ix: 3 documents, now generation 4 (1 in generation 3)\n"
    assert found(here, "ix", "red blue") == ["a", "b"]
    assert retr_json(here, "rollback", "-i", "ix") == {"generation": 5, "documents": 1, "before": 4}


def test_an_index_with_a_damaged_newest_file_goes_back_and_its_past_is_copied(here: Path) -> None:
    retr(here, "snapshot", "good", "-i", "ix")
    (here / "more.jsonl").write_text(json.dumps({"id": "d", "text": "grey mouse"}))
    retr(here, "index", "more.jsonl", "-i", "ix", "-q")
    newest = max((here / "ix" / "segments").iterdir()) / "documents.parquet"
    newest.write_bytes(newest.read_bytes()[:-1])
    assert "documents.parquet" in retr(here, "search", "mouse", "-i", "ix", ok=False).stderr
    retr(here, "copy", "saved", "--of", "good", "-i", "ix")
    assert found(here, "saved", "red") == ["a"]
    retr(here, "rollback", "-i", "ix")
    assert (found(here, "ix", "mouse"), found(here, "ix", "red")) == ([], ["a"])
    assert retr_json(here, "check", "-i", "ix")["sound"]


def test_a_copy_stands_alone(here: Path) -> None:
    said = retr_json(here, "copy", "twin", "-i", "ix")
    assert (said["target"], said["documents"], said["generation"]) == ("twin", 3, 2)
    shutil.rmtree(here / "ix")
    assert retr_json(here, "check", "-i", "twin")["sound"]
    assert found(here, "twin", "green") == ["c"]
    retr(here, "delete", "c", "-i", "twin")


def test_a_name_of_digits_comes_before_the_generation_of_that_number(here: Path) -> None:
    retr(here, "delete", "a", "-i", "ix")
    retr(here, "snapshot", "2", "-i", "ix")
    assert retr_json(here, "copy", "named", "--of", "2", "-i", "ix")["generation"] == 3
    assert retr_json(here, "copy", "numbered", "--of", "3", "-i", "ix")["generation"] == 3
    retr(here, "snapshot", "--drop", "2", "-i", "ix")
    assert retr_json(here, "copy", "older", "--of", "2", "-i", "ix")["generation"] == 2


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="sees by /proc that a process has come to the lock")
@pytest.mark.parametrize(
    "command", [["delete", "a"], ["compact"], ["snapshot", "s"], ["rollback"], ["index", "r.jsonl", "-q"]]
)
def test_a_writer_waits_when_told_to_and_else_names_the_other(here: Path, command: list[str]) -> None:
    line = [sys.executable, "-m", "retr", *command, "-i", "ix"]
    with WriterLock(here / "ix"):
        refused = retr(here, *command, "-i", "ix", ok=False).stderr
        assert f'"pid": {os.getpid()}' in refused
        waiting = subprocess.Popen([*line, "--wait", "60"], cwd=here, env=environment(here), stdout=subprocess.DEVNULL)
        while not _has_open(waiting.pid, here / "ix" / "LOCK"):
            assert waiting.poll() is None
            time.sleep(0.01)
        assert waiting.poll() is None
    assert waiting.wait(timeout=120) == 0


def _has_open(process: int, path: Path) -> bool:
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            if descriptor.readlink() == path.resolve():
                return True
        except FileNotFoundError:
            continue
    return False


@pytest.mark.slow
def test_vectors_are_kept_as_asked_and_compaction_changes_it(made: Path, tmp_path: Path) -> None:
    flags = ["--kind", "hnsw", "--storage", "int8", "--dim", "128", "--recall", "0.9"]
    retr(tmp_path, "index", str(made / "r.jsonl"), "-q", *flags)
    assert retr_json(tmp_path, "index", str(made / "r.jsonl"), "-q", *flags)["unchanged"] == 3
    info = retr_json(tmp_path, "info")
    chosen = {name: info["settings"]["dense"][name] for name in ("kind", "storage", "dim", "recall")}
    assert chosen == {"kind": "hnsw", "storage": "int8", "dim": 128, "recall": 0.9}
    assert {(part["storage"], part["dim"]) for part in info["dense"]} == {("int8", 128)}
    assert retr_json(tmp_path, "search", "a fish that is red", "--mode", "dense")["hits"][0]["id"] == "a"
    done = retr(tmp_path, "compact", "--storage", "float16", "--kind", "flat", "--json")
    assert done.stderr.startswith("warning: The vectors were kept as int8;")
    info = retr_json(tmp_path, "info")
    assert {(part["kind"], part["storage"], part["dim"]) for part in info["dense"]} == {("flat", "float16", 128)}
    assert info["settings"]["dense"]["recall"] == 0.9
    assert retr_json(tmp_path, "search", "a fish that is red", "--mode", "dense", "--exact")["hits"][0]["id"] == "a"
    shown = retr(tmp_path, "search", "red fish", "-k", "1", "--explain").stdout
    assert "part 1: exact scan, 3 of 3 rows (" in shown
    assert "vectors 1" in retr(tmp_path, "info").stdout and "flat, 3 x 128 float16" in retr(tmp_path, "info").stdout


def test_other_vectors_than_the_index_has_are_refused_with_the_way_to_change_them(made: Path, tmp_path: Path) -> None:
    retr(tmp_path, "index", str(made / "r.jsonl"), "-q", "--dim", "64")
    for flag, value, says in (
        ("--kind", "pq", "has --kind auto, not pq. Leave the option out, or change it with: retr compact --kind pq"),
        ("--dim", "32", "has --dim 64, not 32. Leave the option out, or make a new index"),
    ):
        assert says in retr(tmp_path, "index", str(made / "r.jsonl"), flag, value, ok=False).stderr


def test_info_shows_what_can_be_gone_back_to(here: Path) -> None:
    retr(here, "snapshot", "first", "-i", "ix")
    retr(here, "delete", "a", "-i", "ix")
    info = retr_json(here, "info", "-i", "ix")
    assert info["kept_generations"] == [2, 3]
    assert [(pin["name"], pin["generation"]) for pin in info["snapshots"]] == [("first", 2)]
    lines = [" ".join(line.split()) for line in retr(here, "info", "-i", "ix").stdout.splitlines()]
    assert "kept generations 2, 3" in lines
    assert "snapshot first generation 2, 3 documents" in lines


@pytest.mark.parametrize("name", ["index", "compact"])
def test_help_names_every_kind_and_storage(name: str) -> None:
    table: Any = get_command(make_app())
    said = {param.name: param.help for param in table.get_command(None, name).params}
    for option, known in (("kind", Kind), ("storage", Storage)):
        words = set(said[option].replace(",", " ").replace(".", " ").split())
        assert set(get_args(known)) <= words


def test_a_plan_of_the_postings_stands_before_the_words() -> None:
    lexical = {"rank": 1, "score": 2.5, "terms": [{"term": "red", "score": 2.5}], "plan": "all postings"}
    lines = ["lexical: rank 1, score 2.5", "  plan: all postings", "  red: score 2.5"]
    assert _explained({"mode": "lexical", "lexical": lexical}) == lines


def test_the_plan_is_a_line_a_part() -> None:
    plan = {"part": 0, "plan": "pq, 160 candidates scored exactly", "rows": 20000, "allowed": 1200, "why": "cheap"}
    lines = _explained({"mode": "dense", "dense": {"rank": 1, "score": 0.5, "plan": [plan, {**plan, "part": 1}]}})
    assert lines == [
        "dense: rank 1, score 0.5",
        "  part 1: pq, 160 candidates scored exactly, 1,200 of 20,000 rows (cheap)",
        "  part 2: pq, 160 candidates scored exactly, 1,200 of 20,000 rows (cheap)",
    ]
