"""Hostile PDFs, and parsers that hang, crash or fill the memory: one problem each, and the next file is read."""

import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from retr.retrieval.corpus import ReadReport, ReadSettings, read_documents
from retr.retrieval.corpus.isolation import Isolation
from retr.retrieval.corpus.report import Rejected

CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
FONT = b"/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R" + FONT + b">>"


def pdf(*objects: bytes) -> bytes:
    out, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + end


def pages(kids: bytes, count: int) -> bytes:
    return b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, count)


def packed(content: bytes) -> bytes:
    data = zlib.compress(content, 9)
    return b"<</Length %d/Filter/FlateDecode>>\nstream\n%s\nendstream" % (len(data), data)


def good(word: str = "good") -> bytes:
    return pdf(CATALOG, pages(b"3 0 R", 1), PAGE, packed(b"BT /F1 12 Tf (%s) Tj ET" % word.encode()))


def slow() -> bytes:
    """A few kilobytes whose 500 pages take the parser a second each."""
    heavy = packed(b"BT /F1 12 Tf " + b"(a) Tj " * 500_000 + b"ET")
    return pdf(CATALOG, pages(b"3 0 R " * 500, 500), PAGE, heavy)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a loop of page trees": lambda: pdf(CATALOG, pages(b"2 0 R", 1)),
    "an endless tree of pages": lambda: pdf(CATALOG, pages(b"3 0 R 3 0 R", 2), pages(b"2 0 R 2 0 R", 2)),
    "a million pages": lambda: pdf(CATALOG, pages(b"3 0 R " * 1_000_000, 1_000_000), PAGE, packed(b"")),
    "a bomb of deflate": lambda: pdf(CATALOG, pages(b"3 0 R", 1), PAGE, packed(b" " * 200_000_000)),
    "arrays within arrays": lambda: pdf(CATALOG, pages(b"3 0 R", 1), b"[" * 300_000 + b"]" * 300_000),
    "arrays within arrays in a page": lambda: pdf(CATALOG, pages(b"3 0 R", 1), PAGE, packed(b"[" * 300_000)),
    "a form that draws itself": lambda: pdf(
        CATALOG,
        pages(b"3 0 R", 1),
        PAGE.replace(FONT, b"/Resources<</XObject<</X 4 0 R>>>>"),
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 4 0 R>>>>/Length 11>>\n"
        b"stream\n/X Do /X Do\nendstream",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pdf_is_one_problem_and_the_next_file_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.pdf").write_bytes(HOSTILE[name]())
    (tmp_path / "b.pdf").write_bytes(good())
    report = ReadReport()
    documents = list(read_documents([tmp_path], ReadSettings(on_error="skip"), report))
    assert [document.text for document in documents] == ["good"]
    assert [Path(problem.path).name for problem in report.problems] == ["a.pdf"]


def test_a_slow_pdf_is_given_up_and_the_next_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(slow())
    (tmp_path / "b.pdf").write_bytes(good())
    assert (tmp_path / "a.pdf").stat().st_size < 20_000
    report = ReadReport()
    settings = ReadSettings(on_error="skip", parse_seconds=1.5)
    documents = list(read_documents([tmp_path], settings, report))
    assert [document.text for document in documents] == ["good"]
    assert [problem.reason for problem in report.problems] == ["took longer than 1.5 s to parse"]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not limit the address space")
def test_a_pdf_that_fills_the_memory_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(slow())
    (tmp_path / "b.pdf").write_bytes(good())
    with Isolation(60, memory=150 * 2**20) as isolation:
        with pytest.raises(Rejected, match="the parser ran out of memory"):
            isolation.parse("pdf", tmp_path / "a.pdf", 10_000)
        assert isolation.parse("pdf", tmp_path / "b.pdf", 10_000) == {"title": "", "pages": ["good"]}


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import time; time.sleep(60)", "took longer than 0.3 s to parse"),
        ("import os; os.kill(os.getpid(), 9)", r"the parser crashed \(signal 9\)"),
        ("raise SystemExit(3)", r"the parser crashed \(exit status 3\)"),
        ("input(); print('{', end='')", r"the parser crashed \(exit status 0\)"),
        ("input()\nwhile True: print('x' * 65536, end='')", "more than 1,000 characters of text"),
    ],
)
def test_whatever_becomes_of_the_parser_is_one_line(tmp_path: Path, program: str, reason: str) -> None:
    seconds = 0.3 if "longer" in reason else 30
    with Isolation(seconds, command=[sys.executable, "-c", program]) as isolation:
        for _ in range(2):
            with pytest.raises(Rejected, match=reason):
                isolation.parse("pdf", tmp_path / "a.pdf", 1000)


def test_more_text_than_allowed_is_refused_by_the_parser(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(good("word " * 50))
    with Isolation(60) as isolation, pytest.raises(Rejected, match="more than 100 bytes of text in 1 pages"):
        isolation.parse("pdf", tmp_path / "a.pdf", 100)


def test_one_process_parses_many_files_and_none_is_left(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.pdf").write_bytes(good(name))
    me = psutil.Process()
    before = {child.pid for child in me.children()}
    stream = read_documents([tmp_path])
    started = []
    for _ in range(3):
        next(stream)
        started.append({child.pid for child in me.children()} - before)
    assert len(started[0]) == 1 and started == [started[0]] * 3
    assert list(stream) == []
    assert not {child.pid for child in me.children()} - before


def test_no_process_is_started_without_a_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    (tmp_path / "a.txt").write_text("text")
    assert len(list(read_documents([tmp_path]))) == 1


def test_modules_of_the_current_folder_are_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.pdf").write_bytes(good())
    for name in ("json", "pypdf", "retr"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert [document.text for document in read_documents(["a.pdf"])] == ["good"]


@pytest.mark.parametrize("hanging", [False, True])
def test_the_process_ends_when_its_parent_is_killed(tmp_path: Path, hanging: bool) -> None:
    (tmp_path / "a.pdf").write_bytes(slow() if hanging else good())
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom retr.retrieval.corpus.isolation import Isolation\n"
        "isolation = Isolation(2)\nisolation._process = isolation._start()\n"
        "print(isolation._process.pid, flush=True)\nisolation.parse('pdf', Path(sys.argv[1]), 1000)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", program, str(tmp_path / "a.pdf")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        time.sleep(0.5)
        assert parent.poll() is None and lives(worker)
        parent.kill()
    deadline = time.monotonic() + 60
    while lives(worker):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
