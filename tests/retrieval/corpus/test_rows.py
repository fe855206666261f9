"""Rows to documents: JSONL, JSON, CSV, TSV, Parquet, and what is wrong with a row."""

import bz2
import datetime
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from retr.retrieval.corpus import ReadReport, ReadSettings, read_documents
from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document


def read(path: Path, **settings: Any) -> list[Document]:
    return list(read_documents([path], ReadSettings(**settings)))


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_jsonl_row_becomes_a_document(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"_id": "x", "title": "T", "text": "body", "year": 2020, "tags": ["a"]}\n')
    assert read(path) == [Document("x", "body", "T", {"year": 2020, "tags": ["a"]}, {"path": str(path), "line": 1})]


def test_beirs_nested_metadata_is_merged_up(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"_id": "x", "text": "b", "year": 1, "metadata": {"year": 2, "url": "u"}}')
    assert read(path)[0].metadata == {"year": 1, "url": "u"}


@pytest.mark.parametrize("name", ["body", "content", "contents", "passage", "abstract", "Text", "TEXT"])
def test_well_known_text_fields_are_found(tmp_path: Path, name: str) -> None:
    assert read(write(tmp_path, "a.jsonl", json.dumps({"id": 7, name: "t"})))[0] == Document(
        "7", "t", source={"path": str(tmp_path / "a.jsonl"), "line": 1}
    )


def test_several_text_fields_are_joined_and_the_title_is_not_given_twice(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"id": "x", "title": "T", "abstract": "A", "note": null}')
    document = read(path, text_field="title, abstract, note")[0]
    assert (document.text, document.title) == ("T\nA", "")
    assert read(path, text_field="title,abstract", title_field="title")[0].title == "T"


def test_only_the_metadata_asked_for_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"id": "x", "text": "t", "a": 1, "b": 2, "metadata": {"c": 3}}')
    assert read(path, metadata_fields=("c", "a", "none"))[0].metadata == {"c": 3, "a": 1}
    assert read(path, metadata_fields=())[0].metadata == {}


def test_a_row_without_an_id_is_named_by_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "one"}\n\n{"text": "two"}\n')
    assert [document.id for document in read(path)] == ["a.jsonl#1", "a.jsonl#3"]


def test_a_number_as_text_or_id_is_taken_as_written(tmp_path: Path) -> None:
    document = read(write(tmp_path, "a.jsonl", '{"id": 12, "text": 3.5}'))[0]
    assert (document.id, document.text) == ("12", "3.5")


