"""Filters over a segment's file, and over the columns that are kept of it, answer what the plain evaluation does."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retr
from retr.index.filters import filtering
from retr.index.filters.filtering import DocumentFilter, FilterLimits, where_all
from retr.index.filters.scanning import ScanLimits, Scanner, open_scanner
from retr.retrieval.errors import BadInput, Damaged
from retr.retrieval.filters import Contains, Field, Filter, matches, parse
from retr.retrieval.records import Document


def beside(path: str) -> ModuleType:
    """Another file of tests, for its filters and records."""
    file = Path(__file__).parents[1] / path
    spec = importlib.util.spec_from_file_location(file.stem + "_for_filtering", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


agree = beside("retrieval/test_filters_agree.py")
meaning = beside("retrieval/test_filters_meaning.py")

PAPERS = [
    Document("a", "", "Alpha", {"year": 2020, "tags": ["news", 1], "author": {"name": "Ada"}}),
    Document("b", "", "Beta", {"year": "2020", "tags": []}),
    Document("c", "", "Gamma", {"year": 2021.5, "tags": "news", "author": {"name": None}}),
    Document("d", "", "Delta", {}),
    Document("é", "", "Épsilon", {"year": 2020, "tags": [["news"], None, True], "author": {"name": "Zoë"}}),
]
QUESTIONS = [
    "year = 2020",
    "year > 2020",
    "year is null",
    "year in ('2020', 2021.5)",
    "not year between 2000 and 2020",
    "'news' in tags",
    "null in tags",
    "true in tags or id = 'c'",
    "author.name >= 'Z'",
    "author.name is null and title like '%a'",
    "title ilike 'é%'",
    "id in ('a', 'é', 'zz')",
]


def write(folder: Path, documents: Sequence[Document] = PAPERS, group: int = 3) -> Path:
    """documents.parquet with the columns that filters look at, in row groups of a few documents."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {
        "id": [each.id for each in documents],
        "title": [each.title for each in documents],
        "metadata": [json.dumps(each.metadata, ensure_ascii=False, sort_keys=True) for each in documents],
    }
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    pq.write_table(table, folder / "documents.parquet", row_group_size=group)
    return folder / "documents.parquet"


def expected(filter: Filter, documents: Sequence[Document] = PAPERS) -> list[bool]:
    return [matches(filter, each) for each in documents]


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[str]:
    """Every call of a function from now on adds its name to the list."""
    calls: list[str] = []
    original: Callable[..., Any] = getattr(owner, name)

    def counted(*arguments: Any) -> Any:
        calls.append(name)
        return original(*arguments)

    monkeypatch.setattr(owner, name, counted)
    return calls


@settings(deadline=None, max_examples=40)
@given(
    documents=st.lists(agree.records, min_size=1, max_size=12),
    filters=st.lists(agree.filters, min_size=1, max_size=5),
    limits=st.sampled_from([FilterLimits(), FilterLimits(kept=400, kept_each=0, texts=2)]),
)
def test_the_first_second_and_third_answers_are_those_of_plain_python(
    documents: list[Document], filters: list[Filter], limits: FilterLimits
) -> None:
    with TemporaryDirectory() as folder:
        segment = DocumentFilter(write(Path(folder), documents), len(documents), limits)
        for _ in range(3):
            for filter in filters:
                assert segment.where(filter).tolist() == expected(filter, documents)


@settings(deadline=None, max_examples=60)
@given(leaves=st.lists(agree.leaves, min_size=1, max_size=8), held=st.lists(agree.metadata, min_size=1, max_size=6))
def test_fields_that_are_there_with_every_type_are_kept_as_they_are(
    leaves: list[Any], held: list[dict[str, object]]
) -> None:
    values: list[object] = [*held, *[value for each in held for value in each.values()], *agree.NUMBERS, *agree.TEXTS]
    values += [10**400, -(10**400), True, False, None, [], {}, [None, [1]], ["a", "b", 1]]
    documents = [Document("x", "", "t", {"f": value}) for value in values]
    with TemporaryDirectory() as folder, open_scanner([str(Path(folder) / "documents.parquet")], ScanLimits()) as scan:
        path = str(write(Path(folder), documents, group=10))
        sources = {}
        for leaf in leaves:
            field = Field(("f",))
            moved = type(leaf)(field, *[getattr(leaf, name) for name in list(leaf.__match_args__)[1:]])
            source = filtering.Source.of(moved)
            sources[source] = sources.get(source) or scan.column(path, len(documents), source)
            assert sources[source].where(moved).tolist() == expected(moved, documents)


