"""The guide's table of conformance tells the counts of the tests that there are."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent
GUIDE = HERE.parents[1] / "docs" / "integrations.md"
ROWS = {
    match["what"]: int(match["tests"])
    for match in re.finditer(
        r"^\|[^|]+\| `(?P<what>\w+)` \| (?P<tests>\d+) \|$", GUIDE.read_text("utf-8"), re.MULTILINE
    )
}


def module(folder: str, name: str) -> ModuleType:
    path = HERE / folder / f"{name}.py"
    spec = spec_from_file_location(f"conformance_{folder}_{name}", path)
    assert spec is not None and spec.loader is not None
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def counts(suites: ModuleType) -> dict[str, int]:
    """Tests a class, inherited ones too."""
    classes = [kind for name, kind in vars(suites).items() if name.startswith("Test")]
    return {kind.__name__: sum(name.startswith("test_") for name in dir(kind)) for kind in classes}


def test_the_table_is_read() -> None:
    assert len(ROWS) == 9


def test_langchains_counts_are_told() -> None:
    pytest.importorskip("langchain_tests", reason="LangChain's suites need the package langchain-tests")
    found = counts(module("langchain", "test_suites"))
    assert len(found) == 6
    assert {name: ROWS.get(name) for name in found} == found


def test_haystacks_counts_are_told() -> None:
    pytest.importorskip("haystack", reason="the adapter needs the package haystack-ai")
    found = counts(module("haystack", "test_suites"))
    assert len(found) == 2
    assert {name: ROWS.get(name) for name in found} == found


def test_llamaindexs_count_is_told() -> None:
    pytest.importorskip("llama_index.core", reason="the adapter needs the package llama-index-core")
    assert ROWS["SimpleVectorStore"] == len(module("llamaindex", "test_filters").CASES)
