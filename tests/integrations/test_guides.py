"""The examples of the guides for the frameworks run, each in an empty folder of its own."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "integrations.md"
BLOCKS = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
PACKAGES = {"langchain": "langchain_core", "llamaindex": "llama_index.core", "haystack": "haystack"}
ANSWERS = {"langchain": "id='cat'", "llamaindex": "fox", "haystack": "cat"}


def test_each_framework_has_its_example() -> None:
    assert len(BLOCKS) == len(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_an_example_gives_its_answer(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(PACKAGES[name], reason=f"the example needs {PACKAGES[name]}")
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    monkeypatch.chdir(tmp_path)
    block = next(block for block in BLOCKS if f"retr.integrations.{name}" in block)
    exec(compile(block, name, "exec"), {"__name__": "__main__"})
    assert ANSWERS[name] in capsys.readouterr().out.splitlines()[0]