def test_every_case_worked_out_by_hand_holds_for_kept_columns(tmp_path: Path) -> None:
    segment = DocumentFilter(write(tmp_path, [meaning.PAPER]), 1)
    for _ in range(3):
        for truth, texts in ((True, meaning.TRUE), (False, meaning.FALSE)):
            assert [text for text in texts if segment.where(parse(text)).tolist() != [truth]] == []


def test_a_field_is_kept_when_it_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passing, column = count_calls(monkeypatch, Scanner, "passing"), count_calls(monkeypatch, Scanner, "column")
    segment = DocumentFilter(write(tmp_path), len(PAPERS))
    segment.where(parse("year = 2020"))
    assert (len(passing), len(column), segment.kept_bytes) == (1, 0, 0)
    segment.where(parse("year > 2020"))
    assert (len(passing), len(column)) == (1, 1)
    for text in ("year < 3", "year is null", "not year in (1, 2)"):
        segment.where(parse(text))
    assert (len(passing), len(column)) == (1, 1)
    assert segment.kept_bytes > 0


@pytest.mark.parametrize("text", QUESTIONS)
def test_kept_columns_answer_without_the_file(tmp_path: Path, text: str) -> None:
    path = write(tmp_path)
    segment = DocumentFilter(path, len(PAPERS))
    segment.where(parse(text))
    segment.where(parse(text))
    path.unlink()
    assert segment.where(parse(text)).tolist() == expected(parse(text))


def test_a_list_in_a_column_has_no_members_and_needs_no_file(tmp_path: Path) -> None:
    segment = DocumentFilter(tmp_path / "gone.parquet", 3)
    assert segment.where(Contains(Field(("id",)), "a")).tolist() == [False] * 3


def test_kept_columns_stay_under_the_limit_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [Document(str(n), "", "", {"a": n, "b": n * 2, "c": n % 3}) for n in range(200)]
    path = write(tmp_path, documents, group=64)
    column = count_calls(monkeypatch, Scanner, "column")
    most = 200 * (1 + 8) + 200 * (1 + 1)  # either of a and b (a byte and a value each), not both
    segment = DocumentFilter(path, 200, FilterLimits(kept=most, kept_each=0))
    for _ in range(4):
        for text in ("a < 50", "a < 70", "b < 50", "b < 70", "c = 1", "c = 2"):
            assert segment.where(parse(text)).tolist() == expected(parse(text), documents)
            assert segment.kept_bytes <= most
    assert len(column) > 4


def test_a_field_too_large_to_keep_is_asked_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    column = count_calls(monkeypatch, Scanner, "column")
    segment = DocumentFilter(write(tmp_path), len(PAPERS), FilterLimits(kept=10, kept_each=0))
    for _ in range(4):
        assert segment.where(parse("year = 2020")).tolist() == expected(parse("year = 2020"))
    assert (len(column), segment.kept_bytes) == (1, 0)


def test_many_fields_at_once_are_asked_of_the_file(tmp_path: Path) -> None:
    segment = DocumentFilter(write(tmp_path), len(PAPERS), FilterLimits(fields=2))
    for _ in range(3):
        filter = parse("year = 2020 or title = 'Delta' or id = 'c'")
        assert segment.where(filter).tolist() == expected(filter)
    assert segment.kept_bytes == 0


def test_several_segments_share_one_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_calls(monkeypatch, filtering, "open_scanner")
    segments = [DocumentFilter(write(tmp_path / str(n), PAPERS[n:]), len(PAPERS) - n) for n in range(3)]
    filter = parse("year = 2020 and not 'x' in tags")
    for calls in (1, 2, 2):
        answers = where_all([*segments, segments[0]], filter)
        assert [each.tolist() for each in answers] == [expected(filter, PAPERS[n:]) for n in (0, 1, 2, 0)]
        assert len(opened) == calls
    assert where_all([], filter) == []


