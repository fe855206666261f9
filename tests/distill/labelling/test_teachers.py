"""Any scorer and any encoder can teach: their labels are their own scores and similarities."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.distill.labelling.teachers import Averaged, EncoderTeacher, Question, open_teacher, teacher_kind
from retr.encoders import load_encoder, load_scorer
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput, NotFound

QUESTIONS = [Question("red fish", ("the red fish swims", "a stone")), Question("sky", ("blue",))]


def test_a_scorers_labels_are_its_scores(make_cross: Any) -> None:
    folder = make_cross(seed=1)
    teacher, scorer = open_teacher(str(folder)), load_scorer(f"cross={folder}")
    for question, found in zip(QUESTIONS, teacher.answer(QUESTIONS), strict=True):
        np.testing.assert_array_equal(found[:, 0], scorer.score(question.query, question.texts))
    assert teacher.fingerprint == scorer.fingerprint
    assert teacher.width == 1 and teacher.comparable


def test_an_encoders_labels_are_cosines(make_bi: Any) -> None:
    folder = make_bi(seed=1)
    teacher, encoder = open_teacher(f"bi={folder}"), load_encoder(str(folder))
    for question, found in zip(QUESTIONS, teacher.answer(QUESTIONS), strict=True):
        left = encoder.encode_queries([question.query]).values[0]  # type: ignore[union-attr]
        right = encoder.encode_documents(question.texts).values  # type: ignore[union-attr]
        cosines = right @ left / np.linalg.norm(left) / np.linalg.norm(right, axis=1)
        np.testing.assert_allclose(found[:, 0], cosines, atol=1e-6)


def test_a_folder_tells_its_kind(make_bi: Any, make_cross: Any, make_static: Any) -> None:
    assert [teacher_kind(str(make())) for make in (make_bi, make_cross, make_static)] == ["bi", "cross", "static"]
    assert teacher_kind("poly=x") == "poly"


def test_scorer_and_encoder_can_be_averaged(make_bi: Any, make_cross: Any) -> None:
    both = tuple(open_teacher(str(folder)) for folder in (make_bi(seed=1), make_cross(seed=1)))
    alone = [teacher.answer(QUESTIONS) for teacher in both]
    for place, found in enumerate(Averaged(both).answer(QUESTIONS)):
        np.testing.assert_allclose(found, (alone[0][place] + alone[1][place]) / 2, atol=1e-6)
    assert Averaged(both).fingerprint == Averaged(both[::-1]).fingerprint != Averaged(both, "sigmoid").fingerprint


class Tokens:
    dim, similarity, fingerprint = 2, "maxsim", "t"

    def __init__(self, source: str) -> None:
        self.source = source

    def encode_queries(self, texts: list[str]) -> TokenVectors:
        return TokenVectors(np.ones((1, 2), np.float32), np.array([0, 1]))

    encode_documents = encode_queries


class Lengths:
    """A user's own scorer."""

    comparable, fingerprint = True, "l"

    def __init__(self, source: str) -> None:
        self.source = source

    def score(self, query: str, texts: list[str]) -> Any:
        return np.array([len(text) for text in texts], np.float32)


def test_a_users_own_class_can_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    found = open_teacher("test_teachers:Lengths=x").answer(QUESTIONS)
    assert [row[:, 0].tolist() for row in found] == [[18, 7], [4]]
    with pytest.raises(BadInput, match="neither a scorer nor an encoder"):
        open_teacher("fractions:Fraction=3")
    with pytest.raises(NotFound, match="teacher"):
        open_teacher("nothing=x")


def test_a_vector_a_token_is_refused() -> None:
    with pytest.raises(BadInput, match="one vector a token"):
        EncoderTeacher("t", Tokens("x")).answer(QUESTIONS)  # type: ignore[arg-type]
