"""The selection of tokens against a search through all pairs."""

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retr.encoders.trainable.images.selecting import most_alike  # noqa: E402
from retr.encoders.trainable.maxsim import TokenTensors  # noqa: E402

MakeTokens = Callable[..., TokenTensors]


@pytest.mark.parametrize("numbers", [1, 1 << 24])
def test_those_most_like_any_token_of_the_other_side_are_kept(make_tokens: MakeTokens, numbers: int) -> None:
    rng = np.random.default_rng(0)
    images, texts = make_tokens(rng, [8, 8, 8]), make_tokens(rng, [6, 4, 1])
    found = most_alike(images, texts, image_share=0.25, text_share=0.5, numbers=numbers)
    for own, others, chosen, count in ((images, texts, found[0], 2), (texts, images, found[1], 3)):
        everyone = others.vectors[others.kept].numpy()
        for row in range(3):
            real = own.vectors[row][own.kept[row]].numpy()
            best = np.sort(np.argsort(-(real @ everyone.T).max(axis=1))[:count])
            assert int(chosen.kept[row].sum()) == min(count, len(real))
            np.testing.assert_array_equal(chosen.vectors[row][chosen.kept[row]].numpy(), real[best])


def test_all_shares_keep_everything_as_it_is(make_tokens: MakeTokens) -> None:
    images, texts = make_tokens(np.random.default_rng(1), [3]), make_tokens(np.random.default_rng(2), [2])
    assert most_alike(images, texts, image_share=1.0, text_share=1.0) == (images, texts)


def test_at_least_one_token_is_kept(make_tokens: MakeTokens) -> None:
    rng = np.random.default_rng(3)
    found = most_alike(make_tokens(rng, [3]), make_tokens(rng, [2]), image_share=0.01, text_share=0.01)
    assert [list(side.kept.shape) for side in found] == [[1, 1], [1, 1]]


def test_gradients_go_to_what_was_kept(make_tokens: MakeTokens) -> None:
    rng = np.random.default_rng(4)
    images, texts = make_tokens(rng, [4]), make_tokens(rng, [4])
    images = TokenTensors(images.vectors.requires_grad_(), images.kept)
    most_alike(images, texts, image_share=0.5, text_share=1.0)[0].vectors.sum().backward()
    assert images.vectors.grad is not None
    assert sorted(images.vectors.grad[0].sum(1).tolist()) == [0.0, 0.0, 5.0, 5.0]