def test_a_row_with_a_title_alone_has_it_as_its_text(tmp_path: Path) -> None:
    document = read(write(tmp_path, "a.jsonl", '{"id": "x", "title": "Only this", "text": ""}'))[0]
    assert (document.text, document.title) == ("Only this", "")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"id": "x", "text": ', "broken JSON: Expecting value at column 20"),
        ('{"id": "x", "text": "a"} x', "broken JSON: Extra data at column 26"),
        ("[1]", "not a JSON object but a list"),
        ("null", "not a JSON object but null"),
        ('{"id": "", "text": "a"}', "empty id in field 'id'"),
        ('{"id": null, "text": "a"}', "empty id in field 'id'"),
        ('{"id": [1], "text": "a"}', "the id in field 'id' is neither text nor a whole number but a list"),
        (
            '{"id": "x", "txt": "a"}',
            "no text field (text, body, content, contents, passage, abstract); the row has id, txt",
        ),
        ('{"id": "x", "text": null}', "empty text"),
        ('{"id": "x", "text": " \\n "}', "empty text"),
        ('{"id": "x", "text": ["a"]}', "field 'text' is not a text but a list"),
        ('{"id": "x", "text": true}', "field 'text' is not a text but true or false"),
        ('{"id": "x", "text": "a\\u0000b"}', "NUL characters"),
        ('{"id": "x", "text": "a\\ud800"}', "a lone surrogate"),
        ('{"id": "x", "text": "a", "k": "\\udfff"}', "a lone surrogate"),
        ('{"id": "' + "x" * 513 + '", "text": "a"}', "513 bytes; at most 512"),
        ("[" * 100_000, "broken JSON"),
        ('{"id": "x", "text": "a", "n": ' + "9" * 5000 + "}", "broken JSON"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line_and_only_it_is_skipped(tmp_path: Path, row: str, reason: str) -> None:
    path = write(tmp_path, "a.jsonl", f'{{"id": "1", "text": "good"}}\n{row}\n{{"id": "3", "text": "good"}}\n')
    with pytest.raises(BadInput) as raised:
        read(path)
    message = str(raised.value)
    assert message.startswith(f"{path}:2: ") and reason in message and message.endswith("--on-error skip.")
    assert "\n" not in message

    report = ReadReport()
    documents = list(read_documents([path], ReadSettings(on_error="skip"), report))
    assert [document.id for document in documents] == ["1", "3"]
    assert (report.documents, report.skipped, len(report.problems)) == (2, 1, 1)
    assert str(report.problems[0]) == message.split(". Put the input right")[0].rstrip(".")


def test_a_named_field_that_is_missing_is_an_error_with_the_near_one(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"id": "x", "body": "a"}')
    with pytest.raises(BadInput, match=r"no text field 'bodi' \(did you mean 'body'\?\); the row has id, body"):
        read(path, text_field="bodi")
    with pytest.raises(BadInput, match="no id field 'key'"):
        read(path, id_field="key")
    with pytest.raises(BadInput, match="no title field 'headline'"):
        read(path, title_field="headline")


def test_nan_becomes_null(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.jsonl", '{"id": "x", "text": "a", "n": NaN}'))[0].metadata == {"n": None}


def test_a_text_over_the_limit_is_refused_with_its_size(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", json.dumps({"id": "x", "text": "é" * 600}, ensure_ascii=False))
    with pytest.raises(BadInput, match=":1: a text of 1,200 bytes; at most 1,000"):
        read(path, max_document_bytes=1000)
    assert len(read(path, max_document_bytes=1200)) == 1


def test_a_line_that_never_ends_is_a_problem_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retr.retrieval.corpus.lines.MAX_LINE_BYTES", 1000)
    path = write(tmp_path, "a.jsonl", '{"text": "' + "x" * 200_000 + '"}\n{"text": "good"}\n')
    report = ReadReport()
    assert [document.id for document in read_documents([path], ReadSettings(on_error="skip"), report)] == ["a.jsonl#2"]
    assert str(report.problems[0]) == f"{path}:1: the line is longer than 1,000 bytes"


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", "zstd")]
)
def test_compressed_rows_are_read(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes] | str) -> None:
    rows = "".join(json.dumps({"id": number, "text": f"text {number}"}) + "\n" for number in range(3000)).encode()
    packed = pyarrow.compress(rows, codec="zstd", asbytes=True) if isinstance(pack, str) else pack(rows)
    report = ReadReport()
    path = write(tmp_path, f"a.jsonl{suffix}", packed)
    assert [document.id for document in read_documents([path], None, report)] == [str(number) for number in range(3000)]
    assert report.bytes == report.bytes_total == len(packed)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_a_damaged_or_cut_off_archive_is_one_problem(tmp_path: Path, suffix: str) -> None:
    rows = b'{"text": "some text"}\n'
    packed = {
        ".gz": gzip.compress(rows * 9000)[:-40],
        ".bz2": bz2.compress(rows * 9000)[:-40],
        ".xz": b"no archive at all",
        ".zst": b"no archive at all",
    }[suffix]
    path = write(tmp_path, f"a.jsonl{suffix}", packed)
    with pytest.raises(BadInput, match=r"damaged|cannot be read"):
        read(path)
    report = ReadReport()
    list(read_documents([path], ReadSettings(on_error="skip"), report))
    assert report.skipped == 1


def test_a_file_that_unpacks_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retr.retrieval.corpus.opening.RATIO_COUNTS_FROM_BYTES", 100_000)
    rows = (b'{"text": "a"' + b" " * 100_000 + b"}\n") * 100
    path = write(tmp_path, "bomb.jsonl.gz", gzip.compress(rows))
    with pytest.raises(BadInput, match="unpacks to more than 200 times its size"):
        read(path)


def test_a_json_list_of_records_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '\n[ {"id": "a", "text": "one"},\n {"text": "two", "x": {"y": [1]}}\n]\n')
    first, second = read(path)
    assert (first.id, second.id, second.metadata) == ("a", "a.json#2", {"x": {"y": [1]}})
    assert second.source == {"path": str(path), "record": 2}


