"""Image-text retrieval by hand and against a plain count."""

import numpy as np
import pytest

from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.evaluation.image_text import evaluate_image_text, image_places, text_places

# Image 0 has the texts 0 and 1, image 1 the text 2.
SCORES = np.array([[0.2, 0.6, 0.9], [0.1, 0.7, 0.8]])
IMAGE_OF = [0, 0, 1]


def test_figures_by_hand() -> None:
    found = evaluate_image_text(SCORES, IMAGE_OF, depths=(1, 2))
    assert text_places(SCORES, np.array(IMAGE_OF)).tolist() == [2, 1]
    assert image_places(SCORES, np.array(IMAGE_OF)).tolist() == [1, 2, 2]
    assert found.means == pytest.approx(
        {
            "text_recall@1": 1 / 2,
            "text_recall@2": 1.0,
            "image_recall@1": 1 / 3,
            "image_recall@2": 1.0,
            "rsum": 100 * (1 / 2 + 1 + 1 / 3 + 1),
        }
    )
    assert found.per_query["image_recall@1"].tolist() == [1.0, 0.0, 0.0]
    assert (found.images, found.texts) == (2, 3)


def test_places_equal_a_plain_count() -> None:
    rng = np.random.default_rng(0)
    owner = np.array([0, 3, 1, 2, 3, 0, 2])
    scores = rng.integers(0, 4, (4, 7)).astype(float)
    for image in range(4):
        best = max(scores[image, text] for text in range(7) if owner[text] == image)
        others = [scores[image, text] for text in range(7) if owner[text] != image]
        assert text_places(scores, owner)[image] == 1 + sum(other >= best for other in others)
    for text in range(7):
        others = [scores[image, text] for image in range(4) if image != owner[text]]
        assert image_places(scores, owner)[text] == 1 + sum(other >= scores[owner[text], text] for other in others)


def test_equal_scores_are_no_recall() -> None:
    found = evaluate_image_text(np.zeros((3, 3)), [0, 1, 2], depths=(1, 2, 3))
    assert [found.means[f"image_recall@{k}"] for k in (1, 2, 3)] == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("image_of", "said"),
    [([0, 0, 2], "names the image 2, but there are 2"), ([0, 0, 0], "image 1 has no text"), ([0, -1, 1], "counted")],
)
def test_texts_must_be_of_images_that_are_there(image_of: list[int], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        evaluate_image_text(SCORES, image_of)


def test_shapes_must_agree() -> None:
    with pytest.raises(Mismatch, match=r"\[2, 3\]; with 2 texts"):
        evaluate_image_text(SCORES, [0, 1])
    with pytest.raises(BadInput, match="not finite"):
        evaluate_image_text(SCORES * np.nan, IMAGE_OF)
    with pytest.raises(BadInput, match="depths"):
        evaluate_image_text(SCORES, IMAGE_OF, depths=())
