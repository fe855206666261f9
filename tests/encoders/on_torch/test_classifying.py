"""Classifiers over pairs of any length end to end give the logits of each pair alone; others are found out."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.on_torch.batches import all_logits  # noqa: E402
from retr.encoders.on_torch.compute import Compute  # noqa: E402
from retr.encoders.on_torch.network import network_of  # noqa: E402

LENGTHS = (30, 12, 12, 4, 2, 30)
TASK = "ForSequenceClassification"
BY_FIRST_TOKEN = {"bert": True, "roberta": False, "electra": True, "distilbert": False, "modernbert": False}
"""Family, and whether it knows a second segment."""

OTHERWISE = {"modernbert": {"classifier_pooling": "mean"}, "qwen2": {"pad_token_id": 0}, "mpnet": {}}


def pairs() -> tuple[list[Any], list[Any]]:
    """Token numbers and segments; the second half of each is the second text."""
    rng = np.random.default_rng(0)
    return [rng.integers(5, 99, n) for n in LENGTHS], [np.repeat([0, 1], [n - n // 2, n // 2]) for n in LENGTHS]


def check(model: Any, *, packs: bool, two_segments: bool = False) -> None:
    ids, segments = pairs()
    given = [{"input_ids": torch.from_numpy(one)[None]} for one in ids]
    for one, kinds in zip(given, segments, strict=True):
        one |= {"token_type_ids": torch.from_numpy(kinds)[None]} if two_segments else {}
    with torch.inference_mode():
        expected = torch.cat([model(**one).logits for one in given]).numpy()
    network = network_of(model, Compute().place(), classifier=True)
    assert network.packs == packs
    found = all_logits(network, ids, segments if two_segments else [np.zeros_like(one) for one in ids])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize("family", BY_FIRST_TOKEN)
def test_pairs_of_any_length_share_a_row(make_transformer: Any, family: str) -> None:
    check(make_transformer(family, TASK, num_labels=1), packs=True, two_segments=BY_FIRST_TOKEN[family])


@pytest.mark.parametrize("family", OTHERWISE)
def test_a_classifier_that_looks_elsewhere_is_found_out(make_transformer: Any, family: str) -> None:
    check(make_transformer(family, TASK, num_labels=1, **OTHERWISE[family]), packs=False)


def test_no_pairs_have_no_logits(make_transformer: Any) -> None:
    network = network_of(make_transformer("bert", TASK, num_labels=1), Compute().place(), classifier=True)
    assert all_logits(network, [], []).shape == (0, 1)
