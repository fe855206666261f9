"""A text's paragraphs, sections and sentences: worked by hand."""

import pytest

pytest.importorskip("sentencex")

from retr.distill.pairs.prose import as_query, pieces_of

MARKDOWN = """# Foxes

A fox runs. Dr. Vixen watches it, e.g. at night.

Foxes dig
dens in the ground.

## Food

- They eat mice.
- They eat plums.

```python
eat(mice)

eat(plums)
```

| food | share |
|---|---|
| mice | 0.9 |
"""


def test_sentences_sections_and_paragraphs_of_markdown() -> None:
    found = [
        (piece.text.strip(), piece.kind, piece.paragraph, piece.section) for piece in pieces_of(MARKDOWN, language="en")
    ]
    assert found == [
        ("# Foxes", "heading", 0, 0),
        ("A fox runs.", "prose", 0, 0),
        ("Dr. Vixen watches it, e.g. at night.", "prose", 0, 0),
        ("Foxes dig\ndens in the ground.", "prose", 1, 0),
        ("## Food", "heading", 2, 1),
        ("- They eat mice.", "prose", 2, 1),
        ("- They eat plums.", "prose", 2, 1),
        ("```python\neat(mice)\n\neat(plums)\n```", "other", 3, 1),
        ("| food | share |\n|---|---|\n| mice | 0.9 |", "other", 4, 1),
    ]


@pytest.mark.parametrize(
    "text",
    [
        MARKDOWN,
        "",
        "\n\n",
        "one",
        "a\n\n\n\nb\n",
        "```\nnever closed\n\nstill code",
        "# h\n# h2\ntext\n\n~~~\nx\n~~~\ny",
        "A.  B.\r\n\r\nC",
    ],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_pieces_stand_where_they_say_and_leave_out_nothing_but_blank(text: str, wrapped: bool) -> None:
    found = pieces_of(text, language="en", wrapped=wrapped)
    assert all(text[piece.start : piece.start + len(piece.text)] == piece.text for piece in found)
    assert "".join(piece.text for piece in found).split() == text.split()
    assert [piece.start for piece in found] == sorted({piece.start for piece in found})


def test_an_underlined_line_and_a_lone_short_line_are_headings() -> None:
    kinds = [piece.kind for piece in pieces_of("Foxes\n=====\n\nA fox runs.\n\nThe food\n\nMice.", language="en")]
    assert kinds == ["heading", "prose", "heading", "prose"]


def test_each_line_ends_a_sentence_where_lines_are_not_wrapped() -> None:
    text = "Red fish\nBlue fish and more."
    assert len(pieces_of(text, language="en")) == 1
    assert [piece.text for piece in pieces_of(text, language="en", wrapped=False)] == [
        "Red fish\n",
        "Blue fish and more.",
    ]


def test_a_question_is_one_line_without_the_mark_of_its_list() -> None:
    assert as_query("  - They eat\n  * mice*. ") == "They eat * mice*."
    assert as_query("> 12. One * two") == "12. One * two"
