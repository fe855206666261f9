"""Document, Passage, Query, Hit, and what an id may be."""

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retr.retrieval.errors import BadInput
from retr.retrieval.records import MAX_ID_BYTES, Document, Hit, Passage, Query, check_id


def test_a_document_needs_only_an_id_and_a_text() -> None:
    document = Document("a", "text")
    assert (document.title, document.metadata, document.source) == ("", {}, {})


def test_two_documents_do_not_share_their_metadata() -> None:
    assert Document("a", "").metadata is not Document("b", "").metadata


@pytest.mark.parametrize("record", [Document("a", "b"), Query("a", "b"), Hit("a", 1.0)])
def test_records_cannot_be_changed(record: object) -> None:
    with pytest.raises(FrozenInstanceError):
        record.id = "other"  # type: ignore[attr-defined]


def test_a_passage_is_cut_by_code_points_not_bytes() -> None:
    document = Document("a", "né🙂 日本 end")
    assert Passage(document, ordinal=0, start=2, end=6).text == "🙂 日本"


@pytest.mark.parametrize("good", ["a", "with space", "日本", "x" * MAX_ID_BYTES, "é" * (MAX_ID_BYTES // 2)])
def test_a_good_id_is_given_back(good: str) -> None:
    assert check_id(good) == good


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("", "empty"),
        (7, "int 7"),
        (None, "NoneType"),
        ("\ud800", "surrogate"),
        ("x" * (MAX_ID_BYTES + 1), "at most 512"),
        ("é" * (MAX_ID_BYTES // 2 + 1), "514 bytes"),
    ],
)
def test_a_bad_id_is_refused_with_its_reason(bad: object, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        check_id(bad)  # type: ignore[arg-type]


def test_the_error_names_what_the_id_belongs_to() -> None:
    with pytest.raises(BadInput, match="A query id is empty"):
        check_id("", "query id")


@given(st.text(min_size=1, max_size=600))
def test_an_id_is_accepted_exactly_when_its_utf8_fits(text: str) -> None:
    try:
        fits = len(text.encode("utf-8")) <= MAX_ID_BYTES
    except UnicodeEncodeError:
        fits = False
    if fits:
        assert check_id(text) == text
    else:
        with pytest.raises(BadInput):
            check_id(text)
