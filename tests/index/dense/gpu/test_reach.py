"""How many candidates and lists a device is asked for."""

import pytest

from retr.index.dense.calibration import Calibration
from retr.index.dense.gpu.reach import MOST_CANDIDATES, MOST_OF_GRAPH, SLACK, Reach
from retr.index.dense.kinds import Effort

CALIBRATION = Calibration(Effort(160, 8), Effort(800, 32))
LISTS = Reach(lists=100, calibration=CALIBRATION)
CODES = Reach(exact=False, lists=100, calibration=CALIBRATION)


@pytest.mark.parametrize(
    ("reach", "effort"),
    [(Reach(), Effort(26, 0)), (Reach.graph(), Effort(96, 0)), (LISTS, Effort(26, 8)), (CODES, Effort(160, 8))],
)
def test_without_a_filter_the_calibration_is_followed(reach: Reach, effort: Effort) -> None:
    assert reach.first(10, 10_000, 10_000) == effort


def test_a_filter_asks_for_as_many_more_as_its_share() -> None:
    assert Reach().first(10, 10_000, 1_000) == Effort(390, 0)  # 1.5 x 26 / 0.1
    # Lists as on the CPU: those for 4 x 10 / 0.1 = 400 hits, by the power law through (10, 8) and (100, 32).
    assert LISTS.first(10, 10_000, 1_000) == Effort(390, 74)


def test_what_faiss_cannot_give_at_once_is_left_to_the_cpu() -> None:
    assert Reach().first(10, 10_000, 100) is None
    assert Reach().first(MOST_CANDIDATES, 10_000, 10_000) is None
    assert Reach.graph().first(MOST_OF_GRAPH // 8, 10_000, 10_000) is None
    many = Reach(lists=9_000, calibration=Calibration(Effort(100, 3_000), Effort(100, 3_000)))
    assert many.first(10, 10**6, 10**6) is None


def test_an_exact_search_takes_every_list_and_no_codes() -> None:
    assert LISTS.first(10, 10_000, 10_000, exact=True) == Effort(26, 100)
    assert Reach().first(10, 10_000, 10_000, exact=True) == Effort(26, 0)
    assert CODES.first(10, 10_000, 10_000, exact=True) is None
    assert Reach.graph().first(10, 10_000, 10_000, exact=True) is None


def test_rows_to_spare_are_wanted_where_the_answer_is_exact() -> None:
    assert Reach().enough(10, 500) == 10 + SLACK
    assert LISTS.enough(10, 500) == 10
    assert LISTS.enough(10, 500, exact=True) == 10 + SLACK
    assert Reach().enough(10, 12) == 12


def test_trying_wider_ends() -> None:
    efforts = [Effort(26, 8)]
    while (wider := LISTS.wider(efforts[-1], 1_500)) is not None:
        efforts.append(wider)
    assert efforts == [Effort(26, 8), Effort(104, 32), Effort(416, 100), Effort(1_500, 100)]
    assert Reach().wider(Effort(2_048, 0), 10**6) is None
