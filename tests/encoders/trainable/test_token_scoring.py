"""Transport and X-Pool as a late student learns by them: what the loops say, padding that never counts, folders."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders import load_encoder, load_scorer  # noqa: E402
from retr.encoders.late.scorer import LateScorer  # noqa: E402
from retr.encoders.late.scoring import copy_scoring, read_scoring  # noqa: E402
from retr.encoders.late.xpool import XPool as Served  # noqa: E402
from retr.encoders.late.xpool import read_xpool  # noqa: E402
from retr.encoders.objectives import objective_from  # noqa: E402
from retr.encoders.trainable.late import LateSettings, open_late  # noqa: E402
from retr.encoders.trainable.maxsim import TokenTensors  # noqa: E402
from retr.encoders.trainable.transport import every_transport  # noqa: E402
from retr.encoders.trainable.xpool import XPool  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.embeddings import TokenVectors  # noqa: E402
from retr.retrieval.errors import BadInput, Damaged, NotFound  # noqa: E402
from retr.retrieval.settings import settings_from  # noqa: E402
from retr.retrieval.transport import Transport, TransportSettings  # noqa: E402

MakeFolder = Callable[..., Path]
SETTINGS = TransportSettings(0.1, 12)
TEXTS = ["a stone falls, from the sky.", "the blue sky", "red", "cold water in the sea"]


def tokens(lengths: list[int], dim: int = 5, seed: int = 0, sign: float = 0.0) -> TokenTensors:
    found = torch.randn(len(lengths), max(lengths), dim, generator=torch.Generator().manual_seed(seed))
    found = sign * found.abs() if sign else found
    return TokenTensors(found, torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None])


def each(texts: TokenTensors) -> list[np.ndarray]:
    return [text[kept].detach().numpy() for text, kept in zip(texts.vectors, texts.kept, strict=True)]


def pooling(dim: int = 5, seed: int = 0) -> XPool:
    """With weights that are no longer those it begins with."""
    found = XPool(dim).eval()
    with torch.no_grad():
        for part in found.parameters():
            part += 0.3 * torch.randn(part.shape, generator=torch.Generator().manual_seed(seed))
    return found


def served(module: XPool) -> Served:
    return Served({name: part.numpy() for name, part in module.state_dict().items()})


def by_torch(module: XPool, query: Any, document: Any) -> float:
    """As the paper's code has it, one pair at a time, in float64: torch's own attention with its one head."""
    parts = {name: part.double() for name, part in module.state_dict().items()}
    dim = module.dim
    attention = torch.nn.MultiheadAttention(dim, 1, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([parts[f"{name}.weight"] for name in ("query", "key", "value")]))
        attention.in_proj_bias.copy_(torch.cat([parts[f"{name}.bias"] for name in ("query", "key", "value")]))
        attention.out_proj.weight.copy_(parts["out.weight"])
        attention.out_proj.bias.copy_(parts["out.bias"])

    def norm(name: str, vectors: Any) -> Any:
        return torch.nn.functional.layer_norm(vectors, [dim], parts[f"{name}.weight"], parts[f"{name}.bias"])

    text = query.double().mean(0, keepdim=True)
    frames = norm("given", document.double())
    out = norm("pooled", attention(norm("given", text)[None], frames[None], frames[None], need_weights=False)[0][0])
    out = norm("final", out + out @ parts["linear.weight"].T + parts["linear.bias"])
    return float(torch.nn.functional.cosine_similarity(out, text).detach())


def every(module: XPool | TransportSettings) -> Callable[..., Any]:
    """Both scorings as one kind of function."""
    if isinstance(module, XPool):
        return module
    return lambda left, right, numbers=1 << 24: every_transport(left, right, module, numbers=numbers)


BOTH = pytest.mark.parametrize("scored", [every(SETTINGS), every(pooling())], ids=["ot", "xpool"])


@pytest.mark.parametrize("settings", [SETTINGS, TransportSettings(0.05, 4, "norm"), TransportSettings(0.002, 4)])
def test_transport_is_that_of_numpy_in_float64(settings: TransportSettings) -> None:
    queries, documents = tokens([3, 1, 4]), tokens([2, 6, 1], seed=1, sign=-1.0)
    flat = TokenVectors(np.concatenate(each(documents)), np.array([0, 2, 8, 9]))
    expected = [Transport(settings).score_tokens(query, flat) for query in each(queries)]
    np.testing.assert_allclose(every_transport(queries, documents, settings), expected, atol=2e-4)


def test_xpool_is_that_of_the_papers_code_with_and_without_torch() -> None:
    module, queries, documents = pooling(), tokens([3, 1]), tokens([2, 6, 1], seed=1)
    pairs = [[by_torch(module, torch.tensor(q), torch.tensor(d)) for d in each(documents)] for q in each(queries)]
    with torch.no_grad():
        np.testing.assert_allclose(module(queries, documents), pairs, atol=1e-5)
    flat = TokenVectors(np.concatenate(each(documents)), np.array([0, 2, 8, 9]))
    found = [served(module).score_tokens(query, flat) for query in each(queries)]
    np.testing.assert_allclose(found, pairs, atol=1e-5)


def test_untrained_xpool_is_a_soft_look_at_the_tokens_without_a_weight_of_its_own() -> None:
    one, other = XPool(4), XPool(4)
    for name, part in one.state_dict().items():
        assert torch.equal(part, other.state_dict()[name])
    assert torch.equal(one.get_parameter("query.weight"), torch.eye(4))


@BOTH
@pytest.mark.parametrize("content", [1e30, torch.nan, torch.inf])
def test_padding_of_any_content_changes_nothing_and_has_no_gradient(scored: Any, content: float) -> None:
    sides = tokens([3, 2], sign=1.0), tokens([4, 1], seed=1, sign=-1.0)
    expected = scored(*sides)
    longer = []
    for side in sides:
        kept = torch.nn.functional.pad(side.kept, (0, 7))
        vectors = torch.where(kept[:, :, None], torch.nn.functional.pad(side.vectors, (0, 0, 0, 7)), content)
        longer.append(TokenTensors(vectors.requires_grad_(True), kept))
    found = scored(*longer)
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    for side in longer:
        assert side.vectors.grad is not None
        assert (side.vectors.grad[~side.kept] == 0).all()
        assert (side.vectors.grad[side.kept].abs().sum() > 0).all()


@BOTH
def test_chunks_change_neither_scores_nor_gradients(scored: Any) -> None:
    def run(numbers: int) -> tuple[Any, ...]:
        sides = [tokens([3, 2, 3]), tokens([4, 1, 3, 2, 4], seed=1)]
        leaves = [side.vectors.requires_grad_(True) for side in sides]
        found = scored(*sides, numbers=numbers)
        (found * torch.arange(15.0).reshape(3, 5)).sum().backward()
        return (found.detach(), *(leaf.grad for leaf in leaves))

    for whole, chunked in zip(run(1 << 20), run(1), strict=True):
        torch.testing.assert_close(whole, chunked, atol=1e-5, rtol=1e-4)


def test_what_is_kept_for_going_backward_does_not_grow_with_the_documents() -> None:
    def saved(count: int) -> int:
        sizes = [0]
        queries, documents = tokens([8] * 4), tokens([16] * count, seed=1)
        documents.vectors.requires_grad_(True)

        def keep(tensor: Any) -> Any:
            sizes[0] = max(sizes[0], tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            every_transport(queries, documents, SETTINGS, numbers=1024)
        return sizes[0]

    assert saved(32) <= 32 * 16 * 5, "the documents themselves, and no table of 4 x 32 x 8 x 16 similarities"


def test_gradients_of_xpool_are_those_of_differences() -> None:
    module = pooling(3).double()
    queries, documents = tokens([3, 2], 3), tokens([4, 1], 3, seed=2)

    def scored(left: Any, right: Any) -> Any:
        return module(TokenTensors(left, queries.kept), TokenTensors(right, documents.kept))

    assert torch.autograd.gradcheck(
        scored, [side.vectors.double().requires_grad_(True) for side in (queries, documents)]
    )


def test_the_gradient_of_transport_is_that_of_cost_less_entropy_at_the_best_plan() -> None:
    settings = TransportSettings(0.5, 200)
    query, document = tokens([3], 3), tokens([4], 3, seed=1)
    given = document.vectors.double().requires_grad_(True)
    every_transport(
        TokenTensors(query.vectors.double(), query.kept), TokenTensors(given, document.kept), settings
    ).sum().backward()

    def value(vectors: np.ndarray) -> float:
        plan = Transport(settings).plan(query.vectors[0].double().numpy(), vectors)
        left, right = (
            side / np.linalg.norm(side, axis=1, keepdims=True) for side in (query.vectors[0].double().numpy(), vectors)
        )
        return float(-(plan * (1 - left @ right.T)).sum() - settings.epsilon * (plan * np.log(plan)).sum())

    start, step = document.vectors[0].double().numpy(), 1e-5
    for at in np.ndindex(4, 3):
        moved = np.zeros_like(start)
        moved[at] = step
        difference = (value(start + moved) - value(start - moved)) / (2 * step)
        assert given.grad is not None and abs(difference - float(given.grad[0][at])) < 1e-6


@pytest.mark.parametrize("name", ["ot", "xpool"])
def test_a_student_learns_by_its_scoring_and_its_folder_serves_it(
    make_folder: MakeFolder, tmp_path: Path, name: Any
) -> None:
    student = open_late(make_folder("bert"), LateSettings(dim=8, scoring=name, transport=SETTINGS))
    rows = Batch(("red fish", "blue sky", "cold stone"), ("the red fish swims", "the sky", "a stone falls"))
    objective = objective_from({"name": "late-infonce", "temperature": 0.1}, "x")
    optimiser = torch.optim.AdamW(student.module.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        loss = objective(student, rows)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses[-3:]) < 0.8 * losses[0]
    student.module.eval()
    student.save(tmp_path / "m")
    with torch.no_grad():
        expected = student.score(["red fish"], [TEXTS])[0]
        torch.testing.assert_close(_opened(tmp_path / "m").score(["red fish"], [TEXTS])[0], expected)
    scorer: Any = load_scorer(str(tmp_path / "m"))
    np.testing.assert_allclose(scorer.score("red fish", TEXTS), expected, atol=1e-4)
    encoder: Any = load_encoder(str(tmp_path / "m"))
    maxsim = LateScorer(encoder, "maxsim")
    assert not np.allclose(maxsim.score("red fish", TEXTS), expected, atol=1e-2)
    assert len({scorer.fingerprint, maxsim.fingerprint, encoder.fingerprint}) == 3
    if name == "ot":
        with pytest.raises(BadInput, match="not learned X-Pool"):
            encoder.scoring("xpool")
    with pytest.raises(NotFound, match="maxsim, ot, xpool"):
        encoder.scoring("colbert")


def _opened(folder: Path) -> Any:
    student = open_late(folder)
    student.module.eval()
    return student


def test_an_exported_folder_keeps_its_scoring(make_folder: MakeFolder, tmp_path: Path) -> None:
    asked = settings_from(LateSettings, {"dim": 8, "scoring": "ot", "transport": {"epsilon": 0.2}}, "[student]")
    for name, settings in {
        "ot": asked,
        "xpool": LateSettings(dim=8, scoring="xpool"),
        "plain": LateSettings(dim=8),
    }.items():
        folder, out = tmp_path / name, tmp_path / f"{name}-out"
        open_late(make_folder("bert"), settings).save(folder)
        out.mkdir()
        copy_scoring(folder, out)
        assert read_scoring(out) == read_scoring(folder) == settings.scored()
        assert (out / "xpool.safetensors").exists() == (name == "xpool")
    assert read_scoring(tmp_path / "ot").transport.epsilon == 0.2


def test_weights_that_do_not_fit_and_settings_that_make_no_sense_are_refused(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    from retr.encoders.reading.safetensors_file import write_safetensors

    open_late(make_folder("bert"), LateSettings(dim=8, scoring="xpool")).save(tmp_path / "m")
    parts = {name: part.numpy() for name, part in XPool(4).state_dict().items()}
    write_safetensors(tmp_path / "m" / "xpool.safetensors", parts)
    with pytest.raises(Damaged, match="of 4 numbers, the vectors of 8"):
        load_encoder(str(tmp_path / "m"))
    parts.pop("key.bias")
    write_safetensors(tmp_path / "m" / "xpool.safetensors", parts)
    with pytest.raises(Damaged, match="does not hold X-Pool"):
        read_xpool(tmp_path / "m" / "xpool.safetensors")
    with pytest.raises(NotFound, match="is missing"):
        read_xpool(tmp_path / "none.safetensors")
    with pytest.raises(BadInput, match="without token vectors"):
        served(XPool(4)).score_tokens(
            np.ones((1, 4), np.float32), TokenVectors(np.empty((0, 4), np.float32), np.array([0, 0]))
        )
    for wrong in ({"scoring": "cosine"}, {"scoring": "ot", "mean": True}, {"pooling_dropout": 1.0}):
        with pytest.raises(BadInput):
            LateSettings(**wrong)  # type: ignore[arg-type]
