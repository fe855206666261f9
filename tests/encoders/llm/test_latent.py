"""Learned pooling: what it begins as, what it depends on, and how large it is."""

import pytest

torch = pytest.importorskip("torch")

from retr.encoders.llm.latent import LatentPooling, latent_parameters  # noqa: E402
from retr.encoders.llm.settings import LatentShape  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

SHAPE = LatentShape(latents=3, heads=2)


def pooling(shape: LatentShape = SHAPE, layers: int = 0) -> LatentPooling:
    torch.manual_seed(0)
    return LatentPooling(8, shape, layers)


def test_what_does_not_count_changes_nothing() -> None:
    states = torch.randn(1, 3, 8)
    beside = torch.cat([states, 100 * torch.randn(1, 4, 8)], dim=1)
    kept = torch.arange(7)[None] < 3
    torch.testing.assert_close(pooling()(beside, kept), pooling()(states))


def test_without_values_it_is_the_mean_of_its_latents() -> None:
    made = pooling()
    torch.nn.init.zeros_(made.value.weight)
    torch.testing.assert_close(made(torch.randn(2, 5, 8)), made.latents.mean(0).expand(2, 8))


def test_it_begins_near_the_mean_of_the_normed_states() -> None:
    made = pooling()
    torch.nn.init.zeros_(made.latents)
    torch.nn.init.zeros_(made.query.weight)
    states = torch.randn(2, 5, 8)
    torch.testing.assert_close(made(states), made.norm_states(states).mean(1), atol=1e-5, rtol=1e-5)


def test_every_layer_has_its_gradient() -> None:
    states = torch.randn(2, 4, 8, requires_grad=True)
    weights = torch.randn(8)
    (pooling(layers=4)(states) @ weights).sum().backward()
    assert (states.grad.abs().sum((0, 2)) > 0).all()


def test_one_layer_is_the_last_layer_with_an_offset() -> None:
    over_layers, over_tokens = pooling(layers=1), pooling()
    over_tokens.load_state_dict({k: v for k, v in over_layers.state_dict().items() if k != "layers"})
    with torch.no_grad():
        over_layers.layers += 0.5 * torch.randn(1, 8)
    states = torch.randn(2, 1, 8)
    torch.testing.assert_close(over_layers(states), over_tokens(states + over_layers.layers))


@pytest.mark.parametrize("shape", [SHAPE, LatentShape(5, 4, 3)])
@pytest.mark.parametrize("layers", [0, 6])
def test_its_size_is_the_formula(shape: LatentShape, layers: int) -> None:
    counted = sum(value.numel() for value in LatentPooling(8, shape, layers).parameters())
    assert counted == latent_parameters(8, shape, layers)


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(BadInput, match="3 heads do not divide 8 numbers"):
        LatentPooling(8, LatentShape(heads=3))
