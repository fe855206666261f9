"""Settings, the schedule, groups of the optimiser, low rank and states, each by itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retr.encoders.training.optimising import add_low_rank, checkpoint_activations, merge_low_rank, optimiser, rate_at  # noqa: E402
from retr.encoders.training.settings import LoraSettings, TrainSettings  # noqa: E402
from retr.encoders.training.sharding import Pieces, layers_of  # noqa: E402
from retr.encoders.training.states import State, latest_state, save_state  # noqa: E402
from retr.encoders.training.validating import measure_pairs  # noqa: E402
from retr.retrieval.errors import BadInput, Damaged  # noqa: E402


def small() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3), torch.nn.Linear(3, 2))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"warmup": 1.0}, "warmup is 1.0"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0"),
        ({"seed": -1}, "seed is -1"),
        ({"patience": -1}, "patience is -1"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        TrainSettings(**settings)


def test_the_rate_rises_and_then_falls_along_its_schedule() -> None:
    warm = TrainSettings(warmup=0.4)
    assert [rate_at(step, 5, warm) for step in range(5)] == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3])
    cosine = TrainSettings(warmup=0.0, schedule="cosine")
    assert [rate_at(step, 4, cosine) for step in (0, 2, 4)] == pytest.approx([1, 0.5, 0])
    assert rate_at(3, 4, TrainSettings(warmup=0.0, schedule="constant")) == 1
    noam = TrainSettings(warmup=0.4, schedule="noam")
    assert [rate_at(step, 10, noam) for step in (0, 3, 4, 8)] == pytest.approx([1 / 5, 4 / 5, 1, 5**0.5 / 3])


def test_a_schedule_over_batches_warms_longer_and_does_not_come_to_nought() -> None:
    of_batches = TrainSettings(warmup=0.1, accumulate=2, schedule_over="batches")
    rates = [rate_at(step, 100, of_batches) for step in range(100)]
    assert rates.index(max(rates)) == 20 and max(rates) == 1
    assert rates[-1] == pytest.approx(1 - 79 / 180)
    alone = TrainSettings(warmup=0.1, schedule_over="batches")
    assert rate_at(99, 100, alone) == rate_at(99, 100, TrainSettings(warmup=0.1))


def test_pairs_of_two_classes_are_measured_by_how_often_the_right_one_is_above() -> None:
    scores, labels = np.array([0.9, 0.2, 0.5, 0.5]), np.array([1.0, 0.0, 1.0, 0.0])
    assert measure_pairs("auc", scores, labels) == (2 + 1 + 0.5) / 4
    with pytest.raises(BadInput, match="neither 0 nor 1"):
        measure_pairs("auc", scores, labels / 2)
    assert measure_pairs("spearman", scores, labels) == pytest.approx(0.5**0.5)


def test_biases_and_norms_do_not_decay() -> None:
    module = small()
    decaying, others = optimiser(module, TrainSettings(weight_decay=0.1)).param_groups
    assert [tuple(value.shape) for value in decaying["params"]] == [(3, 4), (2, 3)]
    assert (decaying["weight_decay"], others["weight_decay"], len(others["params"])) == (0.1, 0.0, 4)


def test_low_rank_trains_little_and_merges_into_the_same_function() -> None:
    pytest.importorskip("peft")
    module, inputs = small(), torch.randn(5, 4)
    names, before = list(module.state_dict()), module(inputs)
    add_low_rank(module, LoraSettings(rank=1))
    assert torch.equal(module(inputs), before)
    assert sum(value.numel() for value in module.parameters() if value.requires_grad) == (4 + 3) + (3 + 2)
    with torch.no_grad():
        for name, value in module.named_parameters():
            if "lora_B" in name:
                value.add_(1)
    trained = module(inputs)
    merge_low_rank(module)
    assert list(module.state_dict()) == names
    assert torch.allclose(module(inputs), trained, rtol=1e-4, atol=1e-4) and not torch.allclose(
        trained, before, atol=1e-3
    )


def test_low_rank_leaves_what_is_outside_of_the_transformer_to_learn_in_full() -> None:
    pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}

    class Scoring(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = transformers.BertModel(transformers.BertConfig(vocab_size=9, **sizes))
            self.head, self.codes = torch.nn.Linear(8, 1), torch.nn.Parameter(torch.zeros(2, 8))

    module = Scoring()
    names = set(module.state_dict())
    add_low_rank(module, LoraSettings(rank=2))
    trained = {name for name, value in module.named_parameters() if value.requires_grad}
    assert {name for name in trained if "lora" not in name} == {"head.weight", "head.bias", "codes"}
    assert any("query.lora_A" in name for name in trained)
    merge_low_rank(module)
    assert set(module.state_dict()) == names


def test_low_rank_of_no_layer_is_refused() -> None:
    pytest.importorskip("peft")
    with pytest.raises(BadInput, match=r"no linear layer ends in \['query'\]"):
        add_low_rank(small(), LoraSettings(targets=("query",)))


def test_checkpointing_without_a_transformer_is_refused() -> None:
    with pytest.raises(BadInput, match="no transformer"):
        checkpoint_activations(small())


def stepped() -> tuple[torch.nn.Module, torch.optim.AdamW]:
    module = small()
    steps = optimiser(module, TrainSettings())
    module(torch.ones(2, 4)).sum().backward()
    steps.step()
    return module, steps


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    module, steps = stepped()
    saved = State(7, module.state_dict(), steps.state_dict(), {"scale": 2.0}, best=0.5, best_step=4, worse=1)
    save_state(tmp_path, saved)
    found = latest_state(tmp_path)
    assert found is not None
    assert (found.step, found.scaler, found.best, found.best_step, found.worse) == (7, {"scale": 2.0}, 0.5, 4, 1)
    other = small()
    other.load_state_dict(dict(found.weights))
    again = optimiser(other, TrainSettings(learning_rate=1.0))
    again.load_state_dict(dict(found.optimiser))
    for one, two in ((module, steps), (other, again)):
        two.zero_grad()
        one(torch.ones(2, 4)).sum().backward()
        two.step()
    assert all(torch.equal(one, two) for one, two in zip(module.parameters(), other.parameters(), strict=True))


def test_only_the_newest_state_stays(tmp_path: Path) -> None:
    module, steps = stepped()
    for number in (1, 2, 10):
        save_state(tmp_path, State(number, module.state_dict(), steps.state_dict()))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000010"]


def test_an_unfinished_state_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".step-000000003.tmp").mkdir()
    assert latest_state(tmp_path) is None


@pytest.mark.parametrize("name", ["weights.safetensors", "optimiser.safetensors", "state.json"])
def test_a_damaged_state_is_one_line(tmp_path: Path, name: str) -> None:
    module, steps = stepped()
    save_state(tmp_path / "states", State(1, module.state_dict(), steps.state_dict()))
    (tmp_path / "states" / "step-000000001" / name).write_bytes(b"{}")
    with pytest.raises(Damaged, match="is no whole state") as failure:
        latest_state(tmp_path / "states")
    assert "\n" not in str(failure.value)


def test_pieces_of_one_process_are_the_module_itself() -> None:
    module, steps = stepped()
    pieces = Pieces(module)
    assert not pieces.spread and pieces.shapes["0.weight"] == (3, 4)
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in pieces.weights().items())
    assert pieces.own_state(steps, pieces.optimiser_state(steps))["state"].keys() == steps.state_dict()["state"].keys()
    before = dict(module.named_parameters())
    pieces.put_back()
    assert all(value is before[name] for name, value in module.named_parameters())


@pytest.mark.parametrize(
    ("family", "layer"), [("bert", "BertLayer"), ("mpnet", "MPNetLayer"), ("distilbert", "TransformerBlock")]
)
def test_a_transformers_layers_are_what_is_spread_one_by_one(family: str, layer: str, make_bi: Any) -> None:
    pytest.importorskip("transformers")
    from retr.encoders.trainable.bi import BiSettings, open_bi

    student = open_bi(make_bi(family, seed=1), BiSettings(projection=8))
    assert {one.__name__ for one in layers_of(student.module)} == {layer}
    assert layers_of(small()) == set()


def test_flat_pieces_decay_by_their_shapes_before() -> None:
    module = small()
    shapes = Pieces(module).shapes
    for part in module:
        for name, value in list(part.named_parameters()):
            setattr(part, name, torch.nn.Parameter(value.detach().reshape(-1)))
    decaying, others = optimiser(module, TrainSettings(), shapes).param_groups
    assert [value.numel() for value in decaying["params"]] == [12, 6] and len(others["params"]) == 4
