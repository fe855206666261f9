"""Texts end to end give the states of each text alone, for every family that can, and others are found out."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.on_torch import attention  # noqa: E402
from retr.encoders.on_torch.compute import Compute  # noqa: E402
from retr.encoders.on_torch.network import network_of  # noqa: E402
from retr.encoders.on_torch.packing import Packing, Run  # noqa: E402
from retr.encoders.on_torch.probe import packed_states  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

LENGTHS = (30, 12, 12, 3, 1, 30)
STARTS = {"bert": 0, "roberta": 2, "electra": 0, "distilbert": 0, "modernbert": 0, "llama": 0, "qwen2": 0, "gemma3": 0}
CANNOT = ("mpnet", "gemma2", "t5")


def texts(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.integers(5, 99, length) for length in lengths]


def alone(model: Any, ids: list[Any]) -> Any:
    """The oracle: transformers' own attention, one text at a time."""
    with torch.inference_mode():
        return torch.cat([model(input_ids=torch.from_numpy(text)[None]).last_hidden_state[0] for text in ids]).numpy()


@pytest.mark.parametrize("family", STARTS)
def test_a_text_in_a_row_of_many_has_the_states_of_the_text_alone(make_transformer: Any, family: str) -> None:
    model, ids = make_transformer(family), texts()
    expected = alone(model, ids)
    network = network_of(model, Compute().place())
    assert network.first == STARTS[family]
    states, offsets = network.packed(ids)
    np.testing.assert_allclose(states, expected, atol=1e-5)
    assert offsets.tolist() == [0, 30, 42, 54, 57, 58, 88]


@pytest.mark.parametrize("family", [*STARTS, *CANNOT])
def test_texts_of_equal_length_run_together_as_alone(make_transformer: Any, family: str) -> None:
    model, ids = make_transformer(family), texts((20, 20, 20))
    expected = alone(model, ids)
    batch = np.stack(ids)
    found = network_of(model, Compute().place())(batch, np.zeros_like(batch))
    np.testing.assert_allclose(found.reshape(60, -1), expected, atol=1e-5)


@pytest.mark.parametrize("family", CANNOT)
def test_a_model_that_mixes_texts_of_a_row_is_found_out(make_transformer: Any, family: str) -> None:
    model = make_transformer(family)
    own = model.config._attn_implementation
    network = network_of(model, Compute().place())
    assert not network.packs
    assert model.config._attn_implementation == own
    with pytest.raises(BadInput, match="equal length"):
        network.packed(texts())


def test_a_model_that_ignores_positions_is_found_out(make_transformer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_transformer("bert")
    forward = model.embeddings.forward
    monkeypatch.setattr(
        model.embeddings, "forward", lambda **given: forward(**{**given, "position_ids": None}), raising=True
    )
    assert not network_of(model, Compute().place()).packs


def test_a_model_whose_positions_grow_with_the_row_is_not_tried(make_transformer: Any) -> None:
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert not network_of(make_transformer("llama", rope_parameters=dynamic), Compute().place()).packs


def test_segments_are_those_of_the_texts(make_transformer: Any) -> None:
    model = make_transformer("bert")
    ids, segments = texts((6, 9)), [np.repeat([0, 1], [2, 4]), np.repeat([0, 1], [5, 4])]
    network = network_of(model, Compute().place())
    states, _ = network.packed(ids, segments)
    found = [network(text[None], kinds[None])[0] for text, kinds in zip(ids, segments, strict=True)]
    np.testing.assert_allclose(states, np.concatenate(found), atol=1e-5)
    assert not np.allclose(states, network.packed(ids)[0], atol=1e-2)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_gradients_are_those_of_the_texts_alone(make_transformer: Any, family: str) -> None:
    model, ids = make_transformer(family), [torch.from_numpy(text) for text in texts((7, 4, 4))]
    sum(model(input_ids=text[None]).last_hidden_state.pow(3).sum() for text in ids).backward()
    expected = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    attention.register()
    model.set_attn_implementation(attention.NAME)
    packed_states(model, torch.cat(ids)[None], Packing.of([7, 4, 4]), 0).pow(3).sum().backward()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert largest > 1
    for name, weight in model.named_parameters():
        if name in expected:
            torch.testing.assert_close(weight.grad, expected[name], atol=1e-6 * largest, rtol=1e-4, msg=name)


@pytest.mark.parametrize("family", ["bert", "llama", "modernbert"])
def test_padded_batches_still_see_their_mask(make_transformer: Any, family: str) -> None:
    model, ids = make_transformer(family), texts((9, 5))
    padded = torch.tensor(np.stack([ids[0], np.pad(ids[1], (0, 4))]))
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
    expected = alone(model, ids)
    attention.register()
    model.set_attn_implementation(attention.NAME)
    with torch.inference_mode():
        states = model(input_ids=padded, attention_mask=mask).last_hidden_state
    found = torch.cat([states[0], states[1, :5]])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_a_row_with_a_mask_is_refused(make_transformer: Any) -> None:
    model = make_transformer("bert")
    attention.register()
    model.set_attn_implementation(attention.NAME)
    with pytest.raises(BadInput, match="no mask"):
        model(
            input_ids=torch.tensor([[5, 6, 7]]),
            attention_mask=torch.tensor([[1, 1, 0]]),
            retr_packing=Packing.of([2, 1]),
        )


def test_a_row_knows_its_runs_offsets_and_positions() -> None:
    packing = Packing.of([3, 3, 1, 2])
    assert packing.runs == (Run(0, 2, 3), Run(6, 1, 1), Run(7, 1, 2))
    assert packing.offsets.tolist() == [0, 3, 6, 7, 9]
    assert packing.positions.tolist() == [[0, 1, 2, 0, 1, 2, 0, 0, 1]]
    assert packing.longest == 3


def test_dropout_is_that_of_the_model_in_training(make_transformer: Any) -> None:
    model = make_transformer("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    attention.register()
    model.set_attn_implementation(attention.NAME)
    ids, packing = torch.tensor([[5, 6, 7, 8, 9]]), Packing.of([3, 2])
    calm = packed_states(model, ids, packing, 0)
    assert torch.equal(calm, packed_states(model, ids, packing, 0))
    model.train()
    assert not torch.allclose(calm, packed_states(model, ids, packing, 0))
