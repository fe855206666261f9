"""The bi-encoder that learns gives what sentence-transformers and retr's own serving give, and learns all of it."""

from collections.abc import Callable
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
save_file = pytest.importorskip("safetensors.torch").save_file

from retr.encoders import load_encoder  # noqa: E402
from retr.encoders.running.pooling import POOLINGS as ORACLES  # noqa: E402
from retr.encoders.running.pooling import attend  # noqa: E402
from retr.encoders.trainable.backbone import BackboneSettings  # noqa: E402
from retr.encoders.trainable.bi import BiSettings, BiStudent, open_bi, shortened  # noqa: E402
from retr.encoders.trainable.pooling import POOLINGS, AttentionPooling, kept_tokens  # noqa: E402
from retr.encoders.trainable.student import Student  # noqa: E402
from retr.retrieval.errors import BadInput, Mismatch, NotFound  # noqa: E402

TEXTS = ["the red fish swims in cold water", "a stone", "", "blue stone falls from the sky", "red"]
MakeFolder = Callable[..., Path]


def vectors(student: BiStudent, texts: list[str] = TEXTS) -> Any:
    student.module.eval()
    with torch.no_grad():
        return student.encode_documents(texts).numpy()


def by_sentence_transformers(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    return model.encode(TEXTS, show_progress_bar=False)


@pytest.mark.parametrize("mode", POOLINGS)
@pytest.mark.parametrize("skip", [0, 2, 9])
def test_a_pooling_is_that_of_serving(mode: str, skip: int) -> None:
    rng = np.random.default_rng(0)
    states = rng.normal(size=(3, 6, 4)).astype(np.float32)
    lengths = [6, 3, 1]
    kept = kept_tokens(lengths, skip, torch.device("cpu"))
    found = POOLINGS[mode](torch.from_numpy(states), kept).numpy()
    for row, length in enumerate(lengths):
        alone = ORACLES[mode](states[row : row + 1, :length], min(skip, length - 1))
        np.testing.assert_allclose(found[row], alone[0], atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "mpnet"])
@pytest.mark.parametrize("dense", ["", "torch.nn.modules.activation.Tanh"])
def test_a_folder_of_sentence_transformers_gives_its_vectors(make_bi: MakeFolder, family: str, dense: str) -> None:
    folder = make_bi(family, dense=dense)
    np.testing.assert_allclose(vectors(open_bi(folder)), by_sentence_transformers(folder), atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "weightedmean", "lasttoken", "cls+mean"])
def test_what_is_saved_opens_in_sentence_transformers_and_in_serving(
    make_folder: MakeFolder, tmp_path: Path, pooling: str
) -> None:
    student = open_bi(make_folder("bert"), BiSettings(pooling=pooling, projection=12))
    student.save(tmp_path)
    expected = vectors(student)
    assert expected.shape == (5, 12)
    np.testing.assert_allclose(by_sentence_transformers(tmp_path), expected, atol=1e-5)
    np.testing.assert_allclose(load_encoder(str(tmp_path)).encode_documents(TEXTS).values, expected, atol=1e-5)
    np.testing.assert_allclose(vectors(open_bi(tmp_path)), expected, atol=1e-6)


def learned(folder: Path, **settings: Any) -> BiStudent:
    """A student of learned pooling, whose query is no longer where it begins."""
    student = open_bi(folder, BiSettings(pooling="attention", **settings))
    assert student.module.attention is not None
    with torch.no_grad():
        student.module.attention.query.copy_(50 * torch.randn(32, generator=torch.Generator().manual_seed(1)))
    return student


