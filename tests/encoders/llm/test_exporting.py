"""Exported decoders: the file makes its own mask, gives the vectors it was exported from, and runs without torch."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.slow

from retr.encoders import load_encoder  # noqa: E402
from retr.encoders.exporting import export  # noqa: E402
from retr.encoders.exporting.settings import ExportSettings  # noqa: E402
from retr.encoders.trainable.llm.opening import open_llm  # noqa: E402
from retr.encoders.trainable.llm.settings import LlmSettings  # noqa: E402
from retr.retrieval.errors import BadInput  # noqa: E402

TEXTS = ["the red fish swims", "", "from the sky falls a fish in cold water"]
NO_TORCH = """
import sys
from retr.encoders import load_encoder
encoder = load_encoder(sys.argv[1])
encoder.encode_queries(["the red fish"])
assert encoder.describe()["runtime"] == "onnxruntime", encoder.describe()
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gemma3", LlmSettings(attention="bidirectional", query_prompt="query : ")),
        ("qwen2", LlmSettings(pooling="latent-layers", latents=3, heads=2)),
    ],
)
def test_an_export_gives_the_vectors_of_its_source(
    make_decoder: Any, tmp_path: Path, family: str, settings: LlmSettings
) -> None:
    open_llm(make_decoder(family), settings).save(tmp_path / "model")
    done = export(str(tmp_path / "model"), tmp_path / "out", settings=ExportSettings(weights=False))
    assert done.record.figures["file"]["worst_cosine"] > 0.99999
    source, exported = load_encoder(str(tmp_path / "model")), load_encoder(str(tmp_path / "out"))
    np.testing.assert_allclose(exported.encode_queries(TEXTS).values, source.encode_queries(TEXTS).values, atol=2e-5)
    if family == "gemma3":
        subprocess.run([sys.executable, "-c", NO_TORCH, str(tmp_path / "out")], check=True)


def test_an_adapter_is_to_be_merged_first(make_decoder: Any, tmp_path: Path) -> None:
    folder = make_decoder("llama")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(BadInput, match="is an adapter beside its base"):
        export(f"llm={folder}", tmp_path / "out")
