"""LexSemBridge against dense arithmetic, and the same served as trained: methods of arXiv 2508.17858."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders import load_encoder  # noqa: E402
from retr.encoders.lexsem.settings import PARTS, LexSemSettings  # noqa: E402
from retr.encoders.objectives.contrastive import InfoNCE  # noqa: E402
from retr.encoders.trainable.lexsem import LexSemStudent, open_lexsem  # noqa: E402
from retr.encoders.training.batches import Batch  # noqa: E402
from retr.retrieval.errors import BadInput, Damaged, NotFound  # noqa: E402

KINDS = ("statistical", "learned", "contextual")
TEXTS = ["the red fish swims", "red red stone", "", "cold water from the blue sky"]
CLOSE = 1e-5
MakeFolder = Callable[..., Path]


def opened(folder: Path, words: str, *, drawn: bool = True) -> LexSemStudent:
    student = open_lexsem(folder, LexSemSettings(words))  # type: ignore[arg-type]
    student.module.eval()
    if drawn:
        torch.manual_seed(0)
        for part in (student.module.gate.weight, student.module.gate.bias):
            torch.nn.init.normal_(part, std=0.5)
        if words == "learned":
            torch.nn.init.normal_(student.module.gate.direction)
    return student


def queries(student: Any, texts: list[str] = TEXTS) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(student.encode_queries(texts))


@pytest.mark.parametrize("words", KINDS)
def test_a_head_of_zeros_changes_nothing(make_bi: MakeFolder, words: str) -> None:
    student = opened(make_bi(), words, drawn=False)
    np.testing.assert_allclose(queries(student), queries(student.bi), atol=CLOSE)


@pytest.mark.parametrize("words", KINDS)
def test_no_number_changes_its_sign_and_no_vector_its_length(make_bi: MakeFolder, words: str) -> None:
    student = opened(make_bi(normalise=False, settings={"similarity_fn_name": "dot"}), words)
    plain, found = queries(student.bi), queries(student)
    assert np.array_equal(np.sign(plain), np.sign(found))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(plain, axis=1), rtol=1e-4)
    assert np.abs(found - plain).max() > 0.01


@pytest.mark.parametrize("words", KINDS)
def test_a_query_does_not_depend_on_its_batch(make_bi: MakeFolder, words: str) -> None:
    student = opened(make_bi(), words)
    alone = np.concatenate([queries(student, [text]) for text in TEXTS])
    np.testing.assert_allclose(queries(student), alone, atol=CLOSE)


@pytest.mark.parametrize("words", KINDS)
def test_weighing_is_that_of_the_whole_vocabularys_row(make_bi: MakeFolder, words: str) -> None:
    student = opened(make_bi(), words)
    gate, backbone = student.module.gate, student.bi.backbone
    expected = []
    with torch.no_grad():
        for text in TEXTS:
            ids = backbone.tokenizer.encode(text).ids
            states = backbone.states([ids])[0]
            row = torch.zeros(len(gate.weight))
            for place, word in enumerate(ids):
                if words == "statistical":
                    row[word] = gate.alpha
                elif words == "learned":
                    row[word] = max(row[word], torch.relu(states[place] @ gate.direction))
            if words == "contextual":
                table = backbone.model.get_input_embeddings().weight
                row = torch.log1p(torch.relu(gate.head(states[:1], table)[0]))
            row[sorted(student.left_out)] = 0
            shares = torch.softmax(row @ gate.weight + gate.bias, dim=0)
            weighed = shares * student.bi.encode_queries([text])[0]
            expected.append((weighed / weighed.norm()).numpy())
    np.testing.assert_allclose(queries(student), expected, atol=CLOSE)


@pytest.mark.parametrize("words", KINDS)
def test_a_saved_head_is_served_as_it_was_trained_and_the_bi_encoder_without_it(
    make_bi: MakeFolder, tmp_path: Path, words: str
) -> None:
    student = opened(make_bi(seed=3), words)
    student.save(tmp_path / "out")
    again, served = open_lexsem(tmp_path / "out"), load_encoder(str(tmp_path / "out"))
    again.module.eval()
    np.testing.assert_allclose(queries(again), queries(student), atol=CLOSE)
    np.testing.assert_allclose(served.encode_queries(TEXTS).values, queries(student), atol=CLOSE)
    plain = load_encoder(f"bi={tmp_path / 'out'}")
    assert np.array_equal(served.encode_documents(TEXTS).values, plain.encode_documents(TEXTS).values)
    np.testing.assert_allclose(plain.encode_queries(TEXTS).values, queries(student.bi), atol=CLOSE)
    assert served.fingerprint != plain.fingerprint


@pytest.mark.parametrize("words", KINDS)
def test_the_head_learns_with_the_encoder(make_bi: MakeFolder, words: str) -> None:
    student = opened(make_bi(), words, drawn=False)
    InfoNCE()(student, Batch(("red fish", "cold water"), ("the sky", "a stone"))).backward()
    weight = student.module.gate.weight.grad
    assert float(weight.abs().sum()) > 0 and not weight[sorted(student.left_out)].any()


def test_only_the_words_of_a_query_have_weight(make_bi: MakeFolder) -> None:
    student = opened(make_bi(), "statistical")
    before = queries(student, ["red fish"])
    rows = [student.bi.backbone.tokenizer.token_to_id(word) for word in ("stone", "sky", "[CLS]")]
    with torch.no_grad():
        student.module.gate.weight[rows] *= -3
    assert np.array_equal(before, queries(student, ["red fish"]))
    assert not np.allclose(queries(student, ["stone"]), queries(opened(make_bi(), "statistical"), ["stone"]), atol=0.01)


def test_what_is_wrong_with_a_folder_is_said(make_bi: MakeFolder, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no lexsem encoder"):
        load_encoder(f"lexsem={make_bi()}")
    opened(make_bi(), "learned").save(tmp_path / "out")
    told = (tmp_path / "out" / "retr.json").read_text()
    (tmp_path / "out" / "retr.json").write_text(told.replace("learned", "statistical"))
    with pytest.raises(Damaged, match="direction"):
        load_encoder(str(tmp_path / "out"))
    (tmp_path / "out" / PARTS).unlink()
    with pytest.raises(NotFound, match=PARTS):
        load_encoder(str(tmp_path / "out"))
    with pytest.raises(BadInput, match="got 'slr'"):
        LexSemSettings("slr")  # type: ignore[arg-type]
