"""Which plan is chosen, for any part, any filter and any k."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retr.index.dense.calibration import Calibration
from retr.index.dense.kinds import FAMILIES, Effort
from retr.index.dense.planning import Plan, Planner

EFFORTS = st.builds(Effort, st.integers(1, 5_000), st.integers(1, 2_000))
PLANNERS = st.builds(
    Planner,
    st.sampled_from(sorted(FAMILIES)),
    st.integers(1, 2_000_000),
    st.integers(1, 5_000),
    st.builds(Calibration, EFFORTS, EFFORTS),
)


def pq(rows: int = 100_000) -> Planner:
    return Planner("pq", rows, 1, Calibration(Effort(160, 1), Effort(800, 1)))


@given(PLANNERS, st.integers(1, 3_000_000), st.floats(0, 1))
def test_an_approximate_plan_can_give_every_hit_asked_for(planner: Planner, k: int, share: float) -> None:
    matching = int(share * planner.rows)
    plan = planner.plan(k, matching)
    if plan.effort is None:
        return
    assert k <= plan.effort.candidates <= planner.rows
    assert planner.price(plan.effort) < matching
    assert 1 <= plan.effort.width <= (planner.rows if FAMILIES[planner.kind].graph else planner.lists)


@given(PLANNERS, st.integers(1, 1_000), st.floats(0.01, 1))
def test_widening_ends_in_an_exact_scan(planner: Planner, k: int, share: float) -> None:
    plan = planner.plan(k, int(share * planner.rows))
    for _ in range(20):
        if plan.effort is None:
            break
        plan = planner.wider(plan)
    assert plan.effort is None


@given(PLANNERS, st.integers(1, 1_000), st.integers(0, 2_000_000))
def test_an_exact_search_has_an_exact_plan(planner: Planner, k: int, matching: int) -> None:
    assert planner.plan(k, min(matching, planner.rows), exact=True).effort is None


def test_a_part_without_an_index_is_scanned() -> None:
    assert Planner("flat", 10**6).plan(10, 10**6).name == "exact scan"


def test_few_rows_that_match_are_scanned() -> None:
    assert pq().plan(10, 1_000).name == "exact scan of the rows that match"
    assert pq().plan(10, 50_000).effort is not None


def test_a_graph_gives_up_on_a_filter_before_codes_do() -> None:
    graph = Planner("hnsw", 100_000, 1, Calibration(Effort(96, 96), Effort(200, 200)))
    assert graph.plan(10, 100_000).effort == Effort(96, 96)
    assert graph.plan(10, 20_000).effort is None
    assert pq().plan(10, 20_000).effort is not None


def test_more_hits_than_rows_match_is_a_scan() -> None:
    assert pq().plan(50_001, 50_001).why == "50001 hits are asked for and 50001 rows match"


@pytest.mark.parametrize(
    ("plan", "name"),
    [
        (Plan("pq", 9, 9, "", Effort(160, 1)), "pq, 160 candidates scored exactly"),
        (Plan("ivf-pq", 9, 9, "", Effort(160, 24)), "ivf-pq, nprobe 24, 160 candidates scored exactly"),
        (Plan("hnsw", 9, 9, "", Effort(64, 64)), "hnsw, ef 64, 64 candidates scored exactly"),
        (Plan("hnsw", 9, 8, ""), "exact scan of the rows that match"),
    ],
)
def test_a_plan_says_what_it_does(plan: Plan, name: str) -> None:
    assert plan.explain()["plan"] == name
