"""Texts end to end have the states and gradients of padded ones, and nothing of it stands in the saved folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone  # noqa: E402
from retr.encoders.trainable.bi import open_bi  # noqa: E402

TEXTS = [[2, 5, 6, 3], [2, 7, 3], [2, 8, 9, 10, 11, 6, 3], [2, 9, 3], [2, 5, 6, 3]]


def answer(backbone: Backbone) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """Each text's states, and the gradient of a sum that weighs all of them unlike."""
    backbone.model.zero_grad()
    states = backbone.states(TEXTS)
    own = [part[: len(text)] for part, text in zip(states, TEXTS, strict=True)]
    weights = torch.linspace(-1, 1, sum(map(len, TEXTS)))[:, None]
    (torch.cat(own) * weights).sum().backward()
    named = backbone.model.named_parameters()
    return [part.detach() for part in own], {
        name: value.grad.clone() for name, value in named if value.grad is not None
    }


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert", "modernbert", "mpnet", "deberta"])
def test_states_and_gradients_are_those_of_padded_texts(family: str, make_folder: Callable[..., Path]) -> None:
    padded = open_backbone(make_folder(family))
    padded.model.eval()
    states, gradients = answer(padded)
    packed = padded.packing()
    assert (packed.packed is None) == (family in ("mpnet", "deberta"))  # Their positions lie between two tokens.
    others, found = answer(packed)
    for one, other in zip(states, others, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
    assert found.keys() == gradients.keys()
    for name, value in gradients.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-3 * float(value.abs().max()) + 1e-5)


def test_one_text_s_tokens_do_not_reach_another_s(make_folder: Callable[..., Path]) -> None:
    backbone = open_backbone(make_folder()).packing()
    assert backbone.packed == 0
    with torch.no_grad():
        before = backbone.states(TEXTS)
        after = backbone.states([*TEXTS[:2], [2, 8, 9, 7, 11, 6, 3], *TEXTS[3:]])
    assert not torch.allclose(before[2], after[2], atol=1e-2)
    others = [0, 1, 3, 4]
    torch.testing.assert_close(before[others], after[others], rtol=0, atol=1e-5)


def test_an_attention_that_was_asked_for_stays_and_the_folder_names_none(
    make_bi: Callable[..., Path], tmp_path: Path
) -> None:
    assert open_bi(make_bi(), running=BackboneSettings(attention="eager")).backbone.packed is None
    student = open_bi(make_bi())
    assert student.backbone.packed == 0
    student.save(tmp_path / "saved")
    assert "retr_packed" not in (tmp_path / "saved" / "config.json").read_text()
