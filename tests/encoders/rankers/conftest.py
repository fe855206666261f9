"""Tiny trained Uni- and Poly-Encoders in folders; made of weights alone, so that no test here needs torch."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders.graphs.wire import Array
from retr.encoders.reading.safetensors_file import floats, read_safetensors

MakeRanker = Callable[..., Path]
DROPPED = (
    "modules.json",
    "1_Pooling",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "*.safetensors",
)
POSITIONS = 98


@pytest.fixture(scope="session")
def write_tensors() -> Callable[[Path, dict[str, Array]], None]:
    """Writes float32 arrays as a safetensors file: eight bytes of length, JSON, and the numbers."""

    def write(path: Path, tensors: dict[str, Array]) -> None:
        head, at = {}, 0
        for name, values in tensors.items():
            head[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + 4 * values.size]}
            at += 4 * values.size
        text = json.dumps(head).encode()
        data = b"".join(np.ascontiguousarray(values, np.float32).tobytes() for values in tensors.values())
        path.write_bytes(len(text).to_bytes(8, "little") + text + data)

    return write


@pytest.fixture(scope="session")
def make_ranker(make_bi: Any, write_tensors: Any, tmp_path_factory: pytest.TempPathFactory) -> MakeRanker:
    """`make_ranker("uni", "bert", mask="arrow")` to a folder; further names are the kind's settings.

    Weights are large: with small ones a leak through a mask is hard to see.
    """

    def encoder(family: str, seed: int, folder: Path) -> Path:
        source = make_bi(family, seed=seed)
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*DROPPED))
        tensors = {name: floats(values) for name, values in read_safetensors([source / "model.safetensors"]).items()}
        rng = np.random.default_rng(seed)
        for name, values in tensors.items():
            if values.ndim == 2 and "embedding" not in name:
                tensors[name] = rng.normal(0, 0.3, values.shape).astype(np.float32)
        positions = next(name for name in tensors if "position_embeddings" in name)
        tensors[positions] = rng.normal(0, 0.5, (POSITIONS, tensors[positions].shape[1])).astype(np.float32)
        write_tensors(folder / "model.safetensors", tensors)
        for name, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
            told = json.loads((folder / name).read_text()) if (folder / name).is_file() else {}
            (folder / name).write_text(json.dumps({**told, key: POSITIONS}))
        return folder

    def make(kind: str, family: str = "bert", *, seed: int = 1, **settings: Any) -> Path:
        folder = tmp_path_factory.mktemp(kind) / "model"
        given = {"context_tokens": 40, "candidate_tokens": 24, **settings}
        rng = np.random.default_rng(seed)
        if kind == "uni":
            dim = _dim(encoder(family, seed, folder))
            write_tensors(folder / "uni.safetensors", {"weight": rng.normal(size=(1, dim)), "bias": np.ones(1)})
        else:
            folder.mkdir()
            dim = _dim(encoder(family, seed, folder / "context"))
            if not given.get("shared"):
                encoder(family, seed + 1, folder / "candidate")
            given = {"codes": 4, **given}
            learned = given.get("context", "learned") == "learned"
            codes = {"codes": rng.normal(size=(given["codes"], dim))} if learned else {}
            write_tensors(folder / "poly.safetensors", codes)
        (folder / "retr.json").write_text(json.dumps({kind: {"kind": kind, **given}}))
        return folder

    return make


def _dim(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text())
    return int(config.get("hidden_size") or config["dim"])


@pytest.fixture(params=["kernels", "off"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the network runs: in the compiled kernels, or by ONNX Runtime."""
    from retr.encoders.kernels import native

    if request.param == "off":
        monkeypatch.setenv(native.SETTING, "off")
    elif not native.kernels():
        pytest.skip("no kernels were built")
    return str(request.param)
