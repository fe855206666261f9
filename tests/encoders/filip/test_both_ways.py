"""Both similarities against loops written as the equations are, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retr.encoders.trainable.images.both_ways import both_ways  # noqa: E402
from retr.encoders.trainable.maxsim import TokenTensors  # noqa: E402

MakeTokens = Callable[..., TokenTensors]


def by_loops(images: TokenTensors, texts: TokenTensors) -> tuple[Any, Any]:
    to_text, to_image = (np.zeros((len(images), len(texts))) for _ in range(2))
    for i in range(len(images)):
        for j in range(len(texts)):
            left = images.vectors[i][images.kept[i]].detach().double().numpy()
            right = texts.vectors[j][texts.kept[j]].detach().double().numpy()
            to_text[i, j] = np.mean([max(float(v @ t) for t in right) for v in left])
            to_image[i, j] = np.mean([max(float(v @ t) for v in left) for t in right])
    return to_text, to_image


def grown(some: TokenTensors, by: int, value: float) -> TokenTensors:
    more = torch.full((len(some), by, some.vectors.shape[2]), value, dtype=some.vectors.dtype)
    return TokenTensors(
        torch.cat([some.vectors, more], 1), torch.cat([some.kept, torch.zeros(len(some), by, dtype=torch.bool)], 1)
    )


@pytest.mark.parametrize("numbers", [1, 70, 1 << 24])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_both_are_those_of_the_equations(make_tokens: MakeTokens, numbers: int, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    images, texts = make_tokens(rng, [4, 4, 2], dtype=dtype), make_tokens(rng, [3, 5, 1, 2], dtype=dtype)
    for found, expected in zip(both_ways(images, texts, numbers=numbers), by_loops(images, texts), strict=True):
        assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_two_directions_differ() -> None:
    two, one = torch.eye(2)[None], torch.eye(2)[None, :1]
    images, text = TokenTensors(two, torch.ones(1, 2).bool()), TokenTensors(one, torch.ones(1, 1).bool())
    assert [float(found) for found in both_ways(images, text)] == [0.5, 1.0]
    assert [float(found) for found in both_ways(text, images)] == [1.0, 0.5]


def test_with_the_roles_exchanged_they_are_the_other_ones_transposed(make_tokens: MakeTokens) -> None:
    rng = np.random.default_rng(1)
    images, texts = make_tokens(rng, [4, 3]), make_tokens(rng, [2, 5, 3])
    there, back = both_ways(images, texts), both_ways(texts, images)
    torch.testing.assert_close(there[0], back[1].T)
    torch.testing.assert_close(there[1], back[0].T)


def test_the_order_of_tokens_changes_nothing(make_tokens: MakeTokens) -> None:
    rng = np.random.default_rng(2)
    images, texts = make_tokens(rng, [4, 4]), make_tokens(rng, [3, 5])
    turned = TokenTensors(texts.vectors.flip(1), texts.kept.flip(1))
    for found, expected in zip(both_ways(images, turned), both_ways(images, texts), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("by", [1, 7, 64])
@pytest.mark.parametrize("value", [0.0, 9.0, float("nan"), float("inf"), float("-inf")])
def test_padding_never_matches_where_all_similarities_are_negative(
    make_tokens: MakeTokens, by: int, value: float
) -> None:
    rng = np.random.default_rng(3)
    images, texts = make_tokens(rng, [4, 3]), make_tokens(rng, [3, 5])
    images = TokenTensors(images.vectors.abs().requires_grad_(), images.kept)
    texts = TokenTensors((-texts.vectors.abs()).requires_grad_(), texts.kept)
    plain = both_ways(images, texts)
    assert max(float(table.detach().max()) for table in plain) < 0
    more = grown(images, by, value), grown(texts, by, value)
    found = both_ways(*more)
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    for side in more:
        side.vectors.retain_grad()
    sum(table.square().sum() for table in found).backward()  # type: ignore[union-attr]
    for side in more:
        assert side.vectors.grad is not None
        assert torch.equal(side.vectors.grad[~side.kept], torch.zeros_like(side.vectors.grad[~side.kept]))
        assert bool((side.vectors.grad[side.kept] != 0).any())


def test_one_without_tokens_is_nought_to_all_and_learns_nothing(make_tokens: MakeTokens) -> None:
    rng = np.random.default_rng(4)
    images, texts = make_tokens(rng, [2, 3]), make_tokens(rng, [3, 2])
    texts.kept[1] = False
    images.vectors.requires_grad_()
    texts.vectors.requires_grad_()
    found = both_ways(images, texts)
    assert [float(table.detach()[:, 1].abs().max()) for table in found] == [0.0, 0.0]
    (found[0][:, 1].sum() + found[1][:, 1].sum()).backward()
    assert texts.vectors.grad is not None and images.vectors.grad is not None
    assert not texts.vectors.grad.any() and not images.vectors.grad.any()


@pytest.mark.parametrize("numbers", [1, 1 << 24])
def test_gradients_are_those_of_finite_differences(make_tokens: MakeTokens, numbers: int) -> None:
    rng = np.random.default_rng(5)
    images, texts = make_tokens(rng, [4, 4, 4]), make_tokens(rng, [5, 3, 2])

    def both(left: Any, right: Any) -> Any:
        return both_ways(TokenTensors(left, images.kept), TokenTensors(right, texts.kept), numbers=numbers)

    assert torch.autograd.gradcheck(both, (images.vectors.requires_grad_(), texts.vectors.requires_grad_()))


def test_chunks_give_the_gradients_of_the_whole(make_tokens: MakeTokens) -> None:
    rng = np.random.default_rng(6)
    images, texts = make_tokens(rng, [7, 7, 5], 8, torch.float32), make_tokens(rng, [9, 3, 6, 2], 8, torch.float32)
    found = []
    for numbers in (1, 150, 1 << 24):
        left, right = images.vectors.clone().requires_grad_(), texts.vectors.clone().requires_grad_()
        tables = both_ways(TokenTensors(left, images.kept), TokenTensors(right, texts.kept), numbers=numbers)
        (tables[0].logsumexp(1).sum() + tables[1].logsumexp(0).sum()).backward()
        found.append((left.grad, right.grad))
    for some in found[1:]:
        for one, other in zip(some, found[0], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_equal_products_share_what_the_greatest_learns() -> None:
    left = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64, requires_grad=True)
    right = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    every = torch.ones(1, 2).bool()
    found = both_ways(TokenTensors(left, every), TokenTensors(right, every))
    (2 * found[0] + found[1]).sum().backward()
    products = torch.einsum("imd,tnd->imtn", left, right)
    plain = 2 * products.amax(3).mean(1) + products.amax(1).mean(2)
    wanted = torch.autograd.grad(plain.sum(), (left, right))
    for side, expected in zip((left, right), wanted, strict=True):
        assert side.grad is not None
        torch.testing.assert_close(side.grad, expected)


def test_more_texts_and_images_than_a_tile_holds(make_tokens: MakeTokens) -> None:
    rng = np.random.default_rng(7)
    images = make_tokens(rng, rng.integers(1, 9, 21).tolist(), 8)
    texts = make_tokens(rng, rng.integers(1, 7, 75).tolist(), 8)
    left, right = images.vectors.requires_grad_(), texts.vectors.requires_grad_()
    found = both_ways(images, texts, numbers=8 * 6 * 40)
    for one, expected in zip(found, by_loops(images, texts), strict=True):
        np.testing.assert_allclose(one.detach().numpy(), expected, rtol=1e-6)
    weights = [torch.randn(21, 75, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    products = torch.einsum("imd,tnd->imtn", left, right).masked_fill(~texts.kept[None, None], -torch.inf)
    to_text = (products.amax(3) * images.kept[:, :, None]).sum(1) / images.kept.sum(1)[:, None]
    best = products.masked_fill(~images.kept[:, :, None, None], -torch.inf).amax(1)
    to_image = best.masked_fill(~texts.kept[None], 0).sum(2) / texts.kept.sum(1)
    wanted = torch.autograd.grad((weights[0] * to_text + weights[1] * to_image).sum(), (left, right))
    given = torch.autograd.grad((weights[0] * found[0] + weights[1] * found[1]).sum(), (left, right))
    for one, expected in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, expected)
