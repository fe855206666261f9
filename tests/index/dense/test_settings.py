"""What the dense settings take and refuse."""

from typing import Any

import pytest

from retr.index.dense.settings import DenseSettings
from retr.retrieval.errors import BadInput, NotFound


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "ivfpq"}, "No dense index kind named 'ivfpq'. Did you mean 'ivf-pq'"),
        ({"storage": "float"}, "No vector storage named 'float'"),
    ],
)
def test_unknown_names_are_refused_with_the_near_one(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(NotFound, match=message):
        DenseSettings(**wrong)


@pytest.mark.parametrize("name", ["dim", "refine", "nprobe", "ef"])
@pytest.mark.parametrize("value", [0, -3, 1.5, True, "7"])
def test_counts_must_be_whole_and_positive(name: str, value: Any) -> None:
    with pytest.raises(BadInput, match=f"{name} must be a whole number of at least 1"):
        DenseSettings(**{name: value})


@pytest.mark.parametrize("value", [0, 1.01, -1, float("nan"), "high"])
def test_recall_must_be_a_share(value: Any) -> None:
    with pytest.raises(BadInput, match="recall must be above 0 and at most 1"):
        DenseSettings(recall=value)


def test_everything_may_be_left_out() -> None:
    assert DenseSettings() == DenseSettings("auto", "float32", None, 0.99, None, None, None)
