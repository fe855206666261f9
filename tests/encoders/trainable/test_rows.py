"""Passes of padded rows."""

import pytest

torch = pytest.importorskip("torch")

from retr.encoders.trainable.rows import in_passes, padded, passes  # noqa: E402


def test_rows_are_filled_up_at_their_end() -> None:
    assert padded([[1, 2], [3]], 9).tolist() == [[1, 2], [3, 9]]
    assert padded([]).shape == (0, 0)


def test_passes_hold_no_more_than_their_budget_with_padding() -> None:
    assert passes([1, 5, 2, 4, 30], 10) == [[4], [1, 3], [2, 0]]


def test_answers_come_back_in_the_order_of_the_rows() -> None:
    lengths = [3, 1, 7, 2, 5]
    found = in_passes(lengths, torch.device("cpu"), lambda rows: torch.tensor([[row * 10.0] for row in rows]), 8)
    assert found[:, 0].tolist() == [0.0, 10.0, 20.0, 30.0, 40.0]
