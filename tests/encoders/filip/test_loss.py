"""FILIP's loss: what it is with one token a side, with images that come twice, over two processes."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.objectives.filip import FILIP  # noqa: E402
from retr.encoders.trainable.maxsim import TokenTensors  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

SCALES = (torch.tensor(3.0), torch.tensor(5.0))
MakeSides = Callable[..., list[TokenTensors]]
BATCH = Batch(("one", "two", "three"), ("1.png", "2.png", "3.png"))


@pytest.fixture
def sides(make_tokens: Callable[..., TokenTensors]) -> MakeSides:
    """Images and texts of unit vectors, of so many tokens."""

    def make(images: Sequence[int] = (4, 4, 4), texts: Sequence[int] = (5, 3, 2)) -> list[TokenTensors]:
        rng = np.random.default_rng(0)
        found = [make_tokens(rng, list(lengths)) for lengths in (images, texts)]
        return [TokenTensors(torch.nn.functional.normalize(some.vectors, dim=2), some.kept) for some in found]

    return make


def test_with_one_token_each_it_is_the_loss_of_clip(sides: MakeSides) -> None:
    from transformers.models.clip.modeling_clip import image_text_contrastive_loss as theirs

    images, texts = sides((1, 1, 1), (1, 1, 1))
    logits = 3.0 * texts.vectors[:, 0] @ images.vectors[:, 0].T
    found = FILIP().of_tokens(images, texts, (SCALES[0], SCALES[0]), BATCH)
    assert float(found) == pytest.approx(float(theirs(logits)), abs=1e-6)


def test_each_direction_has_its_own_scale(sides: MakeSides) -> None:
    images, texts = sides()
    own = float(FILIP().of_tokens(images, texts, SCALES, BATCH))
    halves = [float(FILIP().of_tokens(images, texts, (scale, scale), BATCH)) for scale in SCALES]
    turned = float(FILIP().of_tokens(images, texts, (SCALES[1], SCALES[0]), BATCH))
    assert own + turned == pytest.approx(sum(halves), abs=1e-12)
    assert own != pytest.approx(turned, abs=1e-6)


def test_keeping_all_tokens_is_the_same_as_selecting_none(sides: MakeSides) -> None:
    images, texts = sides()
    assert FILIP(token_keep=1.0).of_tokens(images, texts, SCALES, BATCH) == FILIP().of_tokens(
        images, texts, SCALES, BATCH
    )
    assert FILIP(token_keep=0.5).of_tokens(images, texts, SCALES, BATCH) != FILIP().of_tokens(
        images, texts, SCALES, BATCH
    )


def test_an_image_that_comes_twice_shares_its_target(sides: MakeSides) -> None:
    images, texts = sides((2, 2), (3, 3))
    same = TokenTensors(images.vectors[:1].repeat(2, 1, 1), images.kept)
    batch = Batch(("one", "two"), ("1.png", "1.png"))
    found = FILIP().of_tokens(same, texts, SCALES, batch)
    from retr.encoders.trainable.images.both_ways import both_ways

    to_text, to_image = both_ways(same, texts)
    there = -(torch.log_softmax(to_text * 3.0, 1) * 0.5).sum(1).mean()
    back = -(torch.log_softmax(to_image.T * 5.0, 1) * 0.5).sum(1).mean()
    assert float(found) == pytest.approx(float((there + back) / 2), abs=1e-6)


def test_all_of_it_has_the_gradients_of_finite_differences(sides: MakeSides) -> None:
    images, texts = sides()

    def loss(left: Any, right: Any, scale: Any) -> Any:
        some = TokenTensors(left, images.kept), TokenTensors(right, texts.kept)
        return FILIP(label_smoothing=0.1).of_tokens(*some, (scale[0], scale[1]), BATCH)

    scale = torch.tensor([3.0, 5.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (images.vectors.requires_grad_(), texts.vectors.requires_grad_(), scale))


@pytest.mark.parametrize(
    "wrong", [{"token_keep": 0.0}, {"text_token_keep": 1.5}, {"label_smoothing": 1.0}, {"numbers": 0}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        FILIP(**wrong)


def test_other_students_are_refused() -> None:
    with pytest.raises(BadInput, match="of the kind filip"):
        FILIP()(object(), BATCH)  # type: ignore[arg-type]


PROCESS = """
import sys
import torch
from safetensors.torch import save_file
from retr.encoders.objectives.filip import FILIP
from retr.encoders.trainable.maxsim import TokenTensors
from retr.encoders.training.batches import Batch

def write(name, rows):
    drawn = torch.Generator().manual_seed(0)
    sides = []
    for each in ([6, 6, 6, 6], [4, 3, 5, 2]):
        vectors = torch.randn(4, max(each), 3, generator=drawn, dtype=torch.float64)[rows]
        kept = torch.arange(max(each))[None] < torch.tensor(each)[rows, None]
        width = int(kept.sum(1).max())
        sides.append(TokenTensors(vectors[:, :width].clone().requires_grad_(), kept[:, :width]))
    batch = Batch(("a", "b", "c", "c")[rows], ("1", "2", "3", "4")[rows])
    loss = FILIP().of_tokens(*sides, (torch.tensor(2.0), torch.tensor(2.0)), batch)
    loss.backward()
    images, texts = (torch.nn.functional.pad(s.vectors.grad, (0, 0, 0, 6 - s.vectors.shape[1])) for s in sides)
    save_file({"loss": loss.detach(), "images": images, "texts": texts}, f"{sys.argv[2]}/{name}.safetensors")

torch.set_num_threads(1)
rank = int(sys.argv[1])
if rank == 0:
    write("alone", slice(0, 4))
store = torch.distributed.FileStore(sys.argv[2] + "/store", 2)
torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
write(str(rank), slice(2 * rank, 2 * rank + 2))
"""


def test_two_processes_have_the_loss_and_gradients_of_one(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    asked = [[sys.executable, "-c", PROCESS, rank, str(tmp_path)] for rank in ("0", "1")]
    started = [subprocess.Popen(command) for command in asked]
    assert [process.wait(120) for process in started] == [0, 0]
    alone, *both = (load_file(tmp_path / f"{name}.safetensors") for name in ("alone", "0", "1"))
    torch.testing.assert_close((both[0]["loss"] + both[1]["loss"]) / 2, alone["loss"])
    for side in ("images", "texts"):  # Each process's loss is a mean over half of the rows.
        torch.testing.assert_close(torch.cat([found[side] for found in both]) / 2, alone[side])
