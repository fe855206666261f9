"""A file's hash is remembered while the file is untouched, and never believed once it was touched."""

import hashlib
import os
from pathlib import Path

import pytest

from retr.retrieval import stamps
from retr.retrieval.stamps import Stamps, cache_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RETR_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_bytes(b"one")
    return tmp_path / "cache"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    read: list[Path] = []
    honest = stamps.sha256_of

    def counting(path: Path) -> str:
        read.append(path)
        return honest(path)

    monkeypatch.setattr(stamps, "sha256_of", counting)
    return read


def hashed(folder: Path, **options: bool) -> str:
    known = Stamps(folder)
    digest = known.sha256("a", **options)
    known.save()
    return digest


def test_an_untouched_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = counted(monkeypatch)
    first, second = hashed(tmp_path / "files"), hashed(tmp_path / "files")
    assert first == second == hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1


def test_a_changed_file_is_read_again_even_with_its_old_times(tmp_path: Path) -> None:
    path = tmp_path / "files" / "a"
    hashed(tmp_path / "files")
    stat = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert hashed(tmp_path / "files") == hashlib.sha256(b"two").hexdigest()


def test_again_means_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed(tmp_path / "files")
    read = counted(monkeypatch)
    hashed(tmp_path / "files", again=True)
    assert len(read) == 1


def test_junk_in_the_cache_is_no_error(tmp_path: Path, cache: Path) -> None:
    hashed(tmp_path / "files")
    (one,) = (cache / "stamps").iterdir()
    for junk in (b"\xff\x00", b"[1]", b'{"a": 3}', b'{"a": []}'):
        one.write_bytes(junk)
        assert hashed(tmp_path / "files") == hashlib.sha256(b"one").hexdigest()


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert hashed(tmp_path / "files") == hashlib.sha256(b"one").hexdigest()


def test_names_that_are_gone_are_forgotten(tmp_path: Path, cache: Path) -> None:
    known = Stamps(tmp_path / "files")
    known.sha256("a")
    known.save(keep=set())
    (one,) = (cache / "stamps").iterdir()
    assert one.read_text() == "{}"


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETR_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/retr")
