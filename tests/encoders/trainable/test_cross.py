"""The cross-encoder that learns scores as transformers and retr's own serving do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders import load_scorer  # noqa: E402
from retr.encoders.trainable.backbone import BackboneSettings  # noqa: E402
from retr.encoders.trainable.cross import CrossStudent, open_cross  # noqa: E402
from retr.encoders.trainable.student import Student  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

QUERY, TEXTS = "the red fish", ["a stone falls", "", "cold water in the blue sky", "red fish"]
MakeFolder = Callable[..., Path]


def scores(student: CrossStudent) -> Any:
    student.module.eval()
    with torch.no_grad():
        return student.score([QUERY], [TEXTS])[0].numpy()


def by_transformers(folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    with torch.no_grad():
        pairs = tokenizer([QUERY] * len(TEXTS), TEXTS, padding=True, truncation=True, return_tensors="pt")
        return model(**pairs).logits[:, 0].numpy()


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "mpnet"])
def test_a_classifier_scores_as_it_does_elsewhere(make_cross: MakeFolder, tmp_path: Path, family: str) -> None:
    folder = make_cross(family)
    student = open_cross(folder)
    assert isinstance(student, Student)
    student.save(tmp_path)
    found = scores(student)
    assert np.ptp(found) > 0.1
    for answer in (
        by_transformers(folder),
        by_transformers(tmp_path),
        load_scorer(f"cross={tmp_path}").score(QUERY, TEXTS),
    ):
        np.testing.assert_allclose(found, answer, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "deberta"])
def test_an_encoder_gets_one_random_head_from_a_seed(make_folder: MakeFolder, tmp_path: Path, family: str) -> None:
    folder = make_folder(family)
    one, same, other = (open_cross(folder, running=BackboneSettings(seed=seed)) for seed in (1, 1, 2))
    one.save(tmp_path)
    np.testing.assert_array_equal(scores(one), scores(same))
    assert np.abs(scores(one) - scores(other)).max() > 1e-3
    np.testing.assert_allclose(by_transformers(tmp_path), scores(one), atol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_pair_scores_the_same_in_any_company(make_cross: MakeFolder, attention: Any) -> None:
    student = open_cross(make_cross("bert"), running=BackboneSettings(attention=attention))
    together = scores(student)
    with torch.no_grad():
        alone = [float(student.score([QUERY], [[text]])[0]) for text in TEXTS]
        groups = student.score([QUERY, "sky", QUERY], [TEXTS[:1], [], TEXTS[1:]])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert [len(group) for group in groups] == [1, 0, 3]
    np.testing.assert_allclose(torch.cat(groups).numpy(), together, atol=1e-5)


def test_every_weight_gets_a_gradient(make_cross: MakeFolder) -> None:
    student = open_cross(make_cross("bert"))
    student.module.train()
    student.score([QUERY], [TEXTS])[0].square().sum().backward()
    assert [name for name, value in student.module.named_parameters() if value.grad is None] == []


def test_a_classifier_of_more_labels_is_refused(make_cross: MakeFolder) -> None:
    with pytest.raises(BadInput, match="3 labels"):
        open_cross(make_cross("bert", labels=3))


def test_it_has_no_vectors_and_takes_a_list_for_each_query(make_cross: MakeFolder) -> None:
    student = open_cross(make_cross("bert"))
    with pytest.raises(BadInput, match="no vectors"):
        student.encode_queries(["red"])
    with pytest.raises(BadInput, match="one for each"):
        student.score(["red", "blue"], [["a"]])
    with pytest.raises(BadInput, match="list of texts"):
        student.score(["red"], ["a stone"])
