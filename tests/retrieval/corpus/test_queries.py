"""Questions from files."""

import gzip
import io
import sys
from pathlib import Path

import pytest

from retr.retrieval.corpus import read_queries
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.records import Query


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_jsonl_queries(tmp_path: Path) -> None:
    path = write(
        tmp_path, "q.jsonl", '{"_id": "a", "text": "one"}\n\n{"id": 7, "query": "two "}\n{"question": "three"}'
    )
    assert read_queries(path) == [Query("a", "one"), Query("7", "two"), Query("4", "three")]


def test_tsv_queries_with_and_without_a_header(tmp_path: Path) -> None:
    assert read_queries(write(tmp_path, "q.tsv", 'a\twhat is "x"\n')) == [Query("a", 'what is "x"')]
    assert read_queries(write(tmp_path, "h.tsv", "query_id\ttext\na\tone\n")) == [Query("a", "one")]


def test_plain_lines_are_numbered(tmp_path: Path) -> None:
    assert read_queries(write(tmp_path, "q.txt", "one\n\nthree\n")) == [Query("1", "one"), Query("3", "three")]


def test_packed_queries_and_a_beir_folder(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"_id": "a", "text": "one"}\n')
    assert read_queries(write(tmp_path, "queries.jsonl.gz", packed)) == [Query("a", "one")]
    assert read_queries(tmp_path) == [Query("a", "one")]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\n")))
    assert read_queries("-") == [Query("1", "one")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.jsonl", '{"text": "a"}\n{"text": ""}', r"q\.jsonl:2: empty query text"),
        ("q.jsonl", '{"text": "a"}\n{"text": [1]}', r"q\.jsonl:2: the query is no text"),
        ("q.jsonl", '{"txt": "a"}', r"q\.jsonl:1: no query text \(text, query, question\); the row has txt"),
        ("q.jsonl", "{", r"q\.jsonl:1: broken JSON"),
        ("q.jsonl", '{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}', r"q\.jsonl:2: the query id '1' comes twice"),
        ("q.jsonl", '{"id": "", "text": "a"}', r"q\.jsonl:1: A query id is empty"),
        ("q.jsonl", '{"id": [], "text": "a"}', r"q\.jsonl:1: the query id is neither"),
        ("q.tsv", "a b\n", r"q\.tsv:1: no tab"),
        ("q.txt", b"caf\xe9\n", r"q\.txt:1: byte 4 \(0xe9\) is not UTF-8"),
        ("q.txt", "\n \n", r"q\.txt: no queries"),
        ("q.jsonl.gz", b"no archive", r"q\.jsonl\.gz: cannot be read"),
        ("q.pdf", b"x", "no kind of query file"),
    ],
)
def test_bad_query_files_are_named_by_line(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_queries(write(tmp_path, name, content))


def test_a_folder_without_queries_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"No queries\.jsonl"):
        read_queries(tmp_path)
    with pytest.raises(NotFound, match="No file or folder"):
        read_queries(tmp_path / "none.tsv")