def test_threads_share_a_segment(tmp_path: Path) -> None:
    documents = [Document(str(n), "", "", {"a": n % 7, "b": [n % 5, "x"], "c": f"t{n % 11}"}) for n in range(500)]
    texts = [f"a = {n}" for n in range(7)] + [f"{n} in b" for n in range(5)] + [f"c > 't{n}'" for n in range(11)]
    limits = FilterLimits(kept=2000, kept_each=0)  # room for one column or two, so that some are dropped while in use
    segment = DocumentFilter(write(tmp_path, documents, group=128), 500, limits)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: segment.where(parse(text)).tolist(), texts * 4))
    assert found == [expected(parse(text), documents) for text in texts * 4]


FORK = """
import os, sys, threading, time
from pathlib import Path
from retr.index.filters.filtering import DocumentFilter
from retr.retrieval.filters import parse
segment = DocumentFilter(Path(sys.argv[1]), 5)
once = [segment.where(parse("year = 2020")).tolist() for _ in range(2)][-1]
idle = DocumentFilter(Path(sys.argv[1]), 5)
threading.Thread(target=lambda: [segment.where(parse(f"new{n} = 1")) for n in range(10**6)], daemon=True).start()
threading.Thread(target=lambda: [idle._loading.acquire(), time.sleep(1000)], daemon=True).start()
time.sleep(0.1)
children = []
for _ in range(6):
    child = os.fork()
    if not child:
        for each in (segment, idle):
            for text in ("year = 2020", "year = 2020", "title = 'Alpha' or year = 2020"):
                assert each.where(parse(text)).tolist() == once, text
        del segment, idle
        sys.exit(0)
    children.append(child)
statuses = [os.waitpid(child, 0)[1] for child in children]
assert segment.where(parse("year = 2020")).tolist() == once
print(statuses)
sys.stdout.flush()
os._exit(0)
"""


def test_a_forked_process_filters_while_its_parent_does(tmp_path: Path) -> None:
    source = Path(retr.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, str(write(tmp_path))]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.stdout.strip() == str([0] * 6), result.stderr


@pytest.mark.parametrize("name", ["id=7", "a[1]", "a*", "o'dd, one", "{x}", "ü"])
def test_the_folders_name_means_nothing(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a1", [Document("wrong", "", "", {"year": 2020})] * 5)
    segment = DocumentFilter(write(tmp_path / name), len(PAPERS))
    for _ in range(3):
        assert segment.where(parse("id = 'a' or year = '2020'")).tolist() == [True, True, False, False, False]


def test_a_relative_path_and_a_linked_folder_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    segment = DocumentFilter(Path("link/documents.parquet"), len(PAPERS))
    monkeypatch.chdir("/")
    assert segment.where(parse("id = 'a'")).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_parquet('{other}')",
        "SELECT * FROM read_parquet('{folder}/../other/documents.parquet')",
        "SELECT * FROM read_text('{folder}/CURRENT')",
        "SELECT * FROM glob('{folder}/*')",
        "COPY (SELECT 1) TO '{folder}/new.csv'",
        "ATTACH '{folder}/new.db'",
        "INSTALL httpfs",
    ],
)
def test_the_engine_reads_its_file_and_does_nothing_else(tmp_path: Path, query: str) -> None:
    import duckdb

    path, other = write(tmp_path / "mine"), write(tmp_path / "other")
    (tmp_path / "mine" / "CURRENT").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    with open_scanner([str(path)], ScanLimits()) as scanner:
        assert scanner.passing(str(path), 5, parse("id = 'a'")).sum() == 1
        try:
            found = scanner._run(query.format(folder=path.parent, other=other)).fetchall()
        except duckdb.Error:
            found = []
        assert found == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("setting", ["enable_external_access = true", "threads = 8", "memory_limit = '99GB'"])
