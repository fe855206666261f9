"""Which parts stay in float: as few as will do, for the half that chose and for the half that did not."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from retr.encoders.exporting.choosing import Trial, choose_kept
from retr.encoders.exporting.settings import BOUNDS
from retr.encoders.exporting.texts import choosing_half

TEXTS = 10
HALF = set(choosing_half(TEXTS))
BOUNDS_HERE = replace(BOUNDS["int8"], mean_cosine=0.0, worst_cosine=0.99)


def trial_of(harm: dict[str, tuple[float, float]]) -> Trial:
    """Each unit in int8 takes so much off the cosines of the half that chooses, and so much off those of the other."""
    exact = np.ones(TEXTS, np.float32)

    def outputs(kept: Collection[str], quick: bool) -> list[np.ndarray]:
        lost = [sum(loss[row not in HALF] for unit, loss in harm.items() if unit not in kept) for row in range(TEXTS)]
        return [(exact - lost).astype(np.float32)]

    def compare(found: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
        return {"worst_cosine": float((found * wanted).min())}

    return Trial(list(harm), exact, outputs, compare, lambda figures: 1 - figures["worst_cosine"])


def chosen(harm: dict[str, tuple[float, float]]) -> tuple[str, ...]:
    return choose_kept(trial_of(harm), BOUNDS_HERE, lambda line: None)


def test_nothing_is_kept_where_all_may_be_int8() -> None:
    assert chosen({"a": (0.001, 0.001), "b": (0.002, 0.002)}) == ()


def test_the_most_harmful_are_kept_until_the_choosing_half_has_some_to_spare() -> None:
    assert chosen({"a": (0.004, 0.0), "b": (0.02, 0.0), "c": (0.005, 0.0)}) == ("b", "c")


def test_more_are_kept_where_the_other_half_is_not_within_bounds_yet() -> None:
    harm = {"a": (0.004, 0.012), "b": (0.02, 0.0), "c": (0.003, 0.0)}
    assert chosen(harm) == ("a", "b")
    assert chosen({**harm, "a": (0.004, 0.004)}) == ("b",)


def test_all_are_kept_where_nothing_less_will_do() -> None:
    assert chosen({"a": (0.02, 0.02), "b": (0.02, 0.02)}) == ("a", "b")
