"""SMITH's blocks by hand, and what its vectors depend on: methods of arXiv 2004.12297."""

from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders import load_encoder  # noqa: E402
from retr.encoders.objectives.smith import MaskedBlocks  # noqa: E402
from retr.encoders.smith.blocks import Filling  # noqa: E402
from retr.encoders.smith.settings import PARTS, SmithSettings  # noqa: E402
from retr.encoders.trainable.smith import SmithStudent, open_smith  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput, Damaged, NotFound  # noqa: E402

SMALL = SmithSettings(block_tokens=8, blocks=6, layers=2, heads=4)
LONG = "The red fish swims. A stone falls from the blue sky. In cold water. The sky is red."
LONG += "\nA fish! The water falls from a stone."
SHORT = "The red fish."
CLOSE = 1e-5
MakeFolder = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(make_bi: MakeFolder) -> Path:
    return make_bi(seed=2)


def opened(folder: Path, settings: SmithSettings | None = SMALL) -> SmithStudent:
    student = open_smith(folder, settings)
    student.module.eval()
    return student


def vectors(student: Any, texts: list[str]) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(student.encode_documents(texts))


def words(filling: Filling, blocks: list[list[int]]) -> list[str]:
    return [" ".join(filling.tokenizer.id_to_token(token) for token in block[1:-1]) for block in blocks]


def test_sentences_fill_blocks_and_one_that_does_not_fit_begins_the_next(folder: Path) -> None:
    filling = opened(folder).filling
    assert filling.room == 6
    numbered = [list(range(start, end)) for start, end in ((0, 4), (4, 6), (6, 11), (11, 14), (14, 15))]
    cls, sep = filling.first[0], filling.last[0]
    assert [block[1:-1] for block in filling.fill(numbered)] == [[*range(6)], [*range(6, 11)], [*range(11, 15)]]
    assert all(block[0] == cls and block[-1] == sep for block in filling.fill(numbered))


def test_a_long_sentence_goes_on_in_the_next_block_or_is_cut_as_published(folder: Path) -> None:
    split = opened(folder).filling.fill([[1, 2], list(range(10, 24)), [3]])
    assert [block[1:-1] for block in split] == [[1, 2], [*range(10, 16)], [*range(16, 22)], [22, 23, 3]]
    published = SmithSettings(block_tokens=8, blocks=6, layers=2, heads=4, overlong="cut")
    cut = opened(folder, published).filling.fill([[1, 2], list(range(10, 24)), [3]])
    assert [block[1:-1] for block in cut] == [[1, 2], [*range(10, 16)], [3]]


def test_a_text_is_parted_at_sentences_and_lines_and_no_more_blocks_than_told_are_read(folder: Path) -> None:
    filling = opened(folder).filling
    found, one, none = filling([LONG, SHORT, ""])
    assert words(filling, found)[0] == "the red fish swims ."
    assert len(found) == 6 and words(filling, one) == ["the red fish ."] and none == [[*filling.first, *filling.last]]
    assert len(filling([LONG * 5])[0]) == 6


def test_a_shorter_document_beside_it_changes_no_vector(folder: Path) -> None:
    for combine in ("normal", "sum_concat", "mean_concat"):
        student = opened(folder, SmithSettings(8, 6, 2, 4, combine))  # type: ignore[arg-type]
        alone = np.concatenate([vectors(student, [text]) for text in (LONG, SHORT, "")])
        np.testing.assert_allclose(vectors(student, [LONG, SHORT, ""]), alone, atol=CLOSE)
        np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=CLOSE)


def test_the_order_of_blocks_matters(folder: Path) -> None:
    student = opened(folder)
    swapped = "In cold water.\nThe red fish swims."
    assert len(student.filling([swapped])[0]) == 2
    both = vectors(student, [swapped, "The red fish swims.\nIn cold water."])
    assert np.abs(both[0] - both[1]).max() > 1e-3


@pytest.mark.parametrize("combine", ["normal", "sum_concat", "mean_concat"])
def test_a_saved_model_is_served_as_it_was_trained(folder: Path, tmp_path: Path, combine: str) -> None:
    student = opened(folder, SmithSettings(8, 6, 2, 4, combine))  # type: ignore[arg-type]
    student.save(tmp_path / "out")
    expected = vectors(student, [LONG, SHORT, ""])
    np.testing.assert_allclose(vectors(opened(tmp_path / "out", None), [LONG, SHORT, ""]), expected, atol=CLOSE)
    served = load_encoder(str(tmp_path / "out"))
    np.testing.assert_allclose(served.encode_documents([LONG, SHORT, ""]).values, expected, atol=CLOSE)
    np.testing.assert_array_equal(served.encode_queries([SHORT]).values, served.encode_documents([SHORT]).values)


