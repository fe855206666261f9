"""Packing: sizes, balance, seams and overlap, by hand and against every way to cut."""

import re
from itertools import combinations, pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retr.retrieval.packing import Piece, pack
from retr.retrieval.seams import HEADING_SEAM, INNER_SEAM, SENTENCE_SEAM, seam_cost


def pieces_of(text: str, pattern: str = r"\S+") -> list[Piece]:
    """The stretches that match, sized in words; each word by itself if nothing is said."""
    return [Piece(*found.span(), len(found[0].split())) for found in re.finditer(pattern, text)]


def words(*sizes: int, after: str = " ") -> tuple[str, list[Piece]]:
    """Pieces of so many words, `after` between them."""
    parts = [" ".join(["w"] * size) for size in sizes]
    text = after.join(parts)
    starts = [sum(len(part) + len(after) for part in parts[:number]) for number in range(len(parts))]
    return text, [Piece(start, start + len(part), size) for start, part, size in zip(starts, parts, sizes, strict=True)]


def packed(text: str, pieces: list[Piece], capacity: int, overlap: int = 0) -> list[int]:
    return [len(text[start:end].split()) for start, end in pack(text, pieces, capacity, overlap)]


@pytest.mark.parametrize(
    ("sizes", "capacity", "expected"),
    [
        ([], 8, []),
        ([3], 8, [3]),
        ([4, 4], 8, [8]),
        ([5, 3], 7, [5, 3]),
        ([1] * 9, 8, [5, 4]),  # greedy would leave 8 and 1
        ([1] * 24, 8, [8, 8, 8]),
        ([5, 5, 5], 8, [5, 5, 5]),
        ([1] * 17, 8, [6, 6, 5]),
    ],
)
def test_passages_are_full_or_of_one_size(sizes: list[int], capacity: int, expected: list[int]) -> None:
    assert sorted(packed(*words(*sizes), capacity), reverse=True) == expected


def test_a_piece_larger_than_a_passage_stands_alone() -> None:
    assert packed(*words(2, 20, 3), 8) == [2, 20, 3]
    assert packed(*words(2, 20, 3), 8, overlap=2) == [2, 20, 3]
    assert packed(*words(20), 8) == [20]


def test_pieces_without_tokens_are_kept() -> None:
    pieces = [Piece(2 * number, 2 * number + 1, 0) for number in range(20)]
    spans = pack("x " * 20, pieces, 8, 0)
    assert (spans[0][0], spans[-1][1]) == (0, 39)
    assert len(spans) == 3


def test_a_paragraph_ends_a_passage_before_a_sentence_does() -> None:
    # Balanced is 12 and 12. An end one word later costs 2 · (1/12)² = 0.014, less than the 0.02 of a sentence's end.
    text = "a b c d e f g h i j k l. m\n\nn o p q r s t u v w x"
    assert packed(text, pieces_of(text), 16) == [13, 11]
    # Two words later it costs 2 · (2/12)² = 0.056.
    text = "a b c d e f g h i j k l. m n\n\no p q r s t u v w x"
    assert packed(text, pieces_of(text), 16) == [12, 12]


def test_a_sentence_ends_a_passage_before_the_middle_of_one_does() -> None:
    # Balanced is 5 and 5. An end after 2 words costs 2 · (3/5)² + 0.02 = 0.74, within a sentence 1.
    text = "a b. c d e f g h i j"
    assert packed(text, pieces_of(text), 9) == [2, 8]
    # After 1 word it would be 2 · (4/5)² + 0.02 = 1.3.
    text = "a. b c d e f g h i j"
    assert packed(text, pieces_of(text), 9) == [5, 5]


def test_no_passage_ends_with_a_heading() -> None:
    text = "a b c d e.\n\n# f\n\ng h i j k l."
    pieces = pieces_of(text, "a.*|#.*|g.*")
    assert [text[start:end] for start, end in pack(text, pieces, 10, 0)] == ["a b c d e.", "# f\n\ng h i j k l."]


