"""What holds for every backend and number of candidates: the rest of what Uni- and Poly-Encoders promise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.trainable.backbone import BackboneSettings  # noqa: E402
from retr.encoders.trainable.poly import PolySettings, open_poly  # noqa: E402
from retr.encoders.trainable.uni import UniSettings, open_uni  # noqa: E402

EQUAL, EFFECT = 1e-4, 1e-1
QUERY = "the red fish swims\nin cold water"
WORDS = ["red", "blue", "stone", "fish", "sky", "cold", "water", "falls"]
TEXTS = [" ".join(WORDS[(row + at) % 8] for at in range(1 + row % 5)) + str(row) for row in range(17)]
backends = pytest.mark.parametrize("attention", ["eager", "sdpa"])
MakeFolder = Callable[..., Path]


def uni(folder: Path, mask: str, attention: str) -> Any:
    settings = UniSettings(mask, "shared", context_tokens=40, candidate_tokens=24)  # type: ignore[arg-type]
    student = open_uni(folder, settings, BackboneSettings(attention=attention))  # type: ignore[arg-type]
    torch.nn.init.normal_(student.module.head.weight, generator=torch.Generator().manual_seed(0))
    student.module.eval()
    return student


def poly(folder: Path, attention: str, codes: int) -> Any:
    settings = PolySettings(codes, context_tokens=40, candidate_tokens=24)
    student = open_poly(folder, settings, BackboneSettings(attention=attention))  # type: ignore[arg-type]
    student.module.eval()
    return student


def scores(student: Any, texts: list[str]) -> Any:
    with torch.no_grad():
        return student.score([QUERY], [texts])[0].numpy()


@backends
@pytest.mark.parametrize("count", [1, 2, 17])
def test_a_one_way_score_is_the_same_alone_and_in_a_set_of_any_size(
    make_folder: MakeFolder, attention: str, count: int
) -> None:
    student = uni(make_folder("bert"), "one_way", attention)
    alone = np.concatenate([scores(student, [text]) for text in TEXTS[:count]])
    np.testing.assert_allclose(scores(student, TEXTS[:count]), alone, atol=EQUAL)


@backends
@pytest.mark.parametrize("count", [2, 17])
def test_an_arrow_score_is_another_in_a_set(make_folder: MakeFolder, attention: str, count: int) -> None:
    student = uni(make_folder("bert"), "arrow", attention)
    alone = np.concatenate([scores(student, [text]) for text in TEXTS[:count]])
    assert np.abs(scores(student, TEXTS[:count]) - alone).max() > EFFECT


@backends
def test_a_kept_context_scores_as_the_full_pass(make_folder: MakeFolder, attention: str) -> None:
    student = uni(make_folder("bert"), "one_way", attention)
    with torch.no_grad():
        found = student.score_after(student.read(QUERY), TEXTS).numpy()
    np.testing.assert_allclose(found, scores(student, TEXTS), atol=EQUAL)


@backends
@pytest.mark.parametrize("mask", ["arrow", "one_way"])
def test_duplicates_score_alike(make_folder: MakeFolder, attention: str, mask: str) -> None:
    first, _, again = scores(uni(make_folder("bert"), mask, attention), [TEXTS[3], TEXTS[1], TEXTS[3]])
    assert first == pytest.approx(again, abs=EQUAL)


@backends
def test_codes_collapse_and_kept_candidates_score_alike(make_folder: MakeFolder, attention: str) -> None:
    folder = make_folder("bert")
    one, many = poly(folder, attention, 1), poly(folder, attention, 5)
    with torch.no_grad():
        context = one.read_contexts([QUERY]).vectors[0, 0]
        pooled = one.read_candidates(TEXTS) @ context  # softmax pooling by the one code, whatever the candidate
        many.module.codes.copy_(one.module.codes.expand(5, -1))
        kept = torch.stack([many.read_candidates([text])[0] for text in TEXTS])
        found = many.score_vectors(many.read_contexts([QUERY]), [kept])[0]
    np.testing.assert_allclose(scores(one, TEXTS), pooled.numpy(), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(scores(many, TEXTS), scores(one, TEXTS), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.numpy(), scores(many, TEXTS), rtol=1e-4, atol=1e-3)


@backends
def test_permuting_candidates_of_a_poly_encoder_permutes_their_scores(make_folder: MakeFolder, attention: str) -> None:
    student = poly(make_folder("bert"), attention, 5)
    np.testing.assert_allclose(scores(student, TEXTS[::-1]), scores(student, TEXTS)[::-1], rtol=1e-4, atol=1e-3)
