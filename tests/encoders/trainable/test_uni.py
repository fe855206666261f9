"""What each mask promises of a Uni-Encoder, and what the published one does not: methods of Song et al. 2023."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.trainable.backbone import BackboneSettings  # noqa: E402
from retr.encoders.trainable.uni import UniSettings, UniStudent, open_uni  # noqa: E402
from retr.retrieval.errors import BadInput, Damaged, NotFound  # noqa: E402

EQUAL, EFFECT = 1e-4, 1e-1
QUERY = "the red fish swims\nin cold water"
TEXTS = ["a stone falls", "from the blue sky", "", "red", "cold water in the sea", "fish, fish", "no. 7"]
MASKS = ("arrow", "one_way")
BACKENDS = ("eager", "sdpa")
MakeFolder = Callable[..., Path]


@pytest.fixture(scope="session")
def opened(make_folder: MakeFolder) -> Callable[..., UniStudent]:
    """`opened(mask, attention, family, positions)` to a student with a head large enough to see effects."""

    def make(mask: str, attention: str = "sdpa", family: str = "bert", positions: str = "shared") -> UniStudent:
        settings = UniSettings(mask, positions, context_tokens=40, candidate_tokens=24)  # type: ignore[arg-type]
        student = open_uni(make_folder(family), settings, BackboneSettings(attention=attention))  # type: ignore[arg-type]
        torch.nn.init.normal_(student.module.head.weight, generator=torch.Generator().manual_seed(0))
        student.module.eval()
        return student

    return make


def scores(student: UniStudent, texts: list[str], query: str = QUERY) -> Any:
    with torch.no_grad():
        return student.score([query], [texts])[0].numpy()


@pytest.mark.parametrize("attention", BACKENDS)
@pytest.mark.parametrize("mask", MASKS)
def test_permuting_candidates_permutes_their_scores(opened: Any, mask: str, attention: str) -> None:
    student = opened(mask, attention)
    order = [4, 0, 6, 2, 5, 1, 3]
    permuted = scores(student, [TEXTS[row] for row in order])
    np.testing.assert_allclose(permuted, scores(student, TEXTS)[order], atol=EQUAL)


def test_with_unique_positions_the_order_matters(opened: Any) -> None:
    student = opened("one_way", positions="unique")
    assert not student.settings.comparable
    assert np.abs(scores(student, TEXTS[:3][::-1])[::-1] - scores(student, TEXTS[:3])).max() > EFFECT


def test_training_with_unique_positions_shuffles_so_that_no_place_is_the_positives(opened: Any) -> None:
    student = opened("arrow", positions="unique")
    for part in student.module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    student.module.train()
    torch.manual_seed(3)
    found = scores(student, TEXTS)
    torch.manual_seed(3)
    order = torch.randperm(len(TEXTS)).tolist()
    student.module.eval()
    expected = scores(student, [TEXTS[row] for row in order])
    np.testing.assert_allclose(found[order], expected, atol=EQUAL)
    assert np.abs(found - scores(student, TEXTS)).max() > 0.1


@pytest.mark.parametrize("attention", BACKENDS)
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert"])
@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_one_way_scores_do_not_depend_on_the_others(opened: Any, family: str, attention: str, chunk: int) -> None:
    student = opened("one_way", attention, family)
    whole = scores(student, TEXTS)
    parts = [scores(student, TEXTS[start : start + chunk]) for start in range(0, len(TEXTS), chunk)]
    assert np.ptp(whole) > EFFECT
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=EQUAL)


@pytest.mark.parametrize("attention", BACKENDS)
def test_arrow_scores_do_depend_on_the_others(opened: Any, attention: str) -> None:
    student = opened("arrow", attention)
    alone = np.concatenate([scores(student, [text]) for text in TEXTS])
    assert np.abs(alone - scores(student, TEXTS)).max() > EFFECT
    assert not student.settings.comparable


@pytest.mark.parametrize("attention", BACKENDS)
@pytest.mark.parametrize("mask", MASKS)
def test_gradients_say_exactly_who_sees_whom(opened: Any, mask: str, attention: str) -> None:
    student = opened(mask, attention)
    seen: list[Any] = []

    def keep(_: Any, __: Any, states: Any) -> None:
        states.retain_grad()
        seen.append(states)

    hook = student.backbone.model.embeddings.word_embeddings.register_forward_hook(keep)
    student.score([QUERY], [TEXTS[:3]])[0][1].backward()
    hook.remove()
    lengths = [len(student.cutting.context(QUERY)), *(len(ids) for ids in student.cutting.candidates(TEXTS[:3]))]
    context, first, own, last = (part.abs().max() for part in torch.split(seen[0].grad[0], lengths))
    assert context > 0
    assert own > 0
    if mask == "one_way":
        assert first == 0
        assert last == 0
    else:
        assert first > 0
        assert last > 0


@pytest.mark.parametrize("attention", BACKENDS)
@pytest.mark.parametrize("mask", MASKS)
def test_padding_and_company_in_the_batch_change_nothing(opened: Any, mask: str, attention: str) -> None:
    student = opened(mask, attention)
    with torch.no_grad():
        found = student.score(["sky", QUERY, "a stone"], [[TEXTS[0]], TEXTS, TEXTS[2:4]])
    for query, texts, row in (("sky", TEXTS[:1], 0), (QUERY, TEXTS, 1), ("a stone", TEXTS[2:4], 2)):
        np.testing.assert_allclose(found[row].numpy(), scores(student, texts, query), atol=EQUAL)


def test_backends_agree(opened: Any, make_folder: MakeFolder) -> None:
    for mask in MASKS:
        np.testing.assert_allclose(
            scores(opened(mask, "eager"), TEXTS), scores(opened(mask, "sdpa"), TEXTS), atol=EQUAL
        )


def test_arrow_with_one_candidate_is_a_cross_encoder(opened: Any) -> None:
    student = opened("arrow")
    ids = [student.cutting.context(QUERY), student.cutting.candidates(TEXTS[:1])[0]]
    with torch.no_grad():
        states = student.backbone.run([ids[0] + ids[1]], [[0] * len(ids[0]) + [1] * len(ids[1])]).last_hidden_state
        expected = student.module.head(states[0, len(ids[0]) :].mean(0))
    assert float(scores(student, TEXTS[:1])[0]) == pytest.approx(float(expected), abs=EQUAL)


def test_duplicates_have_equal_scores(opened: Any) -> None:
    for mask in MASKS:
        first, _, again = scores(opened(mask), ["a stone", "red", "a stone"])
        assert first == pytest.approx(again, abs=EQUAL)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "modernbert", "electra"])
def test_a_context_read_once_scores_as_the_full_pass(opened: Any, family: str) -> None:
    student = opened("one_way", family=family)
    with torch.no_grad():
        context = student.read(QUERY)
        found = student.score_after(context, TEXTS).numpy()
        later = student.score_after(context, TEXTS[3:]).numpy()
    assert len(context) == 3
    np.testing.assert_allclose(found, scores(student, TEXTS), atol=EQUAL)
    np.testing.assert_allclose(later, found[3:], atol=EQUAL)


def test_a_context_read_once_has_the_gradient_of_the_full_pass(opened: Any) -> None:
    student = opened("one_way")
    weight = student.backbone.model.embeddings.word_embeddings.weight
    student.score([QUERY], [TEXTS])[0].square().sum().backward()
    expected, weight.grad = weight.grad, None
    student.score_after(student.read(QUERY), TEXTS).square().sum().backward()
    assert float((weight.grad - expected).abs().max() / expected.abs().max()) < EQUAL


def test_an_arrow_context_cannot_be_read_before_its_candidates(opened: Any) -> None:
    with pytest.raises(BadInput, match="one_way"):
        opened("arrow").read(QUERY)


def test_every_weight_but_the_poolers_gets_a_gradient(opened: Any) -> None:
    student = opened("one_way")
    student.module.train()
    student.module.zero_grad()
    student.score([QUERY], [TEXTS])[0].square().sum().backward()
    learns = [(name, value) for name, value in student.module.named_parameters() if value.requires_grad]
    assert [name for name, value in learns if value.grad is None] == []


def test_queries_without_candidates_and_no_queries(opened: Any) -> None:
    student = opened("arrow")
    assert [len(part) for part in student.score(["a", "b"], [[], ["c"]])] == [0, 1]
    assert student.score([], []) == []
    assert student.score(["a"], [[]])[0].shape == (0,)


def test_a_context_keeps_its_newest_lines_and_never_nothing(opened: Any) -> None:
    cutting = opened("one_way").cutting
    long = " ".join(["red"] * 60)
    assert cutting.context(f"{long}\nblue fish\na stone") == cutting.context("blue fish\na stone")
    kept = cutting.context(f"blue\n{long} sky")
    assert len(kept) == 40
    assert kept == cutting.context(f"{long} sky")
    assert kept[-2] == cutting.context("sky")[1]
    assert len(cutting.candidates([f"stone {long}"])[0]) == 24
    assert cutting.candidates([f"stone {long}"])[0][1] == cutting.context("stone")[1]


@pytest.mark.parametrize("mask", MASKS)
def test_a_saved_student_scores_the_same(opened: Any, tmp_path: Path, mask: str) -> None:
    student = opened(mask)
    student.save(tmp_path)
    again = open_uni(tmp_path)
    again.module.eval()
    assert again.settings == student.settings
    np.testing.assert_allclose(scores(again, TEXTS), scores(student, TEXTS), atol=1e-6)


def test_a_head_that_is_missing_or_of_another_size_is_told(opened: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    opened("arrow").save(tmp_path)
    save_file({"weight": torch.zeros(1, 8), "bias": torch.zeros(1)}, str(tmp_path / "uni.safetensors"))
    with pytest.raises(Damaged, match="does not fit"):
        open_uni(tmp_path)
    (tmp_path / "uni.safetensors").unlink()
    with pytest.raises(NotFound, match=r"uni\.safetensors is missing"):
        open_uni(tmp_path)


def test_settings_that_do_not_fit_are_refused(make_folder: MakeFolder) -> None:
    with pytest.raises(BadInput, match="arrow or one_way"):
        UniSettings(mask="square")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="96 positions"):
        open_uni(make_folder("bert"), UniSettings(context_tokens=90))
    assert open_uni(make_folder("roberta")).settings.context_tokens == 64
    with pytest.raises(BadInput, match="fewer candidates"):
        student = open_uni(make_folder("bert"), UniSettings("arrow", "unique", 40, 24))
        student.score(["red"], [["the red fish swims"] * 20])