def test_a_json_file_of_records_one_after_the_other_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '{"text": "one"}\n{"text":\n "two"}')
    assert [document.text for document in read(path)] == ["one", "two"]


def test_long_json_records_are_put_together_from_blocks(tmp_path: Path) -> None:
    records = [{"id": str(number), "text": "wörter " * 5000, "n": number} for number in range(40)]
    path = write(tmp_path, "a.json", json.dumps(records, ensure_ascii=False, indent=1))
    assert [(document.id, document.metadata) for document in read(path)] == [(str(n), {"n": n}) for n in range(40)]


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        ('[{"text": "a"},\n7]', 2, "not a JSON object but a int"),
        ('[{"text": "a"},\n{"text": }]', 2, "broken JSON: Expecting value"),
        ('[{"text": "a"}\n{"text": "b"}]', 2, "neither a comma nor the end"),
        ('[{"text": "a"},\n{"text": "b"', 2, "broken JSON"),
    ],
)
def test_a_broken_json_list_is_named_by_line(tmp_path: Path, content: str, line: int, reason: str) -> None:
    path = write(tmp_path, "a.json", content)
    with pytest.raises(BadInput, match=f"a.json:{line}: .*{reason}"):
        read(path)


def test_csv_cells_are_typed_and_ids_and_texts_never(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,text,n,f,b,zip,e,none\n01,42,7,-1.5,true,007,1e5,\n")
    document = read(path)[0]
    assert (document.id, document.text) == ("01", "42")
    assert document.metadata == {"n": 7, "f": -1.5, "b": True, "zip": "007", "e": "1e5", "none": None}
    assert document.source == {"path": str(path), "line": 2}
    assert read(path, typed_csv=False)[0].metadata["n"] == "7"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_in_the_header(tmp_path: Path, delimiter: str) -> None:
    path = write(tmp_path, "a.csv", f'id{delimiter}text\nx{delimiter}"a, b; c | d"\n')
    assert read(path)[0].text == "a, b; c | d"
    assert read(path, delimiter=delimiter)[0].text == "a, b; c | d"


def test_a_csv_cell_may_hold_line_ends_and_be_long(tmp_path: Path) -> None:
    long = "word " * 60_000
    path = write(tmp_path, "a.csv", f'id,text\r\na,"one\ntwo ""x"""\r\n\r\nb,"{long}"\r\nc,d\r\n')
    documents = read(path)
    assert [document.text for document in documents] == ['one\ntwo "x"', long, "d"]
    assert [document.source["line"] for document in documents] == [2, 5, 6]


def test_tsv_takes_quotation_marks_as_they_are(tmp_path: Path) -> None:
    assert read(write(tmp_path, "a.tsv", 'id\ttext\nx\t"a" is\ny\t"b\n'))[1].text == '"b'


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b", ":4: 1 cells, but the header has 2"),
        ("b,c,d", ":4: 3 cells, but the header has 2"),
        ('b,"c"d', ":4: broken CSV"),
        (",c", ":4: empty id in field 'id'"),
        ("b,", ":4: empty text"),
    ],
)
def test_a_bad_csv_row_is_named_by_its_first_line(tmp_path: Path, row: str, reason: str) -> None:
    path = write(tmp_path, "a.csv", f'id,text\na,"one\ntwo"\n{row}\nz,last\n')
    with pytest.raises(BadInput) as raised:
        read(path)
    assert f"a.csv{reason}" in str(raised.value)
    assert [document.id for document in read(path, on_error="skip")] == ["a", "z"]