def test_whole_pieces_overlap_as_far_as_asked_and_as_there_is_room() -> None:
    text, pieces = words(2, 2, 2, 2, 2, 2, 2)
    assert sorted(packed(text, pieces, 7)) == [4, 4, 6]
    # 14 words in passages of 6, with 2 of them repeated: 6 and then 4 new ones each.
    assert [(start // 2, (end + 1) // 2) for start, end in pack(text, pieces, 6, 2)] == [(0, 6), (4, 10), (8, 14)]
    # A piece of 2 is no overlap of 1.
    assert [(start // 2, (end + 1) // 2) for start, end in pack(text, pieces, 6, 1)] == [(0, 6), (6, 10), (10, 14)]


def test_a_passage_after_a_sentence_may_use_the_overlaps_room() -> None:
    # With 2 repeated, 5 new words fit; the sentence has 7.
    text = "a b c d e f g. h i j k l m n."
    assert [text[start:end] for start, end in pack(text, pieces_of(text), 7, 2)] == ["a b c d e f g.", "h i j k l m n."]


def test_a_passage_never_repeats_the_whole_one_before() -> None:
    text = "# a\n\nb c d e f g h i."
    spans = pack(text, pieces_of(text, "# a|b.*"), 9, 4)
    assert [text[start:end] for start, end in spans] == ["# a", "b c d e f g h i."]


def test_an_overlap_is_half_a_passage_at_most() -> None:
    text, pieces = words(*[1] * 40)
    assert pack(text, pieces, 8, 1000) == pack(text, pieces, 8, 4)
    for (_, end), (start, _) in pairwise(pack(text, pieces, 8, 4)):
        assert len(text[start:end].split()) == 4


@given(total=st.integers(1, 400), capacity=st.integers(4, 40), overlap=st.integers(0, 20))
def test_a_text_without_seams_needs_the_fewest_passages(total: int, capacity: int, overlap: int) -> None:
    sizes = packed(*words(*[1] * total), capacity, overlap)
    overlap = min(overlap, capacity // 2)
    fewest = max(1, ceil((total - overlap) / (capacity - overlap)))
    assert len(sizes) == fewest
    assert max(sizes) <= capacity
    assert sum(sizes) == total + (fewest - 1) * overlap
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("total", range(41, 400, 7))
def test_passages_without_overlap_differ_by_a_piece_at_most(total: int) -> None:
    sizes = packed(*words(*[1] * total), 40)
    assert len(sizes) == ceil(total / 40)
    assert max(sizes) - min(sizes) <= 1


PARTS = st.sampled_from(["a", "b c", "d.", "e f g.", "# h", "i\n\n", "j k.\n\n", "# l\n\n", "m n o\n"])


def brute_force(text: str, pieces: list[Piece], capacity: int, wished: float) -> float:
    """The least cost over all sets of cuts that keep passages of several pieces within the capacity."""
    best = float("inf")
    for count in range(len(pieces)):
        for chosen in combinations(range(1, len(pieces)), count):
            cost = 0.0
            for first, after in pairwise([0, *chosen, len(pieces)]):
                size = sum(max(piece.size, 1) for piece in pieces[first:after])
                if size > capacity and after - first > 1:
                    break
                cost += ((size - wished) / wished) ** 2
                cost += seam_cost(text, pieces[after - 1].end, pieces[after].start) if after < len(pieces) else 0
            else:
                best = min(best, cost)
    return best


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(PARTS, min_size=1, max_size=9), capacity=st.integers(2, 9))
def test_no_other_way_to_cut_costs_less(parts: list[str], capacity: int) -> None:
    text = " ".join(parts)
    pieces = pieces_of(text, "|".join(re.escape(part.strip()) for part in dict.fromkeys(parts)))
    total = sum(piece.size for piece in pieces)
    wished = total / ceil(total / capacity)

    spans = pack(text, pieces, capacity, 0)

    if total <= capacity:
        assert len(spans) == 1
        return
    cost = 0.0
    ends = {piece.end: number for number, piece in enumerate(pieces)}
    for start, end in spans:
        cost += ((len(text[start:end].split()) - wished) / wished) ** 2
        if ends[end] + 1 < len(pieces):
            cost += seam_cost(text, end, pieces[ends[end] + 1].start)
    assert cost == pytest.approx(brute_force(text, pieces, capacity, wished), abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    capacity=st.integers(1, 20),
    overlap=st.integers(0, 30),
)
def test_every_piece_is_in_a_passage_and_every_passage_fits(sizes: list[int], capacity: int, overlap: int) -> None:
    pieces = [Piece(2 * number, 2 * number + 1, size) for number, size in enumerate(sizes)]
    spans = pack("x " * len(sizes), pieces, capacity, overlap)
    held = [range(start // 2, end // 2 + 1) for start, end in spans]
    assert {number for numbers in held for number in numbers} == set(range(len(sizes)))
    for numbers in held:
        assert sum(sizes[number] for number in numbers) <= capacity or len(numbers) == 1
    for before, after in pairwise(held):
        assert before.start < after.start and before.stop < after.stop
        assert sum(sizes[number] for number in set(before) & set(after)) <= min(overlap, capacity // 2)


def test_the_costs_are_what_their_description_says() -> None:
    assert pytest.approx(2 * 0.10**2) == SENTENCE_SEAM
    assert pytest.approx(INNER_SEAM - SENTENCE_SEAM, abs=1e-3) == 2 * 0.70**2
    assert INNER_SEAM < HEADING_SEAM
