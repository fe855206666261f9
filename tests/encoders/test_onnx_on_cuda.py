"""ONNX Runtime on a GPU is asked for, checked to be active, and refused in one line; a stand-in plays the runtime."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from retr.encoders.on_torch.compute import Compute
from retr.encoders.running import devices
from retr.encoders.running.devices import PROVIDER, open_as_asked, open_on_device
from retr.retrieval.errors import BadInput, Damaged, NotFound


class Session:
    """What is asked of an InferenceSession; its states are float16."""

    def __init__(self, active: list[str], given: dict[str, Any]) -> None:
        self.active, self.given, self.fallback = active, given, True

    def get_providers(self) -> list[str]:
        return self.active

    def disable_fallback(self) -> None:
        self.fallback = False

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name="input_ids"), SimpleNamespace(name="attention_mask")]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="last_hidden_state")]

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
        return [np.ones((*inputs["input_ids"].shape, 4), np.float16)]


def stand_in(
    monkeypatch: pytest.MonkeyPatch, available: list[str], active: list[str], error: str = ""
) -> list[Session]:
    """An onnxruntime with these providers; the sessions that it opened."""
    opened: list[Session] = []

    def open_session(path: str, options: Any, providers: Any) -> Session:
        if error:
            raise RuntimeError(error)
        opened.append(Session(active, {"path": path, "providers": providers, "options": options}))
        return opened[-1]

    options = SimpleNamespace(add_session_config_entry=lambda name, value: None)
    module = SimpleNamespace(
        get_available_providers=lambda: available, InferenceSession=open_session, SessionOptions=lambda: options
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", module)
    return opened


def test_the_provider_of_the_gpu_asked_for_is_opened_without_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = stand_in(monkeypatch, [PROVIDER], [PROVIDER, "CPUExecutionProvider"])
    session = open_on_device(Path("model.onnx"), "cuda:3")
    assert session is opened[0]
    assert opened[0].given["providers"] == [(PROVIDER, {"device_id": 3})]
    assert not opened[0].fallback


def test_a_runtime_without_the_provider_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, ["CPUExecutionProvider"], [])
    with pytest.raises(NotFound, match="onnxruntime-gpu"):
        open_on_device(Path("model.onnx"), "cuda")


def test_a_session_that_fell_back_to_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, [PROVIDER], ["CPUExecutionProvider"])
    with pytest.raises(NotFound, match="CPUExecutionProvider instead of cuda"):
        open_on_device(Path("model.onnx"), "cuda")


def test_a_file_that_cannot_be_opened_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, [PROVIDER], [PROVIDER], error="bad\nprotobuf")
    with pytest.raises(Damaged, match="bad protobuf"):
        open_on_device(Path("model.onnx"), "cuda")


def test_another_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, [PROVIDER], [PROVIDER])
    with pytest.raises(BadInput, match="'mps'"):
        open_on_device(Path("model.onnx"), "mps")


def test_the_float16_file_is_taken_and_its_states_are_float32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened = stand_in(monkeypatch, [PROVIDER], [PROVIDER])
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model_fp16.onnx").write_bytes(b"")
    found = open_as_asked(tmp_path, [], Compute("cuda"), classifier=False)
    assert opened[0].given["path"].endswith("model_fp16.onnx")
    ids = np.zeros((2, 3), np.int64)
    states = found.network(ids, ids)
    assert (states.dtype, states.shape) == (np.dtype(np.float32), (2, 3, 4))
    assert (found.runtime, found.precision) == ("onnxruntime on cuda in float16", "float32")


def test_a_folder_with_nothing_for_a_gpu_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="retr export"):
        open_as_asked(tmp_path, [], Compute("cuda"), classifier=False)


def test_weights_alone_need_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    with pytest.raises(NotFound, match=r"retr\[train\]"):
        open_as_asked(tmp_path, [tmp_path / "model.safetensors"], Compute("cuda"), classifier=False)


def test_this_machines_runtime_refuses_or_has_the_provider(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if PROVIDER in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(NotFound, match="no CUDAExecutionProvider"):
        open_on_device(tmp_path / "model.onnx", "cuda:0")