def test_a_quote_that_never_closes_is_named_where_it_opens(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"a\.csv:3: broken CSV"):
        read(write(tmp_path, "a.csv", 'id,text\na,b\nc,"d\ne,f\n'))


def test_a_header_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the header names 'text' more than once"):
        read(write(tmp_path, "a.csv", "id,text,text\n1,2,3\n"))


def test_a_header_alone_holds_no_records(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the file holds no records"):
        read(write(tmp_path, "a.csv", "id,text\n"))


def test_parquet_values_become_json(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "id": [1, 2],
            "text": ["one", "two"],
            "day": [datetime.date(2024, 2, 1), None],
            "at": [datetime.datetime(2024, 2, 1, 3, 4), None],
            "f": [float("nan"), 0.5],
            "tags": [["a"], []],
            "s": [{"k": 1}, {"k": None}],
        }
    )
    path = tmp_path / "a.parquet"
    parquet.write_table(table, path)
    report = ReadReport()
    first, second = read_documents([path], None, report)
    assert (first.id, first.text, first.source) == ("1", "one", {"path": str(path), "row": 1})
    assert first.metadata == {"day": "2024-02-01", "at": "2024-02-01T03:04:00", "f": None, "tags": ["a"], "s": {"k": 1}}
    assert second.metadata == {"day": None, "at": None, "f": 0.5, "tags": [], "s": {"k": None}}
    assert report.bytes == report.bytes_total == path.stat().st_size


def test_parquet_bytes_are_refused_by_column(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": ["one"], "image": [b"\x00"]}), path)
    with pytest.raises(BadInput, match=r"a\.parquet:1: column 'image' holds bytes"):
        read(path)
    assert read(path, metadata_fields=())[0].text == "one"


@pytest.mark.parametrize("keep", [4, 100, -20])
def test_damaged_parquet_is_a_problem(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"text": ["one"] * 100}), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match="damaged Parquet"):
        read(path)


def test_bytes_that_are_not_utf8_are_refused_or_replaced_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b'{"text": "good"}\n{"text": "caf\xe9"}\n')
    with pytest.raises(BadInput, match=r"a\.jsonl:2: byte 14 \(0xe9\) is not UTF-8; say which .* --encoding"):
        read(path)
    report = ReadReport()
    documents = list(read_documents([path], ReadSettings(on_error="skip"), report))
    assert [document.text for document in documents] == ["good", "caf�"]
    assert (report.documents, report.skipped, report.repaired) == (2, 0, 1)
    assert read(path, encoding="latin-1")[1].text == "café"


def test_a_json_list_that_is_not_utf8_asks_for_its_encoding(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", b'[{"text": "caf\xe9"}]')
    with pytest.raises(BadInput, match=r"bytes that are not utf-8; .* --encoding"):
        read(path)
    assert read(path, encoding="latin-1")[0].text == "café"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_byte_order_mark_decides(tmp_path: Path, encoding: str, name: str) -> None:
    content = "text,k\nçà 日,1\n" if name.endswith("csv") else '{"text": "çà 日", "k": 1}\n'
    document = read(write(tmp_path, name, content.encode(encoding)))[0]
    assert (document.text, document.metadata) == ("çà 日", {"k": 1})


def test_parquet_without_rows_holds_no_records(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": pyarrow.array([], pyarrow.string())}), tmp_path / "a.parquet")
    with pytest.raises(BadInput, match="the file holds no records"):
        read(tmp_path / "a.parquet")
