"""Which pieces share a batch: by key, in order, within the room, urgent first but never for ever."""

from hypothesis import given
from hypothesis import strategies as st

from retr.encoders.batching.line import PATIENCE, Line, Piece


def pieces(*weights: int, key: str = "a", name: str = "") -> list[Piece]:
    return [Piece(f"{name}{place}", weight, None, place, key, 0.0) for place, weight in enumerate(weights)]


def works(taken: list[Piece]) -> list[str]:
    return [piece.work for piece in taken]


def test_pieces_go_in_order_while_they_fit() -> None:
    line = Line()
    line.put(pieces(4, 5, 2, 1), urgent=False)
    assert works(line.take(10)) == ["0", "1"]
    assert works(line.take(10)) == ["2", "3"]
    assert line.take(10) == []
    assert (line.weight, line.pieces) == (0, 0)


def test_a_piece_heavier_than_a_batch_goes_alone() -> None:
    line = Line()
    line.put(pieces(3, 50, 3), urgent=False)
    assert [works(line.take(10)) for _ in range(3)] == [["0"], ["1"], ["2"]]


def test_pieces_of_another_key_wait_for_their_turn() -> None:
    line = Line()
    line.put(pieces(1, name="x"), urgent=False)
    line.put(pieces(1, key="b", name="y"), urgent=False)
    line.put(pieces(1, name="z"), urgent=False)
    assert works(line.take(10)) == ["x0", "z0"]
    assert works(line.take(10)) == ["y0"]


def test_urgent_pieces_go_first_and_bulk_fills_what_is_left() -> None:
    line = Line()
    line.put(pieces(3, 3, 3, name="bulk"), urgent=False)
    line.put(pieces(2, name="urgent"), urgent=True)
    assert works(line.take(6)) == ["urgent0", "bulk0"]


def test_bulk_work_is_passed_over_only_so_often() -> None:
    line = Line()
    line.put(pieces(1, name="bulk"), urgent=False)
    line.put(pieces(*[5] * 9, name="urgent"), urgent=True)
    taken = [works(line.take(5)) for _ in range(PATIENCE + 2)]
    assert taken[:PATIENCE] == [[f"urgent{place}"] for place in range(PATIENCE)]
    assert taken[PATIENCE] == ["bulk0"]
    assert taken[PATIENCE + 1] == [f"urgent{PATIENCE}"]


@given(
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from("ab"), st.booleans()), max_size=30),
    st.integers(1, 40),
)
def test_every_piece_goes_once_and_no_batch_mixes_keys_or_overflows(
    given_pieces: list[tuple[int, str, bool]], room: int
) -> None:
    line = Line()
    for number, (weight, key, urgent) in enumerate(given_pieces):
        line.put(pieces(weight, key=key, name=f"{number}/"), urgent=urgent)
    seen: list[str] = []
    while batch := line.take(room):
        assert len({piece.key for piece in batch}) == 1
        assert len(batch) == 1 or sum(piece.weight for piece in batch) <= room
        seen += works(batch)
    assert sorted(seen) == sorted(f"{number}/0" for number in range(len(given_pieces)))
    assert (line.weight, line.pieces) == (0, 0)