@pytest.mark.parametrize("skip", [0, 2, 9])
def test_learned_pooling_is_that_of_serving_and_begins_as_the_mean(skip: int) -> None:
    rng = np.random.default_rng(0)
    states, query = rng.normal(size=(3, 6, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    lengths = [6, 3, 1]
    kept = kept_tokens(lengths, skip, torch.device("cpu"))
    pooling = AttentionPooling(4)
    mean = pooling(torch.from_numpy(states), kept)
    torch.testing.assert_close(mean, POOLINGS["mean"](torch.from_numpy(states), kept))
    pooling.query.data = torch.from_numpy(query)
    found = pooling(torch.from_numpy(states), kept).detach().numpy()
    for row, length in enumerate(lengths):
        seen = states[row, min(skip, length - 1) : length]
        weights = [exp(sum(a * b for a, b in zip(state, query, strict=True)) / 2) for state in seen]
        expected = sum(weight * state for weight, state in zip(weights, seen, strict=True)) / sum(weights)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
        np.testing.assert_allclose(attend(states[row : row + 1, :length], query, skip)[0], expected, atol=1e-5)


@pytest.mark.parametrize("projection", [0, 12])
def test_learned_pooling_is_saved_and_served(make_folder: MakeFolder, tmp_path: Path, projection: int) -> None:
    student = learned(make_folder("bert"), projection=projection)
    student.save(tmp_path)
    expected = vectors(student)
    served = load_encoder(str(tmp_path))
    np.testing.assert_allclose(served.encode_documents(TEXTS).values, expected, atol=1e-5)
    np.testing.assert_allclose(vectors(open_bi(tmp_path)), expected, atol=1e-6)
    assert np.abs(vectors(open_bi(make_folder("bert"), BiSettings(projection=projection))) - expected).max() > 1e-2
    (student.encode_documents(TEXTS) ** 3).sum().backward()
    assert student.module.attention is not None and student.module.attention.query.grad is not None
    with pytest.raises(Exception, match="AttentionPooling"):
        by_sentence_transformers(tmp_path)
    with pytest.raises(NotFound, match="'attention'"):
        BiSettings(pooling="attention+mean")


def test_learned_pooling_is_not_exported(make_folder: MakeFolder, tmp_path: Path) -> None:
    from retr.encoders.exporting.bi import open_source

    learned(make_folder("bert")).save(tmp_path)
    with pytest.raises(BadInput, match="a query that it learned"):
        open_source(tmp_path, "", None)  # type: ignore[arg-type]


def test_a_damaged_query_of_the_pooling_is_one_line(make_folder: MakeFolder, tmp_path: Path) -> None:
    learned(make_folder("bert")).save(tmp_path)
    file = tmp_path / "1_AttentionPooling" / "model.safetensors"
    save_file({"query": torch.zeros(7)}, file)
    with pytest.raises(BadInput, match="do not fit together"):
        load_encoder(str(tmp_path))
    save_file({"other": torch.zeros(32)}, file)
    with pytest.raises(NotFound, match="'query'"):
        load_encoder(str(tmp_path))


def test_prompts_and_similarity_are_kept(make_folder: MakeFolder, tmp_path: Path) -> None:
    asked = BiSettings(query_prompt="query: ", include_prompt=False, similarity="dot", normalise=False)
    student = open_bi(make_folder("bert"), asked)
    student.save(tmp_path)
    served = load_encoder(str(tmp_path))
    student.module.eval()
    with torch.no_grad():
        queries = student.encode_queries(TEXTS).numpy()
    np.testing.assert_allclose(served.encode_queries(TEXTS).values, queries, atol=1e-4)
    assert served.similarity == "dot"
    assert np.abs(queries - vectors(student)).max() > 0.1


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_text_has_the_same_vector_in_any_company(make_folder: MakeFolder, attention: Any) -> None:
    student = open_bi(make_folder("bert"), running=BackboneSettings(attention=attention))
    together = vectors(student)
    for row, text in enumerate(TEXTS):
        np.testing.assert_allclose(vectors(student, [text])[0], together[row], atol=1e-5)


def test_everything_but_the_pooler_gets_a_gradient(make_folder: MakeFolder) -> None:
    student = open_bi(make_folder("bert"), BiSettings(projection=8))
    student.module.train()
    (student.encode_documents(TEXTS) ** 3).sum().backward()
    without = [name for name, value in student.module.named_parameters() if value.requires_grad and value.grad is None]
    assert without == []
    assert not student.module.encoder.pooler.dense.weight.requires_grad


def test_scores_are_inner_products_for_lists_of_any_length(make_folder: MakeFolder) -> None:
    student = open_bi(make_folder("bert"))
    assert isinstance(student, Student)
    student.module.eval()
    with torch.no_grad():
        found = student.score(["red", "stone"], [["a stone", "red"], ["the sky"]])
        queries, documents = student.encode_queries(["red", "stone"]), student.encode_documents(["a stone", "the sky"])
    assert [len(part) for part in found] == [2, 1]
    assert float(found[0][0]) == pytest.approx(float(queries[0] @ documents[0]), abs=1e-5)
    assert float(found[1][0]) == pytest.approx(float(queries[1] @ documents[1]), abs=1e-5)


def test_no_texts_give_no_vectors(make_folder: MakeFolder) -> None:
    assert open_bi(make_folder("bert"), BiSettings(projection=8)).encode_documents([]).shape == (0, 8)


def test_a_shortened_vector_has_unit_length() -> None:
    assert shortened(torch.tensor([[3.0, 4.0, 12.0]]), 2).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    with pytest.raises(BadInput, match="1 to 3"):
        shortened(torch.ones(1, 3), 4)


def test_settings_that_do_not_fit_are_refused(make_folder: MakeFolder, make_bi: MakeFolder) -> None:
    with pytest.raises(NotFound, match="weightedmean"):
        BiSettings(pooling="weightedmeen")
    with pytest.raises(BadInput, match="unit vectors"):
        open_bi(make_folder("bert"), BiSettings(normalise=False))
    with pytest.raises(BadInput, match="32 numbers"):
        open_bi(make_folder("bert"), BiSettings(matryoshka=(64,)))
    with pytest.raises(Mismatch, match="dense layer reads 32"):
        open_bi(make_bi("bert", dense="torch.nn.modules.linear.Identity"), BiSettings(pooling="cls+mean"))


def test_one_text_in_place_of_a_list_is_refused(make_folder: MakeFolder) -> None:
    with pytest.raises(BadInput, match="list of texts"):
        open_bi(make_folder("bert")).encode_queries("red")
