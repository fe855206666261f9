"""Devices as text, and what keeps vectors off them."""

import pytest

from retr.index.dense.engine import faiss
from retr.index.dense.gpu import Device, gpus_here, obstacle
from retr.retrieval.errors import BadInput


def test_devices_are_read_from_text() -> None:
    assert Device.parse("cpu") == Device()
    assert Device.parse("cuda:1") == Device((1,))
    assert Device.parse("cuda:1+flat") == Device((1,), "flat")
    assert Device.parse("cuda:1+cagra") == Device((1,), "cagra")
    assert Device.parse("cuda:0,2,0+replicate") == Device((0, 2), spread="replicate")
    assert Device.parse("cuda:0,2+flat+replicate") == Device((0, 2), "flat", "replicate")
    assert Device.parse("cuda").gpus == tuple(range(max(1, gpus_here())))


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cuda:-1", "", "cuda:0,", "cuda+fast", "cuda+flat+cagra"])
def test_other_devices_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="A device is cpu, cuda"):
        Device.parse(text)


def test_cagra_is_for_one_gpu() -> None:
    with pytest.raises(BadInput, match="one GPU"):
        Device.parse("cuda:0,1+cagra")


@pytest.mark.skipif(hasattr(faiss(), "StandardGpuResources"), reason="this FAISS has GPU support")
def test_a_cpu_build_says_what_to_install() -> None:
    assert "see docs/gpu.md for faiss-gpu" in obstacle(Device((0,)))


def test_a_gpu_that_is_not_there_is_named(machine: object) -> None:
    assert obstacle(Device((7,))) == "there is no GPU 7; FAISS sees 2"
    assert obstacle(Device((1,))) == ""


def test_cagra_needs_a_build_with_cuvs(machine: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert obstacle(Device((0,), "cagra")) == ""
    monkeypatch.delattr(faiss(), "GpuIndexCagra")
    assert "without cuVS" in obstacle(Device((0,), "cagra"))