def test_guessing_hidden_blocks_of_equal_vectors_costs_the_logarithm_of_their_number(folder: Path) -> None:
    student = opened(folder, SmithSettings(8, 6, 2, 4, hidden_blocks=True))
    with torch.no_grad():
        student.module.document.block.weight.zero_()
        loss = MaskedBlocks()(student, Batch(("", ""), (LONG, f"{SHORT}\nA stone falls.\nFrom the blue sky.")))
    assert float(loss) == pytest.approx(log(4), rel=1e-5)


def test_hidden_blocks_are_learned_and_their_states_are_not_seen(folder: Path) -> None:
    student = opened(folder, SmithSettings(8, 6, 2, 4, hidden_blocks=True))
    torch.manual_seed(1)
    said, _ = student.hide([LONG], 5)
    assert len(said) == 5
    with torch.no_grad():
        states, real = student.read_blocks([LONG])
        torch.manual_seed(1)
        kept = sorted(set(range(6)) - set(torch.randperm(6)[:5].tolist()))
        noise = torch.randn_like(states)
        noise[:, kept] = states[:, kept]
        shown = noise.clone()
        hidden = [place for place in range(6) if place not in kept]
        shown[:, hidden] = student.module.document.hidden.vector
        head = student.module.document.hidden
        expected = head(student.module.document.together(shown, real)[:, hidden][0])
    np.testing.assert_allclose(said.detach().numpy(), expected.numpy(), atol=CLOSE)
    MaskedBlocks()(student, Batch(("",), (LONG,))).backward()
    grads = [student.module.document.hidden.vector.grad, student.module.document.block.weight.grad]
    assert all(grad is not None and float(grad.abs().sum()) > 0 for grad in grads)


def test_the_head_for_hidden_blocks_may_be_left_out_afterwards_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    student = opened(folder, SmithSettings(8, 6, 2, 4, hidden_blocks=True))
    student.save(tmp_path / "out")
    without = opened(tmp_path / "out", SMALL)
    assert without.module.document.hidden is None
    np.testing.assert_allclose(vectors(without, [LONG]), vectors(student, [LONG]), atol=CLOSE)
    served = load_encoder(f"smith={tmp_path / 'out'}")
    np.testing.assert_allclose(served.encode_documents([LONG]).values, vectors(student, [LONG]), atol=CLOSE)
    with pytest.raises(BadInput, match="only hidden_blocks may differ"):
        opened(tmp_path / "out", SmithSettings(8, 5, 2, 4))


def test_what_is_wrong_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="hidden_blocks = true"):
        MaskedBlocks()(opened(folder), Batch(("",), (LONG,)))
    with pytest.raises(BadInput, match="two hidden blocks"):
        MaskedBlocks()(opened(folder, SmithSettings(8, 6, 2, 4, hidden_blocks=True)), Batch(("",), (SHORT,)))
    with pytest.raises(BadInput, match="cannot be shared"):
        opened(folder, SmithSettings(8, 6, 2, 5))
    with pytest.raises(BadInput, match="reads 24 tokens"):
        opened(folder, SmithSettings())
    with pytest.raises(BadInput, match="no smith encoder"):
        load_encoder(f"smith={folder}")
    opened(folder).save(tmp_path / "out")
    told = (tmp_path / "out" / "retr.json").read_text()
    (tmp_path / "out" / "retr.json").write_text(told.replace('"layers": 2', '"layers": 3'))
    with pytest.raises(Damaged, match="lack"):
        load_encoder(str(tmp_path / "out"))
    (tmp_path / "out" / PARTS).unlink()
    with pytest.raises(NotFound, match=PARTS):
        load_encoder(str(tmp_path / "out"))


@pytest.mark.parametrize("told", [{"blocks": 0}, {"block_tokens": 3}, {"combine": "max"}, {"overlong": "drop"}])
def test_settings_out_of_range_are_refused(told: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"give|got"):
        SmithSettings(**told)
