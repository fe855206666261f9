"""What a late student promises: MaxSim as a plain loop says, padding that never matches, and folders that serve."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders import load_encoder, load_scorer  # noqa: E402
from retr.encoders.objectives import objective_from  # noqa: E402
from retr.encoders.objectives.contrastive import InfoNCE  # noqa: E402
from retr.encoders.objectives.late import LateInfoNCE  # noqa: E402
from retr.encoders.trainable.bi import open_bi  # noqa: E402
from retr.encoders.trainable.late import LateSettings, LateStudent, open_late  # noqa: E402
from retr.encoders.trainable.maxsim import TokenTensors, every_maxsim  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput, RetrError  # noqa: E402

QUERIES = ["the red fish swims", "sky"]
TEXTS = ["a stone falls, from the sky.", "the blue sky", "", "red", "cold water in the sea"]
MakeFolder = Callable[..., Path]
SHAPES = [LateSettings(dim=8), LateSettings(dim=8, expansion="fixed", expansion_tokens=12)]
SHAPES += [LateSettings(dim=8, expansion="min", expansion_tokens=9, attend=True, query_tokens=20, mean=True)]


def tokens(lengths: list[int], width: int, dim: int = 5, seed: int = 0, sign: float = 0.0) -> TokenTensors:
    found = torch.randn(len(lengths), width, dim, generator=torch.Generator().manual_seed(seed))
    if sign:
        found = sign * found.abs()
    return TokenTensors(found, torch.arange(width)[None] < torch.tensor(lengths)[:, None])


def loop(queries: TokenTensors, documents: TokenTensors) -> np.ndarray:
    """Float64, three loops."""
    left, right = (
        [
            [row.double().numpy() for row, kept in zip(text, keeps, strict=True) if kept]
            for text, keeps in zip(side.vectors, side.kept, strict=True)
        ]
        for side in (queries, documents)
    )
    return np.array([[sum(max(float(q @ d) for d in one) for q in ask) for one in right] for ask in left])


@pytest.mark.parametrize(("m", "n", "sign"), [(1, 1, 0), (7, 4, -1), (31, 33, -1), (32, 5, 0)])
def test_maxsim_is_the_loop_even_where_all_is_negative(m: int, n: int, sign: float) -> None:
    queries, documents = (
        tokens([m, 1, (m + 1) // 2], m, sign=abs(sign)),
        tokens([n, (n + 1) // 2], n, seed=1, sign=sign),
    )
    expected = loop(queries, documents)
    assert sign == 0 or expected.max() < 0
    np.testing.assert_allclose(every_maxsim(queries, documents), expected, rtol=1e-5, atol=1e-5)
    means = expected / queries.kept.sum(1).numpy()[:, None]
    np.testing.assert_allclose(every_maxsim(queries, documents, mean=True), means, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("content", [0.0, 1e30, torch.nan, torch.inf])
@pytest.mark.parametrize("pads", [1, 7, 64])
def test_padding_of_any_content_changes_nothing_and_has_no_gradient(content: float, pads: int) -> None:
    sides = tokens([3, 2], 3, sign=1.0), tokens([4, 1], 4, seed=1, sign=-1.0)
    expected = every_maxsim(*sides)
    longer = []
    for side in sides:
        vectors = torch.nn.functional.pad(side.vectors, (0, 0, 0, pads), value=content)
        vectors = torch.where(torch.nn.functional.pad(side.kept, (0, pads))[:, :, None], vectors, content)
        kept = torch.nn.functional.pad(side.kept, (0, pads))
        longer.append(TokenTensors(vectors.requires_grad_(True), kept))
    found = every_maxsim(*longer)
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    for side in longer:
        assert side.vectors.grad is not None
        assert (side.vectors.grad[~side.kept] == 0).all()
        assert (side.vectors.grad[side.kept].abs().sum() > 0).all()


def test_chunks_change_neither_scores_nor_gradients() -> None:
    def run(numbers: int) -> tuple[Any, ...]:
        sides = [tokens([3, 2, 3], 3), tokens([4, 1, 3, 2, 4], 4, seed=1)]
        leaves = [side.vectors.requires_grad_(True) for side in sides]
        found = every_maxsim(*sides, numbers=numbers)
        (found * torch.arange(15.0).reshape(3, 5)).sum().backward()
        return (found.detach(), *(leaf.grad for leaf in leaves))

    for whole, chunked in zip(run(1 << 20), run(1), strict=True):
        torch.testing.assert_close(whole, chunked)


def test_gradients_are_those_of_differences() -> None:
    queries, documents = tokens([4, 2, 3], 4), tokens([5, 3, 1], 5, seed=2)

    def scored(left: Any, right: Any) -> Any:
        return every_maxsim(TokenTensors(left, queries.kept), TokenTensors(right, documents.kept))

    given = [side.vectors.double().requires_grad_(True) for side in (queries, documents)]
    assert torch.autograd.gradcheck(scored, given)


@pytest.mark.parametrize("settings", SHAPES)
def test_a_saved_student_serves_the_same_scores(
    make_folder: MakeFolder, tmp_path: Path, settings: LateSettings
) -> None:
    student = open_late(make_folder("bert"), settings)
    student.module.eval()
    student.save(tmp_path / "m")
    with torch.no_grad():
        expected = student.score(QUERIES, [TEXTS, TEXTS[:2]])
    found = load_scorer(str(tmp_path / "m"))
    np.testing.assert_allclose(found.score(QUERIES[0], TEXTS), expected[0], atol=1e-4)
    np.testing.assert_allclose(found.score(QUERIES[1], TEXTS[:2]), expected[1], atol=1e-4)
    again = open_late(tmp_path / "m")
    again.module.eval()
    with torch.no_grad():
        torch.testing.assert_close(again.score(QUERIES, [TEXTS, TEXTS[:2]]), expected)


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("settings", SHAPES)
def test_sentence_transformers_opens_the_folder(
    make_folder: MakeFolder, tmp_path: Path, settings: LateSettings
) -> None:
    from sentence_transformers import MultiVectorEncoder

    student = open_late(make_folder("bert"), settings)
    student.module.eval()
    student.save(tmp_path / "m")
    model = MultiVectorEncoder(str(tmp_path / "m"), device="cpu", local_files_only=True)
    expected = model.similarity(model.encode_query(QUERIES), model.encode_document(TEXTS))
    with torch.no_grad():
        found = torch.stack(student.score(QUERIES, [TEXTS, TEXTS]))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("settings", SHAPES[1:])
def test_an_architecture_that_retr_does_not_build_is_served_by_torch(
    make_folder: MakeFolder, tmp_path: Path, settings: LateSettings
) -> None:
    student = open_late(make_folder("modernbert", local_attention=64), settings)
    student.module.eval()
    student.save(tmp_path / "m")
    with torch.no_grad():
        expected = student.score(QUERIES[:1], [TEXTS])[0]
    scorer: Any = load_scorer(str(tmp_path / "m"))
    assert scorer.describe()["runtime"].startswith("torch")
    np.testing.assert_allclose(scorer.score(QUERIES[0], TEXTS), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, ("onnx", "onnxscript"))), reason="onnx and onnxscript are needed")
@pytest.mark.filterwarnings("ignore")
def test_an_export_that_torch_traced_reads_the_mask_of_filled_up_queries(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    from retr.encoders.exporting import export
    from retr.encoders.exporting.settings import ExportSettings

    student = open_late(make_folder("modernbert", local_attention=64), SHAPES[1])
    student.save(tmp_path / "m")
    done = export(str(tmp_path / "m"), tmp_path / "out", settings=ExportSettings(torch=False))
    assert done.record.built == "torch"
    one, two = (load_encoder(str(tmp_path / name)) for name in ("m", "out"))
    for name in ("encode_queries", "encode_documents"):
        before, after = getattr(one, name)(TEXTS), getattr(two, name)(TEXTS)
        np.testing.assert_allclose(before.values, after.values, atol=1e-5)


@pytest.mark.parametrize("family", ["roberta", "distilbert", "modernbert"])
def test_a_score_depends_on_nothing_but_its_pair(make_folder: MakeFolder, family: str) -> None:
    student = open_late(make_folder(family), SHAPES[1])
    student.module.eval()
    with torch.no_grad():
        together = student.score(QUERIES, [TEXTS, TEXTS])
        alone = [float(student.score([QUERIES[1]], [[text]])[0]) for text in TEXTS]
    np.testing.assert_allclose(together[1], alone, atol=1e-4)


def test_a_projection_begins_from_the_seed_and_bad_settings_are_refused(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    folder = make_folder("bert")
    one, other = open_late(folder), open_late(folder)
    assert one.dim == 128
    assert torch.equal(one.module.dense[0].linear.weight, other.module.dense[0].linear.weight)
    one.save(tmp_path / "m")
    with pytest.raises(BadInput, match="dim is 64, and the folder's own projection gives 128"):
        open_late(tmp_path / "m", LateSettings(dim=64))
    with pytest.raises(BadInput, match="the model reads 96"):
        open_late(folder, LateSettings(expansion="fixed", expansion_tokens=200))
    for wrong in ({"dim": -1}, {"expansion": "long"}, {"query_tokens": 1}, {"expansion": "min", "expansion_tokens": 2}):
        with pytest.raises(BadInput):
            LateSettings(**wrong)
    with pytest.raises(BadInput, match="no vectors"):
        one.encode_queries(QUERIES)


def batch() -> Batch:
    return Batch(
        queries=("red fish", "blue sky", "cold stone"),
        positives=("the red fish swims", "the sky", "a stone falls"),
        negatives=(("water",), ("a", "from"), ()),
    )


def test_late_infonce_is_the_cross_entropy_of_its_scores(make_folder: MakeFolder) -> None:
    student = open_late(make_folder("bert"), LateSettings(dim=8))
    student.module.eval()
    rows = batch()
    texts = [*rows.positives, "water", "a", "from"]
    with torch.no_grad():
        scores = torch.stack(student.score(rows.queries, [texts] * 3))
        found = LateInfoNCE(temperature=2.0)(student, rows)
    expected = torch.nn.functional.cross_entropy(scores / 2.0, torch.arange(3))
    torch.testing.assert_close(found, expected)


def test_late_infonce_has_the_same_gradient_in_chunks(make_folder: MakeFolder) -> None:
    folder = make_folder("bert")

    def gradient(numbers: int) -> Any:
        student = open_late(folder, SHAPES[1])
        student.module.eval()
        LateInfoNCE(numbers=numbers)(student, batch()).backward()
        return [one.grad for one in student.module.parameters() if one.grad is not None]

    pairs = list(zip(gradient(1 << 24), gradient(1), strict=True))
    assert len(pairs) > 10
    for one, other in pairs:
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_every_objective_of_scores_learns(make_folder: MakeFolder) -> None:
    rows = Batch(batch().queries, batch().positives, (("water",), ("a",), ("in",)), scores=((3.0, 1.0),) * 3)
    tables: list[dict[str, Any]] = [
        {"name": "late-infonce"},
        {"name": "listwise", "teacher": True},
        {"name": "listwise", "teacher": False, "in_batch": True},
        {"name": "margin-mse"},
    ]
    for table in tables:
        student = open_late(make_folder("bert"), LateSettings(dim=8))
        objective, optimiser = objective_from(table, "x"), torch.optim.AdamW(student.module.parameters(), 3e-3)
        losses = []
        for _ in range(12):
            loss = objective(student, rows)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        assert min(losses[-3:]) < 0.8 * losses[0], table


def test_late_infonce_refuses_what_has_no_tokens(make_folder: MakeFolder) -> None:
    rows = batch()
    folder = make_folder("bert")
    around = objective_from({"name": "late-infonce", "grad-cache": {"chunk": 2}}, "x")
    for objective, student in ((LateInfoNCE(), open_bi(folder)), (around, open_late(folder))):
        with pytest.raises(BadInput, match="kind late"):
            objective(student, rows)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no vectors"):
        InfoNCE()(open_late(folder), rows)
    plain = Batch(rows.queries, rows.positives)
    with pytest.raises(BadInput, match="needs negatives"):
        LateInfoNCE(in_batch=False)(open_late(folder), plain)
    for wrong in ({"temperature": 0.0}, {"numbers": 0}):
        with pytest.raises(BadInput):
            LateInfoNCE(**wrong)


def test_a_recipe_trains_a_model_that_serves(make_folder: MakeFolder, tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning")
    from retr.encoders.training.recipe import read_recipe

    rows = [{"query": query, "positive": text} for query, text in product(QUERIES, TEXTS[:2])]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = f"""
kind = "late"
model = "{make_folder("bert")}"
out = "{tmp_path / "out"}"
[student]
dim = 8
[data]
files = ["{tmp_path / "rows.jsonl"}"]
[objective]
name = "late-infonce"
[train]
steps = 2
batch_size = 2
"""
    (tmp_path / "r.toml").write_text(recipe)
    plan = read_recipe(tmp_path / "r.toml")
    student = plan.open_student()
    assert isinstance(student, LateStudent)
    plan.job().run(tmp_path / "out")
    found: Any = load_encoder(str(tmp_path / "out"))
    assert (found.dim, found.similarity) == (8, "maxsim")
    (tmp_path / "r.toml").write_text(recipe.replace("dim = 8", "dims = 8"))
    with pytest.raises(RetrError, match="dims"):
        read_recipe(tmp_path / "r.toml").open_student()
