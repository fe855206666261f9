"""Models of many families keep to masks under eager and SDPA, or are refused when they are opened."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone  # noqa: E402
from retr.encoders.trainable.canary import prove_masks, prove_padding  # noqa: E402
from retr.encoders.trainable.masks import lay_out  # noqa: E402
from retr.retrieval.errors import BadInput, Damaged, NotFound  # noqa: E402

STARTS = {"bert": 0, "roberta": 2, "electra": 0, "distilbert": 0, "modernbert": 0}
CANNOT = {"mpnet": "place in the row", "deberta": "cannot be run with a mask"}
BACKENDS = ("eager", "sdpa")

MakeFolder = Callable[..., Path]


def test_more_tokens_than_the_model_has_positions_are_refused(make_folder: MakeFolder) -> None:
    folder = make_folder("bert")
    positions = json.loads((folder / "config.json").read_text())["max_position_embeddings"]
    assert open_backbone(folder, BackboneSettings(max_tokens=positions)).max_tokens == positions
    with pytest.raises(BadInput, match=rf"max_tokens is {positions + 1}; .* reads {positions} tokens"):
        open_backbone(folder, BackboneSettings(max_tokens=positions + 1))


@pytest.mark.parametrize("attention", BACKENDS)
@pytest.mark.parametrize("family", STARTS)
def test_a_family_that_keeps_to_masks_is_taken_with_its_first_position(
    make_folder: MakeFolder, family: str, attention: Any
) -> None:
    backbone = open_backbone(make_folder(family), BackboneSettings(attention=attention))
    assert backbone.model.config._attn_implementation == attention
    assert prove_masks(backbone).first == STARTS[family]


@pytest.mark.parametrize("family", CANNOT)
def test_a_family_that_does_not_is_refused_in_one_line(make_folder: MakeFolder, family: str) -> None:
    backbone = open_backbone(make_folder(family), BackboneSettings(attention="eager"))
    with pytest.raises(BadInput, match=CANNOT[family]) as caught:
        prove_masks(backbone)
    assert "\n" not in str(caught.value)
    prove_padding(backbone)


@pytest.mark.parametrize("attention", BACKENDS)
def test_blocks_that_see_themselves_have_the_states_of_each_alone(make_folder: MakeFolder, attention: Any) -> None:
    backbone = prove_masks(open_backbone(make_folder("modernbert"), BackboneSettings(attention=attention)))
    texts = [list(range(6, 26)), list(range(30, 35)), list(range(10, 40))]
    layout = lay_out([[len(text) for text in texts]], "diagonal", positions="own")
    with torch.no_grad():
        row = backbone.masked_states(torch.tensor([[*texts[0], *texts[1], *texts[2]]]), layout)[0]
        alone = torch.cat([backbone.states([text])[0] for text in texts])
    torch.testing.assert_close(row, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("fault", ["boolean", "ones"])
def test_a_mask_in_a_form_that_eager_attention_misreads_is_found(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def wrong(_: Backbone, layout: Any) -> Any:
        seen = layout.mask == 0
        return seen if fault == "boolean" else seen.float()

    monkeypatch.setattr(Backbone, "_mask", wrong)
    backbone = open_backbone(make_folder("bert"), BackboneSettings(attention="eager"))
    with pytest.raises(BadInput, match="hidden token"):
        prove_masks(backbone)


def test_a_model_that_was_not_tried_runs_no_mask(make_folder: MakeFolder) -> None:
    backbone = open_backbone(make_folder("bert"))
    with pytest.raises(BadInput, match="prove_masks"):
        backbone.masked_states(torch.tensor([[5]]), lay_out([[1]], "arrow"))


def test_trials_leave_the_mode_and_the_seed_alone(make_folder: MakeFolder) -> None:
    backbone = open_backbone(make_folder("bert"))
    backbone.model.train()
    before = torch.get_rng_state()
    prove_masks(backbone)
    assert backbone.model.training
    assert torch.equal(before, torch.get_rng_state())


def test_the_first_layers_alone_can_be_opened(make_folder: MakeFolder) -> None:
    folder = make_folder("bert")
    assert len(open_backbone(folder, BackboneSettings(layers=1)).model.encoder.layer) == 1
    with pytest.raises(BadInput, match="has 3"):
        open_backbone(folder, BackboneSettings(layers=4))


def test_a_saved_backbone_is_the_same_model(make_folder: MakeFolder, tmp_path: Path) -> None:
    first = open_backbone(make_folder("roberta"))
    first.save(tmp_path / "out")
    again = open_backbone(tmp_path / "out")
    with torch.no_grad():
        assert torch.equal(first.states([[5, 6, 7]]), again.states([[5, 6, 7]]))
    assert first.tokenizer.encode("the red fish").ids == again.tokenizer.encode("the red fish").ids


def test_weights_that_are_not_there_are_no_random_ones(make_folder: MakeFolder) -> None:
    folder = make_folder("bert")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(Damaged, match="lacks 16 weights"):
        open_backbone(folder)


def test_a_pickle_is_never_read(make_folder: MakeFolder) -> None:
    folder = make_folder("bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(NotFound, match="no safetensors"):
        open_backbone(folder)


def test_settings_name_what_is_accepted() -> None:
    with pytest.raises(BadInput, match="auto, sdpa, eager"):
        BackboneSettings(attention="flash")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="at least 1"):
        replace(BackboneSettings(), layers=-1)
