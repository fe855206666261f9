"""Devices and precisions that are asked for: what is accepted, what is refused in one line, what is the default."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.on_torch import compute  # noqa: E402
from retr.encoders.on_torch.compute import Compute, Placement, cpu_flags  # noqa: E402
from retr.encoders.on_torch.network import network_of  # noqa: E402
from retr.retrieval.errors import BadInput, NotFound  # noqa: E402

MakeTransformer = Callable[..., Any]


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:12", "mps", "auto"])
def test_devices_are_taken_by_name(device: str) -> None:
    assert Compute(device).device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", "", "CUDA"])
def test_another_name_is_refused_with_the_accepted_ones(device: str) -> None:
    with pytest.raises(BadInput, match="cpu, cuda, cuda:N, mps or auto"):
        Compute(device)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(BadInput, match="float16"):
        Compute(precision="int8")  # type: ignore[arg-type]


def test_on_a_cpu_the_default_is_float32_whatever_it_can() -> None:
    place = Compute("cpu").place()
    assert (place.on_cpu, place.precision) == (True, "float32")


def test_the_environment_names_the_device_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETR_DEVICE", "cuda:1")
    assert Compute.asked() == Compute("cuda:1")
    assert Compute.asked("cpu") == Compute("cpu")
    assert Compute.asked("cuda:0+bfloat16") == Compute("cuda:0", "bfloat16")
    monkeypatch.setenv("RETR_DEVICE", "fast")
    with pytest.raises(BadInput, match="RETR_DEVICE is 'fast'"):
        Compute.asked()
    monkeypatch.delenv("RETR_DEVICE")
    assert Compute.asked() == Compute("cpu")


def test_auto_is_the_gpu_where_there_is_one_and_float16_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    place = Compute("auto").place()
    assert (place.device.type, place.precision) == ("cuda", "float16")
    with pytest.raises(NotFound, match="torch sees 2, from cuda:0 to cuda:1"):
        Compute("cuda:2").place()


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NotFound, match="The device cuda is not there"):
        Compute("cuda").place()


def test_half_precision_needs_a_cpu_with_the_instructions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor : 0\nflags : fpu avx512f avx512_vnni\nprocessor : 1\nflags : fpu\n")
    assert cpu_flags(told) == {"fpu", "avx512f", "avx512_vnni"}
    monkeypatch.setattr(compute, "cpu_flags", lambda: cpu_flags(told))
    with pytest.raises(BadInput, match="five times slower"):
        Compute("cpu", "bfloat16").place()
    told.write_text("flags : fpu avx512_bf16\n")
    assert Compute("cpu", "bfloat16").place().precision == "bfloat16"
    assert cpu_flags(tmp_path / "none") == set()


@pytest.mark.filterwarnings("ignore")
def test_a_model_too_large_for_float16_is_told(make_transformer: MakeTransformer) -> None:
    model = make_transformer("bert")
    model.encoder.layer[0].output.dense.weight.data *= 1e6
    place = Placement(torch.device("cpu"), torch.float16)
    with pytest.raises(BadInput, match="no finite numbers in float16"):
        network_of(model, place)
    assert network_of(make_transformer("bert"), place).packs
