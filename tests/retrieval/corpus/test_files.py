"""Files that are one document each: text, Markdown, reStructuredText, HTML, PDF."""

import datetime
import os
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from retr.retrieval.corpus import ReadReport, ReadSettings, read_documents
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.records import Document


def read(path: Path, content: str | bytes, **settings: Any) -> Document:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (document,) = read_documents([path], ReadSettings(**settings))
    return document


def make_pdf(path: Path, pages: list[str], *, title: str = "", password: str = "") -> Path:
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(width=400, height=400)
        font = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
        named = DictionaryObject({NameObject(key): NameObject(value) for key, value in font.items()})
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): named})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode() if text else b"")
        page[NameObject("/Contents")] = writer._add_object(stream)
    if title:
        writer.add_metadata({"/Title": title})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(path)
    return path


def test_a_text_file_is_one_document_with_its_facts(tmp_path: Path) -> None:
    path = tmp_path / "Note.TXT"
    path.write_bytes(b"one\r\ntwo\n")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    (document,) = read_documents([path])
    modified = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.UTC).isoformat()
    metadata = {"path": "Note.TXT", "suffix": ".txt", "modified": modified, "bytes": 9}
    assert document == Document("Note.TXT", "one\r\ntwo\n", "", metadata, {"path": str(path)})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b" \n\t ", "empty text"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR", "byte 1 (0x89) is not UTF-8"),
        (b"text\x00more", "NUL characters"),
        (b"x" * 2001, "2,001 bytes; at most 2,000"),
    ],
)
def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(BadInput) as raised:
        read(tmp_path / "a.txt", content, max_document_bytes=2000)
    assert str(raised.value).startswith(f"{tmp_path / 'a.txt'}: ") and reason in str(raised.value)


def test_no_encoding_is_guessed(tmp_path: Path) -> None:
    french = "L'été dernier, nous sommes allés à la plage avec des élèves très agités. Où étiez-vous ?".encode("cp1252")
    with pytest.raises(BadInput, match=r"byte 3 \(0xe9\) is not UTF-8; say which encoding it is with --encoding"):
        read(tmp_path / "a.txt", french)
    assert read(tmp_path / "a.txt", french, encoding="windows-1252").text == french.decode("cp1252")


def test_bytes_that_do_not_decode_are_replaced_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    report = ReadReport()
    (document,) = read_documents([tmp_path], ReadSettings(on_error="skip"), report)
    assert document.text == "caf\ufffd"
    assert (report.documents, report.repaired, report.skipped, len(report.problems)) == (1, 1, 0, 1)


def test_markdown_is_kept_as_written_and_titled_by_its_heading(tmp_path: Path) -> None:
    text = "intro\n\n```\n# not this\n```\n\n## The *title* ##\n\ntext\n"
    document = read(tmp_path / "a.md", text)
    assert (document.text, document.title) == (text, "The *title*")
    assert read(tmp_path / "b.md", "Setext\n======\n\ntext").title == "Setext"
    assert read(tmp_path / "c.md", "no heading").title == ""


def test_simple_front_matter_becomes_metadata(tmp_path: Path) -> None:
    document = read(
        tmp_path / "a.md",
        "---\ntitle: 'A: title'\ndate: 2024-05-01\ndraft: false\nweight: 3 # order\n"
        'tags: [a, "b c"]\n---\n\n# H\ntext',
    )
    assert (document.title, document.text) == ("A: title", "# H\ntext")
    facts = {"date": "2024-05-01", "draft": False, "weight": 3, "tags": ["a", "b c"]}
    assert {name: document.metadata[name] for name in facts} == facts


def test_toml_front_matter_becomes_metadata(tmp_path: Path) -> None:
    document = read(tmp_path / "a.md", '+++\ntitle = "T"\ndate = 2024-05-01\n[extra]\nk = [1, 2]\n+++\ntext')
    assert (document.title, document.text) == ("T", "text")
    assert (document.metadata["date"], document.metadata["extra"]) == ("2024-05-01", {"k": [1, 2]})


@pytest.mark.parametrize(
    "front",
    ["---\ntags:\n  - a\n---\n", "---\na: &x 1\n---\n", '---\na: "b" c\n---\n', "---\nno end\n", "+++\nbroken\n+++\n"],
)
def test_front_matter_beyond_simple_lines_is_left_in_the_text(tmp_path: Path, front: str) -> None:
    assert read(tmp_path / "a.md", front + "text").text == front + "text"


