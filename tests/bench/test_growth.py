"""The curve of bench/growth.py: a power law is found again, what is off it is said, too few points have none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    yield


def test_a_power_law_is_found_again() -> None:
    from growth import fitted

    curve = fitted([(size, 0.25 * size**0.5) for size in (100, 1_000, 10_000)])
    assert curve is not None
    assert (curve.a, curve.b, curve.off) == pytest.approx((0.25, 0.5, 1.0))
    assert curve.at(1_000_000) == pytest.approx(250)


def test_what_is_off_the_curve_is_said() -> None:
    from growth import fitted

    curve = fitted([(1, 1.0), (10, 20.0), (100, 100.0)])
    assert curve is not None
    # The logarithms to base 10 are 0, 1.3010, 2: the line through them is 0.1003 + x, and 10 ** 0.2007 is 1.587.
    assert (curve.b, curve.off) == pytest.approx((1.0, 1.5874), abs=1e-3)


def test_a_fixed_cost_and_one_a_row_are_told_apart() -> None:
    from growth import fitted

    curve = fitted([(size, 0.1 + 0.002 * size) for size in (10, 100, 1_000)])
    assert curve is not None
    assert (curve.floor, curve.a, curve.b, curve.off) == pytest.approx((0.1, 0.002, 1.0, 1.0))
    assert str(curve) == "0.1 + 0.002 · n"


def test_two_points_and_what_was_not_measured_have_no_curve() -> None:
    from growth import fitted

    assert fitted([(1, 1.0), (10, 2.0)]) is None
    assert fitted([(1, 1.0), (10, None), (100, 2.0)]) is None


def test_a_note_becomes_a_row_and_costs_become_curves() -> None:
    from growth import COSTS, RECALL, tables

    def note(size: int) -> dict[str, object]:
        asked = {"recall": 0.96, "cpu_ms": size / 1e6, "wall_ms": size / 1e6, "setting": {}, "width": 100}
        search = {"sweep": [asked], "filtered": [asked], "memory": {"VmRSS": 100.0}}
        build = {"cpu": size / 1e4, "wall": size / 1e4, "peak_mib": 300.0, "disk_mib": size / 1e3}
        return {"system": "retr", "size": size, "builds": [build], "openings": [], "searches": [search]}

    measured, curves = tables([note(size) for size in (10_000, 100_000, 1_000_000)])
    assert len(measured.rows) == 3 and len(measured.columns) == 2 + len(COSTS)
    assert measured.rows[2][:4] == ["retr", "1,000,000", "100.0", "100.0"]
    told = {row[0]: row[1:] for row in curves.rows}
    assert told["retr: disk MiB"] == ["0.001 · n^1.00", "× 1.00", "10,000.0"]
    assert f"retr: {RECALL}" not in told and "retr: 10% pass, CPU ms" not in told
