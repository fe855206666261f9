"""FILIP's loss: what it is with one token a side, with images that come twice, over two processes."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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


class Exchange:
    """Two threads that gather from each other as processes do; gradients cross between them as they would there."""

    def __init__(self) -> None:
        self._here, self._barrier, self._given = threading.local(), threading.Barrier(2, timeout=60), [None, None]

    def rank(self) -> int:
        return int(self._here.rank)

    def gathered_lists(self, items: list[Any]) -> list[Any]:
        self._given[self.rank()] = items  # type: ignore[call-overload]
        self._barrier.wait()
        found = list(self._given)
        self._barrier.wait()
        return found

    def gathered(self, rows: Any) -> Any:
        return torch.cat(self.gathered_lists(rows))

    def both(self, work: Callable[[int], Any]) -> list[Any]:
        def as_rank(rank: int) -> Any:
            self._here.rank = rank
            return work(rank)

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(as_rank, range(2)))


def test_two_processes_have_the_loss_and_gradients_of_one(
    make_tokens: Callable[..., TokenTensors], monkeypatch: pytest.MonkeyPatch
) -> None:
    from retr.encoders.objectives import filip

    rng, exchange = np.random.default_rng(0), Exchange()
    sides = [make_tokens(rng, lengths) for lengths in ([6, 6, 6, 6], [4, 3, 5, 2])]
    leaves = [side.vectors.requires_grad_() for side in sides]
    batch = Batch(("a", "b", "c", "c"), ("1", "2", "3", "4"))
    alone = FILIP().of_tokens(sides[0], sides[1], SCALES, batch)
    expected = torch.autograd.grad(alone, leaves)
    for name in ("rank", "gathered", "gathered_lists"):
        monkeypatch.setattr(filip, name, getattr(exchange, name))
    monkeypatch.setattr(filip, "processes", lambda: 2)

    def work(rank: int) -> Any:
        mine = slice(2 * rank, 2 * rank + 2)
        parts = [side.rows(mine) for side in sides]
        widths = [int(part.kept.sum(1).max()) for part in parts]
        cut = [TokenTensors(p.vectors[:, :width], p.kept[:, :width]) for p, width in zip(parts, widths, strict=True)]
        return FILIP().of_tokens(cut[0], cut[1], SCALES, Batch(batch.queries[mine], batch.positives[mine]))

    found = sum(exchange.both(work)) / 2
    torch.testing.assert_close(found, alone)
    for one, other in zip(torch.autograd.grad(found, leaves), expected, strict=True):
        torch.testing.assert_close(one, other)