def test_a_rule_at_the_start_is_no_front_matter(tmp_path: Path) -> None:
    text = "---\n\nFirst: a sentence, and then more of it\ngoes on here.\n\n---\n\ntext"
    assert read(tmp_path / "a.md", text).text == text


def test_rst_is_titled_by_its_underlined_line(tmp_path: Path) -> None:
    text = "=====\nTitle\n=====\n\ntext\n"
    document = read(tmp_path / "a.rst", text)
    assert (document.text, document.title) == (text, "Title")
    assert read(tmp_path / "b.rst", "too long a line\n---\n\nReal\n----\n").title == "Real"


def test_html_gives_its_visible_text_in_blocks(tmp_path: Path) -> None:
    page = """<!doctype html><html><head><title>A &amp; B</title><style>p {}</style></head><body><nav>menu</nav>
    <h1>Head<b>ing</b></h1><p>One
    two&nbsp;three &lt;4&gt;<br>five</p><ul><li>a</li><li>b</li></ul><script>x()</script><template>no</template>
    <table><tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr></table><pre>def f():
        return</pre>tail</body></html>"""
    document = read(tmp_path / "a.html", page)
    assert document.title == "A & B"
    assert document.text == ("Heading\n\nOne two three <4>\nfive\n\na\nb\n\n1 2\n3 4\n\ndef f():\nreturn\n\ntail")


def test_a_page_without_a_title_has_its_first_heading(tmp_path: Path) -> None:
    assert read(tmp_path / "a.htm", "<h1>The\n heading</h1><p>text").title == "The heading"
    assert read(tmp_path / "b.htm", "<p>text").title == ""


@pytest.mark.parametrize(
    "declaration", ['<meta charset="iso-8859-1">', '<meta http-equiv="x" content="text/html; charset=latin1">']
)
def test_the_pages_own_charset_is_honoured_as_browsers_do(tmp_path: Path, declaration: str) -> None:
    page = f"<head>{declaration}</head><p>café “quoted”".encode("windows-1252")
    assert read(tmp_path / "a.html", page).text == "café “quoted”"


def test_a_page_of_scripts_alone_is_empty(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="empty text"):
        read(tmp_path / "a.html", "<html><script>x()</script></html>")


def test_a_deeply_nested_page_is_read(tmp_path: Path) -> None:
    assert read(tmp_path / "a.html", "<div>" * 20_000 + "deep").text == "deep"


def test_pdf_pages_are_joined_and_their_starts_known(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["First page", "", "Third page"], title="The title")
    report = ReadReport()
    (document,) = read_documents([path], None, report)
    starts = document.source["page_starts"]
    assert document.title == "The title"
    assert [
        document.text[start:].startswith(text) for start, text in zip(starts, ["First", "\n", "Third"], strict=True)
    ]
    assert starts[0] == 0 and document.text[starts[2] :] == "Third page"
    assert document.metadata["pages"] == 3
    assert report.bytes == report.bytes_total


def test_a_pdf_without_text_is_called_scanned(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no text on its 2 pages; scanned\?"):
        list(read_documents([make_pdf(tmp_path / "a.pdf", ["", ""])]))


def test_an_encrypted_pdf_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="encrypted; save a copy without a password"):
        list(read_documents([make_pdf(tmp_path / "a.pdf", ["secret"], password="x")]))


@pytest.mark.parametrize("content", [b"%PDF-1.4\nnonsense", b"not a pdf", b""])
def test_a_damaged_pdf_is_a_problem(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadInput, match=r"a\.pdf: (damaged PDF|the file is empty)"):
        read(tmp_path / "a.pdf", content)


def test_a_cut_off_pdf_never_gives_a_traceback(tmp_path: Path) -> None:
    whole = make_pdf(tmp_path / "whole.pdf", ["First page", "Second page"]).read_bytes()
    sizes = range(0, len(whole), 37)
    for size in sizes:
        (tmp_path / f"{size}.pdf").write_bytes(whole[:size])
    report = ReadReport()
    documents = list(read_documents([tmp_path], ReadSettings(on_error="skip"), report))
    assert len(documents) + report.skipped == len(sizes) + 1


def test_office_files_ask_for_their_package(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_bytes(b"PK\x03\x04")
    try:
        import markitdown  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(NotFound, match=r"Reading \.docx files needs .* pip install 'retr\[files\]'"):
            list(read_documents([tmp_path / "a.docx"]))
    else:
        with pytest.raises(BadInput, match="damaged or encrypted"):
            list(read_documents([tmp_path / "a.docx"]))
