"""What a Poly-Encoder promises: candidates apart from the query, padding unseen, and its limits as plain formulas."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.trainable.backbone import BackboneSettings  # noqa: E402
from retr.encoders.trainable.poly import PolyModule, PolySettings, PolyStudent, open_poly  # noqa: E402
from retr.retrieval.errors import BadInput, NotFound  # noqa: E402

QUERY = "the red fish swims\nin cold water"
TEXTS = ["a stone falls", "from the blue sky", "", "red", "cold water in the sea"]
MakeFolder = Callable[..., Path]


def settings(**changes: Any) -> PolySettings:
    return PolySettings(**{"codes": 4, "context_tokens": 40, "candidate_tokens": 24, **changes})


def scores(student: PolyStudent, texts: list[str], query: str = QUERY) -> Any:
    student.module.eval()
    with torch.no_grad():
        return student.score([query], [texts])[0].numpy()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("context", ["learned", "first"])
def test_a_score_depends_on_nothing_but_its_pair(make_folder: MakeFolder, context: str, attention: Any) -> None:
    student = open_poly(make_folder("bert"), settings(context=context), BackboneSettings(attention=attention))
    together = scores(student, TEXTS)
    assert np.ptp(together) > 0.1
    for row, text in enumerate(TEXTS):
        assert float(scores(student, [text])[0]) == pytest.approx(float(together[row]), abs=1e-4)
    with torch.no_grad():
        found = student.score(["sky", QUERY], [TEXTS[:1], TEXTS])
    np.testing.assert_allclose(found[1].numpy(), together, atol=1e-4)


@pytest.mark.parametrize("context", ["learned", "first"])
def test_kept_candidates_score_as_those_read_now(make_folder: MakeFolder, context: str) -> None:
    student = open_poly(make_folder("bert"), settings(context=context))
    expected = scores(student, TEXTS)
    with torch.no_grad():
        kept = student.read_candidates(TEXTS)
        found = student.score_vectors(student.read_contexts([QUERY]), [kept])[0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("context", ["learned", "first"])
def test_under_mixed_precision_padding_still_counts_for_nothing(make_folder: MakeFolder, context: str) -> None:
    student = open_poly(make_folder("bert"), settings(context=context))
    expected = scores(student, TEXTS)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found = student.score(["sky", QUERY], [TEXTS[:1], TEXTS])[1].float().numpy()
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.05 * float(np.ptp(expected)))


def test_one_code_is_softmax_pooling_whatever_the_candidate(make_folder: MakeFolder) -> None:
    student = open_poly(make_folder("bert"), settings(codes=1))
    found = scores(student, TEXTS)
    with torch.no_grad():
        states = student.contexts.states([student.cutting.context(QUERY)])[0]
        pooled = (states @ student.module.codes[0]).softmax(0) @ states
        expected = student.read_candidates(TEXTS) @ pooled
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_equal_codes_collapse_to_one(make_folder: MakeFolder) -> None:
    one, many = open_poly(make_folder("bert"), settings(codes=1)), open_poly(make_folder("bert"), settings(codes=5))
    with torch.no_grad():
        many.module.codes.copy_(one.module.codes.expand(5, -1))
    np.testing.assert_allclose(scores(many, TEXTS), scores(one, TEXTS), atol=1e-4)


def test_scores_worked_by_hand() -> None:
    module = PolyModule(torch.nn.Identity(), torch.nn.Identity(), torch.zeros(2, 2))
    states, kept = torch.tensor([[[1.0, 0.0], [3.0, 2.0], [9.0, 9.0]]]), torch.tensor([[True, True, False]])
    assert module.vectors(states, kept).tolist() == [[[2.0, 1.0], [2.0, 1.0]]]
    context, real = torch.tensor([[np.log(3.0), 0.0], [0.0, 0.0], [9.0, 9.0]]), torch.tensor([True, True, False])
    found = module(context.float(), real, torch.tensor([[1.0, 5.0]]))
    assert float(found[0]) == pytest.approx(0.75 * np.log(3.0))


def test_first_states_beyond_a_short_context_are_not_there(make_folder: MakeFolder) -> None:
    few = open_poly(make_folder("bert"), settings(context="first", codes=3))
    many = open_poly(make_folder("bert"), settings(context="first", codes=30))
    np.testing.assert_allclose(scores(many, TEXTS, "red"), scores(few, TEXTS, "red"), atol=1e-4)


def test_two_encoders_learn_apart_and_a_shared_one_together(make_folder: MakeFolder) -> None:
    apart = open_poly(make_folder("bert"), settings())
    shared = open_poly(make_folder("bert"), settings(shared=True))
    assert apart.contexts.model is not apart.candidates.model
    assert shared.contexts.model is shared.candidates.model
    np.testing.assert_allclose(scores(apart, TEXTS), scores(shared, TEXTS), atol=1e-5)
    for student in (apart, shared):
        student.module.train()
        student.score([QUERY], [TEXTS])[0].square().sum().backward()
        learns = [(name, value) for name, value in student.module.named_parameters() if value.requires_grad]
        assert [name for name, value in learns if value.grad is None] == []


@pytest.mark.parametrize("changes", [{}, {"shared": True}, {"context": "first"}])
def test_a_saved_student_scores_the_same(make_folder: MakeFolder, tmp_path: Path, changes: Any) -> None:
    student = open_poly(make_folder("roberta"), settings(**changes))
    with torch.no_grad():
        student.candidates.model.embeddings.word_embeddings.weight.mul_(1.5)
    student.save(tmp_path)
    again = open_poly(tmp_path)
    assert again.settings == student.settings
    np.testing.assert_allclose(scores(again, TEXTS), scores(student, TEXTS), atol=1e-6)


def test_codes_that_are_missing_are_told(make_folder: MakeFolder, tmp_path: Path) -> None:
    open_poly(make_folder("bert"), settings()).save(tmp_path)
    (tmp_path / "poly.safetensors").unlink()
    with pytest.raises(NotFound, match=r"poly\.safetensors is missing"):
        open_poly(tmp_path)


def test_no_queries_and_no_candidates(make_folder: MakeFolder) -> None:
    student = open_poly(make_folder("bert"), settings())
    assert student.score([], []) == []
    assert [len(part) for part in student.score(["a", "b"], [[], ["c"]])] == [0, 1]


def test_settings_that_do_not_fit_are_refused(make_folder: MakeFolder) -> None:
    with pytest.raises(BadInput, match="learned or first"):
        PolySettings(context="last")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="at least 1"):
        PolySettings(codes=0)
    with pytest.raises(BadInput, match="reads 96"):
        open_poly(make_folder("bert"), settings(context_tokens=97))
