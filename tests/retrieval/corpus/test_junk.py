"""No input gives a traceback: junk in any format is read, or refused in one line."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retr.retrieval.corpus import READERS, ReadReport, ReadSettings, read_documents
from retr.retrieval.errors import BadInput, RetrError

SEEDS = {
    ".jsonl": b'{"id": "a", "text": "one", "metadata": {"k": [1]}}\n{"text": "two"}\n',
    ".json": b'[{"id": "a", "text": "one"}, {"text": "two"}]',
    ".csv": b'id,text,k\na,"one\n""x""",1\nb,two,\n',
    ".md": b"---\ntitle: T\nk: [a, b]\n---\n# H\n\ntext\n",
    ".rst": b"Title\n=====\n\ntext\n",
    ".html": b"<html><head><meta charset=utf-8><title>t</title></head><body><p>a<pre>b\nc</pre></body></html>",
    ".pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n",
}


@st.composite
def junk(draw: st.DrawFn, seed: bytes) -> bytes:
    """Random bytes, or a good file with some of its bytes changed, cut out or doubled."""
    if not seed or draw(st.booleans()):
        return draw(st.binary(max_size=80))
    data = bytearray(seed)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        piece = draw(
            st.binary(max_size=4) | st.sampled_from([b'"', b"\\ud800", b"\x00", b"\n", b"---\n", b"\xff\xfe", b"<"])
        )
        data[at : at + draw(st.integers(0, 6))] = piece
    return bytes(data)


@pytest.mark.parametrize("suffix", sorted(set(READERS) - {".pdf"}))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_junk_gives_documents_or_one_line(tmp_path: Path, suffix: str, data: st.DataObject) -> None:
    content = data.draw(junk(SEEDS.get(suffix, b"")))
    packed = data.draw(st.sampled_from(["", "", ".gz", ".bz2", ".xz", ".zst"]))
    path = tmp_path / f"junk{suffix}{packed}"
    path.write_bytes(content)
    try:
        for document in read_documents([path]):
            assert document.text.strip() and document.id
            document.text.encode()
    except RetrError as error:
        assert "\n" not in str(error)
        str(error).encode()
    report = ReadReport()
    try:
        documents = list(read_documents([path], ReadSettings(on_error="skip"), report))
    except BadInput as error:
        assert "is of no kind that can be read" in str(error)
    else:
        assert documents or report.skipped


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contents=st.lists(junk(SEEDS[".pdf"]), min_size=10, max_size=20))
def test_every_junk_pdf_is_skipped(tmp_path: Path, contents: list[bytes]) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    for number, content in enumerate(contents):
        (tmp_path / f"{number:02}.pdf").write_bytes(content)
    report = ReadReport()
    documents = list(read_documents([tmp_path], ReadSettings(on_error="skip"), report))
    assert len(documents) + report.skipped == len(contents)
    assert not any("\n" in str(problem) for problem in report.problems)
