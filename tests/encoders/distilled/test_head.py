"""The head in two halves is the head in one, over any split of its work; and a folder that is not whole says so."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders.distilled import head as module
from retr.encoders.distilled.head import DseHead, read_head
from retr.encoders.distilled.shape import DseShape, read_shape
from retr.retrieval.errors import BadInput, Damaged, RetrError

DIM = 5


def tensors(outputs: int = 3, hidden: int = 7) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    sizes: dict[str, tuple[int, ...]] = {"first.weight": (hidden, 4 * DIM), "first.bias": (hidden,)}
    sizes |= {"last.weight": (outputs, hidden), "last.bias": (outputs,)}
    return {f"head.{name}": rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}


def made(outputs: int = 3, **told: Any) -> DseHead:
    return read_head(tensors(outputs), DseShape(outputs=outputs, hidden=7, **told), DIM)


def direct(given: dict[str, Any], u: Any, v: Any) -> Any:
    """The head of the paper in float64, with no part of it taken apart."""
    both = np.concatenate([u, v, u * v, np.abs(u - v)], axis=1).astype(np.float64)
    hidden = np.maximum(both @ given["head.first.weight"].T + given["head.first.bias"], 0)
    return hidden @ given["head.last.weight"].T + given["head.last.bias"]


def drawn(rows: int, seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=(rows, DIM)).astype(np.float32)


@pytest.mark.parametrize("at_once", [1, 3, 512])
def test_the_factorised_head_is_the_direct_one(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", at_once)
    u, v, head = drawn(4, 0), drawn(4, 1), made()
    np.testing.assert_allclose(head.pairs(head.left(u), head.right(v)), direct(tensors(), u, v), atol=1e-5)


@pytest.mark.parametrize("at_once", [2, 512])
def test_every_pair_is_every_single_pair(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", at_once)
    u, v, head = drawn(3, 0), drawn(5, 1), made()
    found = head.every(head.left(u), head.right(v))
    assert found.shape == (3, 5, 3)
    for row in range(3):
        np.testing.assert_allclose(found[row], direct(tensors(), np.repeat(u[row : row + 1], 5, 0), v), atol=1e-5)


def test_equal_first_blocks_make_it_symmetric() -> None:
    given = tensors()
    u, v = drawn(4, 0), drawn(4, 1)
    head = made()
    assert np.abs(head.pairs(head.left(u), head.right(v)) - head.pairs(head.left(v), head.right(u))).max() > 0.1
    given["head.first.weight"][:, DIM : 2 * DIM] = given["head.first.weight"][:, :DIM]
    tied = read_head(given, DseShape(outputs=3, hidden=7), DIM)
    there, back = tied.pairs(tied.left(u), tied.right(v)), tied.pairs(tied.left(v), tied.right(u))
    np.testing.assert_allclose(there, back, atol=1e-5)


def test_the_dot_head_ranks_as_the_inner_product() -> None:
    head = read_head(
        {"head.log_scale": np.array([-2.0], np.float32), "head.bias": np.array([0.5], np.float32)},
        DseShape(head="dot"), DIM,
    )  # fmt: skip
    u, v = drawn(1, 0), drawn(6, 1)
    found = head.every(head.left(u), head.right(v))[0, :, 0]
    np.testing.assert_allclose(found, (v @ u[0]) * np.exp(-2) + 0.5, atol=1e-6)
    paired = head.pairs(head.left(np.repeat(u, 6, 0)), head.right(v))
    np.testing.assert_allclose(paired[:, 0], found, atol=1e-6)


def test_no_pairs_give_no_numbers() -> None:
    head, none = made(), np.empty((0, DIM), np.float32)
    assert head.pairs(head.left(none), head.right(none)).shape == (0, 3)
    assert head.every(head.left(drawn(2, 0)), head.right(none)).shape == (2, 0, 3)


def test_a_head_that_does_not_fit_is_damaged() -> None:
    with pytest.raises(Damaged, match="lacks the tensor"):
        read_head({}, DseShape(), DIM)
    with pytest.raises(Damaged, match="vectors of 6"):
        read_head(tensors(), DseShape(outputs=3, hidden=7), 6)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"head": "sum"}, "'concat'"),
        ({"layers": 0}, "layers is 0"),
        ({"hidden": -1}, "hidden is -1"),
        ({"head": "dot", "outputs": 3}, "one number a pair"),
        ({"pooling": "cls"}, "'mean'"),
    ],
)
def test_a_folder_of_a_shape_that_cannot_be_says_so(told: dict[str, Any], words: str, tmp_path: Path) -> None:
    (tmp_path / "retr.json").write_text(json.dumps({"dse": {"kind": "dse", **told}}))
    with pytest.raises(RetrError, match=words):
        read_shape(tmp_path)


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no Distilled Sentence Embedding"):
        read_shape(tmp_path)
