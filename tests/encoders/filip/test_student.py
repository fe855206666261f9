"""The student: folders that it opens, what it reads, and that a saved one is the same."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from retr.encoders.images.pixels import read_images  # noqa: E402
from retr.encoders.trainable.images.both_ways import both_ways  # noqa: E402
from retr.encoders.trainable.images.opening import FilipSettings, open_filip  # noqa: E402
from retr.encoders.trainable.images.prompts import classify  # noqa: E402
from retr.encoders.trainable.student import Student  # noqa: E402
from retr.retrieval.errors import BadInput, Damaged, NotFound  # noqa: E402

CAPTIONS = ["a red circle", "a large blue square and a small star", "green"]
NAMES = ["0.png", "1.png", "2.png"]
TINY: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
}  # fmt: skip


def opened(folder: Path, images: Path, **settings: Any) -> Any:
    student = open_filip(folder, FilipSettings(images=images, **settings))
    student.module.eval()
    return student


@pytest.fixture(scope="module")
def student(model: Path, images: Path) -> Any:
    return opened(model, images)


def test_it_is_a_student(student: Any) -> None:
    assert isinstance(student, Student)
    assert (student.dim, student.image.grid, student.image.front) == (8, (3, 3), 1)


def test_a_token_has_a_vector_of_unit_length_and_padding_has_none(student: Any) -> None:
    texts, images = student.read_texts(CAPTIONS), student.read_images(NAMES)
    assert texts.kept.sum(1).tolist() == [len(student.text.backbone.tokenizer.encode(text)) for text in CAPTIONS]
    assert list(images.vectors.shape) == [3, 9, 8]
    for side in (texts, images):
        torch.testing.assert_close(side.vectors[side.kept].norm(dim=1), torch.ones(int(side.kept.sum())))


def test_a_text_is_the_same_alone_and_beside_a_longer_one(student: Any) -> None:
    beside, alone = student.read_texts(CAPTIONS), student.read_texts(CAPTIONS[:1])
    width = alone.kept.shape[1]
    torch.testing.assert_close(beside.vectors[0, :width], alone.vectors[0], rtol=0, atol=1e-6)


def test_scores_are_text_to_image_and_equal_paths_are_read_once(student: Any) -> None:
    found = student.score(CAPTIONS[:2], [["1.png", "0.png", "1.png"], []])
    expected = both_ways(student.read_images(NAMES), student.read_texts(CAPTIONS))[1]
    torch.testing.assert_close(found[0], expected[[1, 0, 1], 0])
    assert len(found[1]) == 0


def test_one_that_compares_tokens_has_no_vector_of_a_text(student: Any) -> None:
    with pytest.raises(BadInput, match="no single vector"):
        student.encode_queries(["a"])


def test_a_global_one_has(model: Path, images: Path) -> None:
    one = opened(model, images, interaction="global")
    assert list(one.encode_queries(CAPTIONS).shape) == [3, 8]
    expected = one.encode_documents(NAMES) @ one.encode_queries(CAPTIONS).T
    for found in both_ways(one.read_images(NAMES), one.read_texts(CAPTIONS)):
        torch.testing.assert_close(found, expected)


def test_a_saved_one_opens_as_the_same(model: Path, images: Path, tmp_path: Path) -> None:
    one = opened(model, images, interaction="global", temperature=0.03, temperatures=2)
    with torch.no_grad():
        for value in one.module.parameters():
            value.add_(0.01)
    one.save(tmp_path)
    again = open_filip(tmp_path)
    assert (again.interaction, len(again.heads.log_scale)) == ("global", 2)
    again = opened(tmp_path, images, interaction="global", temperatures=2)
    torch.testing.assert_close(again.heads.log_scale, one.heads.log_scale)
    torch.testing.assert_close(again.encode_queries(CAPTIONS), one.encode_queries(CAPTIONS))
    torch.testing.assert_close(again.encode_documents(NAMES), one.encode_documents(NAMES))


def test_the_scale_is_at_most_a_hundred(model: Path, images: Path) -> None:
    one = opened(model, images)
    with torch.no_grad():
        one.heads.log_scale.fill_(50.0)
    assert [float(scale.detach()) for scale in one.heads.scales()] == [100.0, 100.0]


@pytest.fixture(scope="module")
def clip(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP folder as transformers saves it, with our tokenizer."""
    folder = tmp_path_factory.mktemp("clip")
    words = len((model / "text" / "vocab.txt").read_text().splitlines())
    text = {**TINY, "vocab_size": words, "max_position_embeddings": 20, "eos_token_id": 3, "bos_token_id": 2}
    vision = {**TINY, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    transformers.CLIPModel(
        transformers.CLIPConfig(text_config={**text, "pad_token_id": 0}, vision_config=vision, projection_dim=6)
    ).save_pretrained(str(folder))
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copyfile(model / "text" / name, folder / name)
    return folder


def test_a_clip_folder_gives_the_logits_of_transformers(clip: Path, images: Path, tmp_path: Path) -> None:
    one = opened(clip, images, interaction="global")
    theirs = transformers.CLIPModel.from_pretrained(str(clip)).eval()
    ids = [one.text.backbone.tokenizer.encode(text).ids for text in CAPTIONS]
    width = max(map(len, ids))
    given = torch.tensor([[*row, *[0] * (width - len(row))] for row in ids])
    pixels = torch.from_numpy(read_images(NAMES, images, one.image.pixels))
    with torch.no_grad():
        logits = theirs(input_ids=given, attention_mask=(given != 0).long(), pixel_values=pixels).logits_per_image
        own = one.encode_documents(NAMES) @ one.encode_queries(CAPTIONS).T * one.heads.scales()[0]
    torch.testing.assert_close(own, logits, rtol=1e-4, atol=1e-4)
    one.save(tmp_path)
    torch.testing.assert_close(
        opened(tmp_path, images, interaction="global").encode_documents(NAMES), one.encode_documents(NAMES)
    )


def test_a_siglip_folder_gives_the_vectors_of_transformers(model: Path, images: Path, tmp_path: Path) -> None:
    words = len((model / "text" / "vocab.txt").read_text().splitlines())
    text = {**TINY, "vocab_size": words, "max_position_embeddings": 20, "pad_token_id": 0}
    torch.manual_seed(0)
    whole = transformers.SiglipModel(
        transformers.SiglipConfig(text_config=text, vision_config={**TINY, "image_size": 16, "patch_size": 8})
    ).eval()
    whole.save_pretrained(str(tmp_path))
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copyfile(model / "text" / name, tmp_path / name)
    one = opened(tmp_path, images, interaction="global")
    ids = [one.text.backbone.tokenizer.encode(text).ids for text in CAPTIONS]
    given = torch.tensor([[*row, *[0] * (20 - len(row))] for row in ids])
    with torch.no_grad():
        texts = whole.get_text_features(input_ids=given).pooler_output
        seen = whole.get_image_features(torch.from_numpy(read_images(NAMES, images, one.image.pixels))).pooler_output
    normal = torch.nn.functional.normalize
    torch.testing.assert_close(one.encode_queries(CAPTIONS), normal(texts), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.encode_documents(NAMES), normal(seen), rtol=1e-4, atol=1e-5)
    assert list(opened(tmp_path, images, dim=4).read_texts(CAPTIONS).vectors.shape[::2]) == [3, 4]


def test_a_text_encoder_and_a_vision_model_become_one(make_bi: Any, images: Path, tmp_path: Path) -> None:
    vision = tmp_path / "vit"
    transformers.ViTModel(transformers.ViTConfig(**TINY, image_size=16, patch_size=8)).save_pretrained(str(vision))
    text = make_bi()
    one = opened(text, images, image_model=vision, dim=5)
    assert list(one.read_images(NAMES).vectors.shape) == [3, 4, 5]
    one.save(tmp_path / "both")
    again = opened(tmp_path / "both", images)
    torch.testing.assert_close(again.read_images(NAMES).vectors, one.read_images(NAMES).vectors)
    torch.testing.assert_close(again.read_texts(CAPTIONS).vectors, one.read_texts(CAPTIONS).vectors)
    with pytest.raises(BadInput, match="without an images' half"):
        opened(text, images)


def test_likenesses_of_prompts_are_averaged_and_not_their_vectors(student: Any) -> None:
    prompts = ["{}", "a large {} and a small star"]
    found = classify(student, NAMES, ["red", "green circle"], prompts)
    for column, label in enumerate(["red", "green circle"]):
        texts = student.read_texts([prompt.replace("{}", label) for prompt in prompts])
        torch.testing.assert_close(found[:, column], both_ways(student.read_images(NAMES), texts)[0].mean(1))
    with pytest.raises(BadInput, match=r"no \{\} for the label"):
        classify(student, NAMES, ["red"], ["a photo"])


def test_what_is_no_folder_of_images_or_of_a_model_is_refused(model: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="images is"):
        open_filip(model, FilipSettings(images=tmp_path / "none"))
    with pytest.raises(BadInput, match="dim is 9"):
        opened(model, images, dim=9)
    broken = Path(shutil.copytree(model, tmp_path / "broken"))
    (broken / "image" / "preprocessor_config.json").write_text('{"size": "large"}')
    with pytest.raises(Damaged, match="settings that make no sense"):
        open_filip(broken)
    (tmp_path / "retr.json").write_text('{"filip": {"kind": "filip"}}')
    with pytest.raises(Damaged, match="get the folder again"):
        open_filip(tmp_path)


@pytest.mark.parametrize("wrong", [{"dim": -1}, {"temperature": 0.001}, {"temperatures": 3}, {"interaction": "all"}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        FilipSettings(**wrong)


def test_what_a_model_sees_is_its_own_patches_and_words(student: Any) -> None:
    from retr.encoders.trainable.images.aligning import align

    found = align(student, "0.png", CAPTIONS[1])
    assert found.tokens[0] == "[CLS]" and found.spans[1] == (0, 1)
    patches, words = student.read_images(["0.png"]).vectors[0], student.read_texts([CAPTIONS[1]]).vectors[0]
    np.testing.assert_allclose(found.likeness, (patches @ words.T).detach().numpy(), atol=1e-6)
    to_text, _ = both_ways(student.read_images(["0.png"]), student.read_texts([CAPTIONS[1]]))
    assert float(found.best_of_patch.mean()) == pytest.approx(float(to_text.detach()), abs=1e-6)
