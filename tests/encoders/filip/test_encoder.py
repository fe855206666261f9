"""The encoder over ONNX networks: torch's vectors, without torch; what is missing is said."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from retr.encoders.images.encoder import load
from retr.encoders.trainable.images.networks import write_networks
from retr.encoders.trainable.images.opening import FilipSettings, open_filip
from retr.retrieval.errors import NotFound
from retr.retrieval.protocols import Encoder

pytestmark = pytest.mark.slow
TEXTS = ["a red circle", "green", "", "a large blue square and a small star", "green"]
NAMES = ["0.png", "3.png", "1.png"]


@pytest.fixture(scope="module")
def both(model: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A student, and the encoder that was made of it. One alone, for torch takes seconds to write networks."""
    student = open_filip(model, FilipSettings(images=images))
    student.module.eval()
    folder = tmp_path_factory.mktemp("networks")
    student.save(folder)
    assert max(write_networks(folder).values()) < 1e-5
    return student, load(str(folder), images=images), folder


def test_it_is_an_encoder_with_the_vectors_of_torch(both: Any) -> None:
    student, encoder, _ = both
    assert isinstance(encoder, Encoder)
    for asked, found in ((TEXTS, encoder.encode_queries(TEXTS)), (NAMES, encoder.encode_documents(NAMES))):
        expected = student.read_texts(TEXTS) if asked is TEXTS else student.read_images(NAMES)
        assert (len(found), found.dim) == (len(asked), encoder.dim)
        np.testing.assert_allclose(found.values, expected.vectors[expected.kept].detach().numpy(), atol=1e-5)
    assert hasattr(found, "offsets") == (encoder.similarity == "maxsim") == (student.interaction == "tokens")


def test_nothing_gives_nothing(both: Any) -> None:
    assert [len(both[1].encode_queries([])), len(both[1].encode_documents([]))] == [0, 0]


def test_the_fingerprint_is_of_the_networks(both: Any, images: Path, tmp_path: Path) -> None:
    _, encoder, folder = both
    again = Path(shutil.copytree(folder, tmp_path / "again"))
    assert load(str(again), images=images).fingerprint == encoder.fingerprint
    told = again / "image" / "preprocessor_config.json"
    told.write_text(told.read_text().replace("255,\\n", "254,\\n", 1).replace('"resample": 3', '"resample": 2'))
    assert load(str(again), images=images).fingerprint != encoder.fingerprint
    (again / "text" / "onnx" / "model.onnx").unlink()
    with pytest.raises(NotFound, match="write_networks"):
        load(str(again))


def test_it_needs_no_torch(both: Any, images: Path) -> None:
    code = "import sys; from retr.encoders.images.encoder import load; "
    code += f"load({str(both[2])!r}).encode_queries(['a red circle']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
