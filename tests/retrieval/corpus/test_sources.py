"""Files, folders and standard input: what is read, in which order, under which ids."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from retr.retrieval.corpus import ReadReport, ReadSettings, read_documents, total_bytes
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.records import Document


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    return root


def ids(*sources: Path | str, report: ReadReport | None = None, **settings: Any) -> list[str]:
    return [document.id for document in read_documents(sources, ReadSettings(**settings), report)]


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes, **settings: Any) -> list[Document]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    return list(read_documents(["-"], ReadSettings(**settings)))


def test_a_folder_is_walked_in_order_without_hidden_files(tmp_path: Path) -> None:
    tree(tmp_path, "b.txt", "a/z.md", "a/b/c.txt", ".hidden.txt", ".git/x.txt", "B.txt")
    assert ids(tmp_path) == ["B.txt", "b.txt", "a/z.md", "a/b/c.txt"]


def test_files_without_a_reader_are_counted_by_suffix(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "b.png", "c.PNG", "Makefile", "d.tar.gz")
    report = ReadReport()
    assert ids(tmp_path, report=report) == ["a.txt"]
    assert report.ignored == {".png": 2, "": 1, ".tar.gz": 1}
    assert report.ignored_text() == "4 files ignored (.png 2, no suffix 1, .tar.gz 1)"


def test_a_folder_with_nothing_to_read_says_what_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="it holds no files"):
        ids(tmp_path)
    tree(tmp_path, "b.png", "c.png")
    with pytest.raises(BadInput, match=r"2 files ignored \(\.png 2\).*Kinds: csv, docx"):
        ids(tmp_path)
    tree(tmp_path, "a.txt")
    with pytest.raises(BadInput, match="--include"):
        ids(tmp_path, include=("*.md",))


def test_include_and_exclude_choose_by_name_and_by_path(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "x/b.txt", "x/c.md", "node/d.txt", "x/node/e.txt")
    assert ids(tmp_path, include=("*.txt",), exclude=("node",)) == ["a.txt", "x/b.txt"]
    assert ids(tmp_path, exclude=("x/*",)) == ["a.txt", "node/d.txt"]


def test_links_that_lead_out_are_not_followed(tmp_path: Path) -> None:
    outside = tree(tmp_path / "outside", "secret.txt")
    root = tree(tmp_path / "root", "a.txt", "sub/b.txt")
    (root / "file.txt").symlink_to(outside / "secret.txt")
    (root / "folder").symlink_to(outside)
    (root / "nowhere.txt").symlink_to(root / "gone")
    (root / "same.txt").symlink_to(root / "a.txt")
    (root / "loop").symlink_to(root)
    report = ReadReport()
    assert ids(root, report=report) == ["a.txt", "sub/b.txt"]
    assert sorted(str(note) for note in report.notes) == [
        f"{root}/file.txt: ignored: a link that leads out of the folder",
        f"{root}/folder: ignored: a link that leads out of the folder",
        f"{root}/nowhere.txt: ignored: a link that leads nowhere",
    ]


def test_a_folder_may_itself_be_a_link(tmp_path: Path) -> None:
    tree(tmp_path / "root", "a.txt")
    (tmp_path / "link").symlink_to(tmp_path / "root")
    assert ids(tmp_path / "link") == ["a.txt"]


def test_the_same_path_in_two_folders_gives_two_ids(tmp_path: Path) -> None:
    tree(tmp_path, "one/a.txt", "two/a.txt", "x/docs/a.txt", "y/docs/a.txt", "b.txt")
    assert ids(tmp_path / "one", tmp_path / "two") == ["one/a.txt", "two/a.txt"]
    assert ids(tmp_path / "x/docs", tmp_path / "y/docs", tmp_path / "b.txt") == [
        "x/docs/a.txt",
        "y/docs/a.txt",
        "b.txt",
    ]
    assert ids(tmp_path / "one/a.txt", tmp_path / "two/a.txt") == ["one/a.txt", "two/a.txt"]


def test_ids_depend_on_the_sources_and_not_on_what_lies_in_them(tmp_path: Path) -> None:
    tree(tmp_path, "one/a.txt", "two/b.txt")
    before = ids(tmp_path / "one", tmp_path / "two")
    tree(tmp_path, "two/a.txt")
    assert set(before) < set(ids(tmp_path / "one", tmp_path / "two"))


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "b.txt")
    assert ids(tmp_path, tmp_path / "a.txt", tmp_path, f"{tmp_path}/../{tmp_path.name}") == [
        f"{tmp_path.name}/a.txt",
        f"{tmp_path.name}/b.txt",
    ]


def test_two_files_that_would_share_an_id_are_refused(tmp_path: Path) -> None:
    tree(tmp_path, "q/b/x.txt", "p/b/x.txt", "p/c/x.txt")
    with pytest.raises(BadInput, match=r"would both be called 'b/x\.txt'"):
        ids(tmp_path / "q/b", tmp_path / "p/b/x.txt", tmp_path / "p/c/x.txt")


def test_a_beir_folder_gives_its_corpus_alone(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "title": "t", "text": "x", "metadata": {}}\n')
    tree(tmp_path, "README.md", "queries.jsonl", "qrels/test.tsv")
    assert ids(tmp_path) == ["d1"]


def test_a_source_that_is_not_there_names_the_near_one(tmp_path: Path) -> None:
    tree(tmp_path, "report.txt")
    with pytest.raises(NotFound, match=r"No file or folder '.*reprot.txt'\. Did you mean '.*report.txt'\?"):
        ids(tmp_path / "reprot.txt")
    with pytest.raises(NotFound, match=r"The folder '.*none' does not exist either"):
        ids(tmp_path / "none" / "a.txt")


def test_no_source_is_refused() -> None:
    for sources in ([], [""]):
        with pytest.raises(BadInput, match="No source was given"):
            read_documents(sources)


def test_a_file_of_no_known_kind_asks_for_its_format(tmp_path: Path) -> None:
    tree(tmp_path, "data.xyz", "data")
    with pytest.raises(BadInput, match=r"\(\.xyz\) is of no kind that can be read\. Kinds: csv, docx, .* --format"):
        ids(tmp_path / "data.xyz")
    with pytest.raises(BadInput, match="no suffix"):
        ids(tmp_path / "data")
    assert ids(tmp_path / "data.xyz", format="txt") == ["data.xyz"]
    assert ids(tmp_path, format=".txt") == ["data", "data.xyz"]


def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a.txt", "b.txt")
    real = Path.open

    def refuse(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "a.txt":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadInput, match=r"a\.txt: cannot be read: Permission denied"):
        ids(tmp_path)
    assert ids(tmp_path, on_error="skip") == ["b.txt"]


def test_a_folder_that_may_not_be_read_is_a_problem(tmp_path: Path) -> None:
    tree(tmp_path, "root/a.txt", "root/sub/b.txt")
    program = (
        "import sys\nfrom retr.retrieval.corpus import ReadSettings, read_documents\n"
        "from retr.retrieval.errors import BadInput\n"
        "print([document.id for document in read_documents(['root'], ReadSettings(on_error='skip'))])\n"
        "try:\n    read_documents(['root'])\nexcept BadInput as error:\n    print(error)\n"
    )
    (tmp_path / "root/sub").chmod(0)
    try:
        found, problem = run_bound_by_permissions(tmp_path, program).splitlines()
    finally:
        (tmp_path / "root/sub").chmod(0o755)
    assert found == "['a.txt']"
    assert problem.startswith("root/sub: the folder cannot be read: Permission denied")


def run_bound_by_permissions(folder: Path, program: str) -> str:
    """What a program prints as a user whom permissions bind: root is one, once it has lost two capabilities."""
    lead = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("run as root without setpriv: permissions bind nobody here")
        powers = "-dac_override,-dac_read_search"
        lead = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [*lead, sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_file_name_that_is_no_unicode_is_a_problem(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.txt")).write_text("text")
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(BadInput, match="is not valid Unicode") as raised:
        ids(tmp_path)
    str(raised.value).encode()


def test_standard_input_is_rows_or_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = stdin(monkeypatch, b' \n{"text": "a", "k": 1}\n{"id": "x", "text": "b"}\n')
    assert [(document.id, document.metadata) for document in rows] == [("stdin#2", {"k": 1}), ("x", {})]
    lines = stdin(monkeypatch, b"first line\r\n\nthird\n")
    assert [(document.id, document.text) for document in lines] == [("stdin#1", "first line"), ("stdin#3", "third")]
    assert lines[0].source == {"path": "stdin", "line": 1}


def test_standard_input_in_a_named_format(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stdin(monkeypatch, b"one\ntwo\n", format="txt")[0].text == "one\ntwo\n"
    assert stdin(monkeypatch, b"id,text\n7,one\n", format="csv")[0].id == "7"
    assert stdin(monkeypatch, b"{one\n", format="lines")[0].text == "{one"
    with pytest.raises(BadInput, match="pdf cannot be read from standard input"):
        stdin(monkeypatch, b"x", format="pdf")


def test_empty_standard_input_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="stdin: the file is empty"):
        stdin(monkeypatch, b"")


def test_long_standard_input_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(stdin(monkeypatch, b'{"text": "some text that is long enough"}\n' * 20_000)) == 20_000


def test_the_size_is_known_before_reading(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "b.txt", "c.png")
    (tmp_path / "d.pdf").write_text("damaged")
    assert total_bytes([tmp_path]) == 2 * len("text of a.txt") + 7
    report = ReadReport()
    ids(tmp_path, report=report, on_error="skip")
    assert report.bytes == report.bytes_total == total_bytes([tmp_path])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"on_error": "ignore"}, "'fail' or 'skip'"),
        ({"format": "jsnl"}, "Did you mean 'json'|Did you mean 'jsonl'"),
        ({"encoding": "utf-9"}, "not a known text encoding"),
        ({"encoding": "base64"}, "not a known text encoding"),
        ({"delimiter": "ab"}, "one character"),
        ({"delimiter": ""}, "one character"),
        ({"max_document_bytes": 0}, "at least 1"),
        ({"parse_seconds": 0}, "above 0"),
        ({"parse_seconds": float("nan")}, "above 0"),
        ({"text_field": " , "}, "at least one field"),
    ],
)
def test_settings_that_cannot_work_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises((BadInput, NotFound), match=words):
        ReadSettings(**fields)


def test_only_the_first_problems_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("x\n" * 50 + '{"text": "good"}\n')
    report = ReadReport()
    assert ids(tmp_path, report=report, on_error="skip") == ["a.jsonl#51"]
    assert (report.skipped, len(report.problems), report.problems[19].line) == (50, 20, 20)
