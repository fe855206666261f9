"""The compiled kernels of FILIP's tiles against torch's passes, for each instruction set of this processor."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retr.encoders.trainable.images import fused  # noqa: E402
from retr.encoders.trainable.images.both_ways import both_ways  # noqa: E402
from retr.encoders.trainable.maxsim import TokenTensors  # noqa: E402

MakeTokens = Callable[..., TokenTensors]

pytestmark = pytest.mark.skipif(not fused.kernels(), reason="the kernels of FILIP's tiles were not built")


@pytest.fixture(params=fused.kernels())
def name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Kernels that the next calls take."""
    monkeypatch.delenv(fused.SETTING, raising=False)
    monkeypatch.setattr(fused, "_best", lambda: request.param)
    return str(request.param)


def learnt(images: TokenTensors, texts: TokenTensors, **asked: Any) -> tuple[Any, ...]:
    """Both tables and what the tokens of both sides learn from some numbers made of them."""
    left, right = (side.vectors.detach().clone().requires_grad_() for side in (images, texts))
    tables = both_ways(TokenTensors(left, images.kept), TokenTensors(right, texts.kept), **asked)
    seeded = torch.Generator().manual_seed(0)
    given = [torch.randn(tables[0].shape, generator=seeded) for _ in tables]
    (given[0] * tables[0] + given[1] * tables[1]).sum().backward()
    return (*(table.detach() for table in tables), left.grad, right.grad)


def assert_equal_to_torch(
    images: TokenTensors, texts: TokenTensors, monkeypatch: pytest.MonkeyPatch, **asked: Any
) -> None:
    found = learnt(images, texts, **asked)
    with monkeypatch.context() as patched:
        patched.setenv(fused.SETTING, "off")
        patched.setattr(fused, "_call", lambda *_: pytest.fail("torch's passes were asked for"))
        wanted = learnt(images, texts, **asked)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("texts", [1, 3, 16, 33, 70])
def test_tables_and_gradients_are_those_of_torch(
    name: str, texts: int, make_tokens: MakeTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(texts)
    left = make_tokens(rng, rng.integers(1, 9, 7).tolist(), 8, torch.float32)
    right = make_tokens(rng, rng.integers(1, 6, texts).tolist(), 8, torch.float32)
    assert_equal_to_torch(left, right, monkeypatch)
    assert_equal_to_torch(left, right, monkeypatch, numbers=8 * 5 * 20)


def test_they_are_what_runs(name: str, make_tokens: MakeTokens, monkeypatch: pytest.MonkeyPatch) -> None:
    called, call = [], fused._call
    monkeypatch.setattr(fused, "_call", lambda what, *given: (called.append(what), call(what, *given))[1])
    rng = np.random.default_rng(0)
    learnt(make_tokens(rng, [3, 3], 8, torch.float32), make_tokens(rng, [2, 4], 8, torch.float32))
    assert called == ["means", "learnt"]


def test_one_without_tokens_is_nought_to_all(
    name: str, make_tokens: MakeTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    images, texts = make_tokens(rng, [3, 2], 8, torch.float32), make_tokens(rng, [4, 1, 2], 8, torch.float32)
    images.kept[1], texts.kept[2] = False, False
    assert_equal_to_torch(images, texts, monkeypatch)
    there, _, left, right = learnt(images, texts)
    assert not there[1].any() and not there[:, 2].any() and not left[1].any() and not right[2].any()


def test_equal_products_share_what_the_greatest_learns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    few = torch.from_numpy(rng.integers(-1, 2, (3, 4, 4)).astype(np.float32))  # whole numbers: many are equal
    left = TokenTensors(few.repeat(2, 2, 1), torch.ones(6, 8, dtype=torch.bool))
    right = TokenTensors(few.repeat(7, 1, 1), torch.ones(21, 4, dtype=torch.bool))
    assert_equal_to_torch(left, right, monkeypatch)


def test_what_is_no_number_is_seen(name: str, make_tokens: MakeTokens) -> None:
    rng = np.random.default_rng(3)
    images, texts = make_tokens(rng, [3, 3], 8, torch.float32), make_tokens(rng, [2, 4], 8, torch.float32)
    images.vectors[0, 1, 2] = torch.nan
    found = both_ways(images, texts)
    assert all(bool(one[0].isnan().all()) and bool(one[1].isfinite().all()) for one in found)


def test_numbers_of_another_kind_are_left_to_torch(name: str, make_tokens: MakeTokens) -> None:
    rng = np.random.default_rng(4)
    found = learnt(make_tokens(rng, [3, 3], 8, torch.float64), make_tokens(rng, [2, 4], 8, torch.float64))
    assert all(one.dtype == torch.float64 for one in found)
