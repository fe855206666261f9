"""A snippet shows the part that answers, on one line, with exactly the matched words marked."""

from hypothesis import given
from hypothesis import strategies as st

from retr.index.lexical.postings import analyzer
from retr.index.lexical.snippets import matched_words, snippet

ENGLISH = analyzer("english")


def test_matched_words_are_marked_in_any_form() -> None:
    assert snippet("Cats sleep. A cat slept.", "the cat", ENGLISH).marked() == "[Cats] sleep. A [cat] slept."


def test_the_window_holds_the_most_different_words() -> None:
    text = "apple " * 60 + "and here an apple meets a pear and a plum. " + "filler " * 60
    shown = snippet(text, "apple pear plum", ENGLISH)
    assert "pear" in shown.text and "plum" in shown.text
    assert shown.text.startswith("… ") and shown.text.endswith(" …")
    assert len(shown.text) < 260


def test_without_a_match_the_text_begins() -> None:
    assert snippet("First words stand here.", "zebra", ENGLISH).text == "First words stand here."


def test_line_breaks_become_spaces() -> None:
    assert snippet("one\ntwo\tthree", "two", ENGLISH).marked() == "one [two] three"


def test_characters_of_unspaced_scripts_are_marked_alone() -> None:
    assert snippet("東京都", "京", ENGLISH).marked() == "東[京]都"


@given(st.text(max_size=600), st.text(max_size=40))
def test_marks_lie_on_matched_words(text: str, query: str) -> None:
    shown = snippet(text, query, ENGLISH, width=50)
    words = {" ".join(text[start:end].split()) for start, end, _ in matched_words(text, query, ENGLISH)}
    for start, end in shown.marks:
        assert " ".join(shown.text[start:end].split()) in words
    assert list(shown.marks) == sorted(shown.marks)
