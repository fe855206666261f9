"""Seams: where a text lets itself be cut, and where not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retr.retrieval.seams import (
    BLOCK_CHARACTERS,
    HEADING_SEAM,
    INNER_SEAM,
    SENTENCE_SEAM,
    before_headings,
    blocks,
    seam_cost,
)

LONG = "This line goes on for so long that nobody would take it for a heading of what comes after it, for it is a text"


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("One sentence. | Another.", SENTENCE_SEAM),
        ("Is it? | Yes", SENTENCE_SEAM),
        ('He said "no." | Then', SENTENCE_SEAM),
        ("(So it was.) | Then", SENTENCE_SEAM),
        ("終わり。|次", SENTENCE_SEAM),
        ("one line\n|Another line", SENTENCE_SEAM),
        ("| a | b |\n|| c | d |", SENTENCE_SEAM),
        ("in the middle | of it", INNER_SEAM),
        ("a wrapped\n|line goes on", INNER_SEAM),
        ('the "word" | is', INNER_SEAM),
        ("to come: | this", INNER_SEAM),
        ("A paragraph.\n\n|Another.", 0.0),
        ("A paragraph.\r\n\r\n|Another.", 0.0),
        (f"{LONG}\n\n|Another.", 0.0),
        ("first line\nsecond line\n\n|Another.", 0.0),
        ("# Heading\n\n|Text.", HEADING_SEAM),
        ("Text.\n\n  ### Heading\n|Text.", HEADING_SEAM),
        ("Heading\n=======\n\n|Text.", HEADING_SEAM),
        ("Heading\n|=======\n\nText.", HEADING_SEAM),
        ("Text.\n\nThe heading\n\n|A sentence after it.", HEADING_SEAM),
        (f"The heading\n\n|{LONG}", HEADING_SEAM),
        ("The heading\n\n|a paragraph of\nmore lines", HEADING_SEAM),
        ("| name | age |\n|---|---|\n|| Bo | 7 |", HEADING_SEAM),
        ("Run:\n\n```python\n|x = 1", HEADING_SEAM),
        ("#hashtag\n\n|Text.", HEADING_SEAM),  # as a short line, not as a marked one
        ("Text.\n\n-----\n\n|Text.", 0.0),
        ("- a point\n\n|A sentence after it.", 0.0),
        ("42\n\n|A sentence after it.", 0.0),
        ("One name\n\n|Another name\n\nA third name", 0.0),
        ("One name\n\n|# Heading", 0.0),
        ("The last line\n\n|The end", 0.0),
    ],
)
def test_what_an_end_costs(text: str, cost: float) -> None:
    before, _, after = text.partition("|") if not text.startswith("|") else _table(text)
    assert seam_cost(before + after, len(before.rstrip()), len(before)) == cost


def _table(text: str) -> tuple[str, str, str]:
    """Tables hold the mark themselves: there it stands doubled."""
    before, _, after = text.partition("\n||")
    return before + "\n", "", "|" + after


def test_headings_become_spans_of_their_own() -> None:
    text = "Text.\n\n# One\n\n## Two\n\nMore text."
    more = text.index("More")
    parts = before_headings(text, [(0, more - 2), (more, len(text))])
    assert [text[start:end] for start, end in parts] == ["Text.", "# One\n\n## Two", "More text."]


def test_a_span_that_is_all_heading_stays_one() -> None:
    text = "# One\n\n## Two\n\nText."
    spans = [(0, text.index("Text") - 2), (text.index("Text"), len(text))]
    assert before_headings(text, spans) == spans


def test_a_long_text_is_cut_into_blocks_at_its_best_seam() -> None:
    half = "x" * (BLOCK_CHARACTERS - 2000)
    for seam in ("\n\n", "\n", ". ", "。", " "):
        assert blocks(half + seam + half)[0] == (0, len(half) + len(seam))
    mixed = half + "\n\n" + "y" * 500 + "\n" + "z z" * 5000
    assert blocks(mixed)[0][1] == len(half) + 2
    assert blocks("x" * 25_000) == [(0, 10_000), (10_000, 20_000), (20_000, 25_000)]
    assert blocks("short") == [(0, 5)]


@given(parts=st.lists(st.sampled_from(["a" * 3000, " ", "\n", "\n\n", ". ", "。", "b" * 4999]), max_size=20))
def test_blocks_cover_the_text(parts: list[str]) -> None:
    text = "".join(parts)
    assert "".join(text[start:end] for start, end in blocks(text)) == text
    assert all(end - start <= BLOCK_CHARACTERS for start, end in blocks(text))
