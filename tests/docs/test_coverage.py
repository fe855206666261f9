"""Every command, option-taking kind and extra is in the guides; links of the guides lead somewhere."""

import re
from pathlib import Path

import pytest

from retr.cli import COMMANDS
from retr.encoders import ENCODERS, SCORERS

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
    if path.exists()
]
GUIDES = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "CONTRIBUTING.md")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_guides(name: str) -> None:
    assert f"retr {name}" in GUIDES


@pytest.mark.parametrize("kind", ENCODERS)
def test_every_kind_of_encoder_is_in_the_guides(kind: str) -> None:
    assert re.search(rf"`{kind}`|--encoder {kind}=", GUIDES)


@pytest.mark.parametrize("kind", SCORERS)
def test_every_kind_of_scorer_is_in_the_guides(kind: str) -> None:
    assert re.search(rf"`{kind}`|--rerank {kind}=", GUIDES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    gone = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert gone == []


def test_every_guide_is_in_the_index_of_guides() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index


def test_every_command_a_guide_runs_exists() -> None:
    told = set(re.findall(r"^\$ retr ([a-z]+)", GUIDES, re.MULTILINE))
    assert told <= set(COMMANDS)


def test_the_make_targets_told_of_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    told = {name for page in PAGES for name in re.findall(r"`make ([a-z]+)`", page.read_text(encoding="utf-8"))}
    assert told
    assert told <= targets
