"""Masks of rows against drawings made by hand."""

import pytest

pytest.importorskip("torch")

import torch

from retr.encoders.trainable.masks import PADDING, Mask, Positions, additive, allowed, lay_out
from retr.retrieval.errors import BadInput

DRAWN: dict[Mask, list[str]] = {
    "diagonal": ["##....", "##....", "..#...", "...##.", "...##.", ".....#"],
    "light_arrow": ["##....", "##....", "..#...", "...##.", "...##.", ".....#"],
    "square": ["#####.", "#####.", "#####.", "#####.", "#####.", ".....#"],
    "arrow": ["#####.", "#####.", "###...", "##.##.", "##.##.", ".....#"],
    "one_way": ["##....", "##....", "###...", "##.##.", "##.##.", ".....#"],
}
"""A context of two tokens, candidates of one and two, and one token of filling."""


@pytest.mark.parametrize("mask", DRAWN)
def test_a_mask_is_as_drawn(mask: Mask) -> None:
    blocks = torch.tensor([[0, 0, 1, 2, 2, PADDING]])
    found = ["".join("#" if seen else "." for seen in row) for row in allowed(blocks, mask)[0].tolist()]
    assert found == DRAWN[mask]


def test_one_candidate_makes_arrow_a_cross_encoder_and_one_way_not() -> None:
    blocks = torch.tensor([[0, 0, 1, 1]])
    assert torch.equal(allowed(blocks, "arrow"), allowed(blocks, "square"))
    assert not torch.equal(allowed(blocks, "one_way"), allowed(blocks, "square"))


@pytest.mark.parametrize(
    ("positions", "expected"),
    [("shared", [0, 1, 2, 3, 3, 4, 3]), ("unique", [0, 1, 2, 3, 4, 5, 6]), ("own", [0, 1, 2, 0, 0, 1, 0])],
)
def test_positions_of_candidates(positions: Positions, expected: list[int]) -> None:
    layout = lay_out([[3, 1, 2, 1]], "arrow", positions=positions)
    assert layout.positions.tolist() == [expected]


def test_rows_of_different_shape_share_a_layout() -> None:
    layout = lay_out([[2, 1], [1, 1, 2]], "one_way")
    assert layout.blocks.tolist() == [[0, 0, 1, PADDING], [0, 1, 2, 2]]
    assert layout.segments.tolist() == [[0, 0, 1, 0], [0, 1, 1, 1]]
    assert layout.mask.shape == (2, 1, 4, 4)


def test_the_mask_is_nothing_or_the_least_number() -> None:
    layout = lay_out([[1, 1]], "diagonal", dtype=torch.float16)
    assert layout.mask.dtype == torch.float16
    assert layout.mask[0, 0].tolist() == [[0, torch.finfo(torch.float16).min], [torch.finfo(torch.float16).min, 0]]


def test_a_filled_row_has_no_empty_softmax() -> None:
    mask = additive(allowed(torch.full((1, 3), PADDING), "arrow"))
    assert torch.equal(mask.softmax(-1)[0], torch.eye(3))


def test_nothing_to_lay_out_is_an_empty_layout() -> None:
    assert lay_out([], "arrow").mask.shape == (0, 1, 0, 0)


def test_an_unknown_mask_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="one_way"):
        allowed(torch.zeros(1, 1, dtype=torch.int64), "oneway")  # type: ignore[arg-type]
