"""The encoder by torch and over ONNX networks: the same vectors, the second without torch; what is missing is said."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from retr.encoders import load_encoder
from retr.encoders.images.encoder import load
from retr.encoders.trainable.images.opening import FilipSettings, open_filip
from retr.retrieval.errors import BadInput, Damaged, NotFound
from retr.retrieval.pictures import Picture
from retr.retrieval.protocols import Encoder, ReadsImages, TokenAware

TEXTS = ["a red circle", "green", "", "a large blue square and a small star", "green"]
NAMES = ["0.png", "3.png", "1.png"]


def pictures(images: Path) -> list[Picture]:
    return [Picture.read(name, images) for name in NAMES]


def check_like(encoder: Any, student: Any, images: Path) -> None:
    """The encoder gives the student's vectors, of texts and images."""
    assert isinstance(encoder, Encoder) and isinstance(encoder, ReadsImages) and isinstance(encoder, TokenAware)
    texts, seen = student.read_texts(TEXTS), student.read_images(NAMES)
    for found, expected in (
        (encoder.encode_queries(TEXTS), texts),
        (encoder.encode_documents(TEXTS), texts),
        (encoder.encode_images(iter(pictures(images))), seen),
    ):
        assert (len(found), found.dim) == (len(expected.vectors), encoder.dim)
        np.testing.assert_allclose(found.values, expected.vectors[expected.kept].detach().numpy(), atol=1e-5)


def test_a_folder_that_was_trained_is_read_by_torch(model: Path, images: Path) -> None:
    student = open_filip(model, FilipSettings(images=images))
    student.module.eval()
    encoder: Any = load_encoder(str(model))
    assert encoder.describe()["runtime"] == "torch" and encoder.similarity == "maxsim"
    check_like(encoder, student, images)
    assert [len(encoder.encode_queries([])), len(encoder.encode_images([]))] == [0, 0]
    with pytest.raises(BadInput, match="is not of the formats"):
        encoder.encode_images([Picture(b"no image")])


def test_without_weights_nor_networks_it_is_told(model: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(model, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors")))
    with pytest.raises(NotFound, match=r"model\.onnx is missing"):
        load(str(bare))
    (bare / "retr.json").write_text("{}")
    with pytest.raises(Damaged, match="does not tell"):
        load(str(bare))


@pytest.mark.slow
def test_networks_give_the_same_without_torch(model: Path, images: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from retr.encoders.trainable.images.networks import write_networks

    student = open_filip(model, FilipSettings(images=images))
    student.module.eval()
    student.save(tmp_path)
    before = load(str(tmp_path))
    assert max(write_networks(tmp_path).values()) < 1e-5
    encoder = load(str(tmp_path))
    assert encoder.describe()["runtime"] == "onnxruntime" and encoder.fingerprint != before.fingerprint
    check_like(encoder, student, images)
    code = "import sys; from retr.encoders.images.encoder import load; from retr.retrieval.pictures import Picture; "
    code += f"e = load({str(tmp_path)!r}); e.encode_queries(['a red circle']); "
    code += f"e.encode_images([Picture.read({str(images / NAMES[0])!r})]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
    told = tmp_path / "image" / "preprocessor_config.json"
    told.write_text(told.read_text().replace('"resample": 3', '"resample": 2'))
    assert load(str(tmp_path)).fingerprint != encoder.fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("interaction", ["tokens", "global"])
def test_an_export_is_measured_and_needs_no_weights(
    model: Path, images: Path, tmp_path: Path, interaction: Any
) -> None:
    pytest.importorskip("onnxscript")
    from retr.encoders.exporting import export
    from retr.encoders.exporting.settings import ExportSettings

    student = open_filip(model, FilipSettings(images=images, interaction=interaction))
    student.module.eval()
    student.save(tmp_path / "trained")
    told: list[str] = []
    settings = ExportSettings(weights=False)
    done = export(str(tmp_path / "trained"), tmp_path / "out", settings=settings, report=told.append)
    assert done.record.kind == "filip" and done.record.built == "torch" and told
    assert done.record.figures.keys() == {"texts", "images"} and done.record.texts["pictures"] == 12
    assert not list((tmp_path / "out").rglob("*.safetensors"))
    encoder = load(str(tmp_path / "out"))
    assert encoder.describe()["runtime"] == "onnxruntime"
    check_like(encoder, student, images)
    with pytest.raises(BadInput, match="is exported in float32"):
        export(str(tmp_path / "trained"), tmp_path / "half", settings=ExportSettings(precision="float16"))
    network = tmp_path / "out" / "text" / "onnx" / "model.onnx"
    network.write_bytes(network.read_bytes() + b"\0")
    with pytest.raises(Damaged, match="was exported and measured"):
        load(str(tmp_path / "out"))
