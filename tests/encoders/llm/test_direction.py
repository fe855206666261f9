"""Decoders look the way they are told to, in every architecture and attention; what does not is refused."""

import threading
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from retr.encoders.llm.canary import prove_direction  # noqa: E402
from retr.encoders.llm.direction import facing, own_window, turn  # noqa: E402
from retr.encoders.trainable.llm.decoder import Decoder  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

SHORT, LONG = list(range(10, 15)), list(range(20, 40))


def of_text(model: Any, ids: Any) -> Any:
    with torch.no_grad():
        return model(input_ids=torch.as_tensor(ids)).last_hidden_state


def decoder(model: Any, window: int = 0) -> Decoder:
    return Decoder(model, Path(), 64, window, generates=False)


@pytest.mark.parametrize("direction", ["causal", "bidirectional"])
def test_the_last_of_many_tokens_is_seen_by_the_first_only_both_ways(turned: Any, direction: str) -> None:
    model = turned[direction == "bidirectional"]
    one, two = of_text(model, [LONG, [*LONG[:-1], 50]])
    seen = (one[0] - two[0]).abs().max() > 1e-5
    assert bool(seen) == (direction == "bidirectional")
    prove_direction(lambda ids: of_text(model, ids), model, direction, 4, 64)


def test_a_mask_of_our_own_turns_a_model_as_its_config_does(turned: Any) -> None:
    causal, both = turned
    for model in turned:
        run = decoder(model, own_window(causal.config))
        rows = run.rows([LONG])
        with torch.no_grad():
            looked = run.states(rows, causal=True)[0], run.states(rows, causal=False)[0]
        torch.testing.assert_close(looked[0], of_text(causal, [LONG]), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(looked[1], of_text(both, [LONG]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("causal", [True, False])
def test_padding_on_either_side_changes_nothing(turned: Any, causal: bool) -> None:
    run = decoder(turned[0], own_window(turned[0].config))
    with torch.no_grad():
        alone = run.states(run.rows([SHORT]), causal=causal)[0][0]
        right = run.states(run.rows([LONG, SHORT], "right"), causal=causal)[0][1, : len(SHORT)]
        left = run.states(run.rows([LONG, SHORT], "left"), causal=causal)[0][1, -len(SHORT) :]
    torch.testing.assert_close(right, alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(left, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("family", "attention"), [("gpt_neo", "eager"), ("stablelm", "sdpa")])
def test_a_model_that_ignores_its_direction_is_refused(build: Any, family: str, attention: str) -> None:
    model = build(family, attention, "bidirectional")
    with pytest.raises(BadInput, match="does not let the first of 12 tokens see the last one"):
        prove_direction(lambda ids: of_text(model, ids), model, "bidirectional", 0, 64)


def test_a_window_that_was_not_widened_is_found(build: Any) -> None:
    model = build("mistral", "sdpa", "causal")
    model.config.is_causal = False
    with pytest.raises(BadInput, match="first of 16 tokens see the last"):
        prove_direction(lambda ids: of_text(model, ids), model, "bidirectional", 4, 64)


def test_a_model_that_looks_both_ways_is_no_causal_one(build: Any) -> None:
    model = build("llama", "sdpa", "bidirectional")
    with pytest.raises(BadInput, match="lets the first token see the last one"):
        prove_direction(lambda ids: of_text(model, ids), model, "causal", 0, 64)


def test_only_the_window_of_a_config_is_widened(build: Any) -> None:
    config = build("gemma3").config
    kinds = list(config.layer_types)
    turn(config, "bidirectional", 50)
    assert (config.is_causal, config.sliding_window, config.layer_types) == (False, 50, kinds)
    assert own_window(build("llama").config) == 0


def test_threads_of_both_directions_over_the_same_weights_get_no_wrong_vector(build: Any) -> None:
    causal = build("mistral", "sdpa", "causal")
    both = facing(causal, "bidirectional", 64)
    assert next(both.parameters()) is next(causal.parameters())
    expected = {model: of_text(model, [LONG]) for model in (causal, both)}
    assert not torch.allclose(expected[causal], expected[both], atol=1e-3)
    wrong = []

    def ask(model: Any) -> None:
        for _ in range(40):
            if not torch.equal(of_text(model, [LONG]), expected[model]):
                wrong.append(model)

    threads = [threading.Thread(target=ask, args=(model,)) for model, _ in zip(cycle([causal, both]), range(4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