def test_the_engines_limits_cannot_be_changed(tmp_path: Path, setting: str) -> None:
    import duckdb

    with (
        open_scanner([str(write(tmp_path))], ScanLimits()) as scanner,
        pytest.raises(duckdb.InvalidInputException, match="locked"),
    ):
        scanner._run(f"SET {setting}")


def test_a_file_that_is_not_as_it_should_be_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    whole = path.read_bytes()

    def damaged(rows: int, kept: bool) -> str:
        segment = DocumentFilter(path, rows)
        segment._asked = {filtering.Source("/year", False): False} if kept else {}
        with pytest.raises(Damaged, match="Run: retr check") as raised:
            segment.where(parse("year is null"))
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "not 6" in damaged(6, kept=True)
    assert "more than the 2" in damaged(2, kept=True)
    assert "more than the 2" in damaged(2, kept=False)
    path.write_bytes(whole[:-5])
    assert str(path) in damaged(5, kept=False)
    path.unlink()
    assert str(path) in damaged(5, kept=True)
    pq.write_table(pa.table({"id": ["a"], "title": [""], "metadata": ["{no json"]}), path)
    assert str(path) in damaged(1, kept=True)
    assert str(path) in damaged(1, kept=False)


def test_a_filter_that_needs_too_much_memory_says_so(tmp_path: Path) -> None:
    documents = [Document(str(n), "", "", {"a": str(n) * 2000}) for n in range(2000)]
    path = write(tmp_path, documents, group=2000)
    segment = DocumentFilter(path, 2000, FilterLimits(scan=ScanLimits(memory=4 << 20, threads=1)))
    with pytest.raises(BadInput, match="needs more than 4 MiB"):
        segment.where(parse("a = 'x'"))


def test_a_field_that_does_not_fit_in_memory_is_streamed(tmp_path: Path) -> None:
    words = [f"{n:06d}" * 2000 for n in range(3000)]
    documents = [Document(str(n), "", "", {"a": word, "b": word[::-1], "c": n % 2}) for n, word in enumerate(words)]
    path = write(tmp_path, documents, group=20)
    segment = DocumentFilter(path, 3000, FilterLimits(scan=ScanLimits(memory=48 << 20, threads=1)))
    filter = parse("a < '000007' or b like '99%' and c = 1")
    for _ in range(3):
        assert segment.where(filter).tolist() == expected(filter, documents)
    assert segment._asked == {filtering.Source("/a", False): True, filtering.Source("/b", False): True,
                              filtering.Source("/c", False): False}  # fmt: skip
    assert list(segment._kept) == [filtering.Source("/c", False)]


def test_like_over_many_texts_is_asked_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passing = count_calls(monkeypatch, Scanner, "passing")
    for texts, calls in ((len(PAPERS), 1), (len(PAPERS) - 1, 3)):
        passing.clear()
        segment = DocumentFilter(write(tmp_path), len(PAPERS), FilterLimits(texts=texts))
        for _ in range(3):
            assert segment.where(parse("title like '%a'")).tolist() == expected(parse("title like '%a'"))
        assert len(passing) == calls


def test_nothing_of_the_engine_stays_between_calls(tmp_path: Path) -> None:
    segment = DocumentFilter(write(tmp_path), len(PAPERS))
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("threads are counted in /proc")
    segment.where(parse("year = 2020"))
    before = len(list(tasks.iterdir()))
    for _ in range(3):
        segment.where(parse("title = 'Alpha'"))
    assert len(list(tasks.iterdir())) == before


def test_codes_are_no_wider_than_they_must_be(tmp_path: Path) -> None:
    documents = [Document(str(n), "", "", {"few": n % 3, "many": n}) for n in range(400)]
    path = str(write(tmp_path, documents, group=400))
    with open_scanner([path], ScanLimits()) as scanner:
        few, many = (scanner.column(path, 400, filtering.Source(f"/{name}", False)) for name in ("few", "many"))
    assert (few.codes.dtype, many.codes.dtype) == (np.uint8, np.uint16)
    assert few.nbytes < 400 + 64
