"""`load_encoder(…, device=…)` and RETR_DEVICE: what moves, what is refused, and that the vectors stay the same."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder, load_scorer
from retr.encoders.running import devices
from retr.encoders.running.network import PoolingNetwork
from retr.retrieval.errors import BadInput, NotFound

TEXTS = ["the red fish swims", "", "a", "stone falls from the blue sky in cold water", "a", "zzz " * 40]
by_torch = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("transformers") is None, reason="torch or transformers is not installed"
)


def seen_asking(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every device that is asked for is played by the CPU, through torch; the list of those asked for."""
    from retr.encoders.on_torch.compute import Compute

    asked: list[str] = []
    opening = devices.open_as_asked

    def on_the_cpu(path: Path, weights: Any, compute: Compute, *, classifier: bool) -> Any:
        asked.append(compute.device)
        return opening(path, weights, Compute(), classifier=classifier)

    monkeypatch.setattr("retr.encoders.running.opening.open_as_asked", on_the_cpu)
    return asked


@by_torch
@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet", "distilbert"])
def test_another_device_gives_the_vectors_of_the_cpu(
    make_bi: Any, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    settings = {"prompts": {"query": "query: "}}
    pooling = {"pooling_mode_mean_tokens": True, "include_prompt": False}
    folder = str(make_bi(family, settings=settings, pooling=pooling, dense="torch.nn.modules.activation.Tanh"))
    usual = load_encoder(folder)
    asked = seen_asking(monkeypatch)
    moved = load_encoder(folder, device="cuda:0")
    assert asked == ["cuda:0"]
    assert isinstance(moved.network, PoolingNetwork)  # type: ignore[attr-defined]
    np.testing.assert_allclose(moved.encode_queries(TEXTS).values, usual.encode_queries(TEXTS).values, atol=2e-5)
    np.testing.assert_allclose(moved.encode_documents(TEXTS).values, usual.encode_documents(TEXTS).values, atol=2e-5)
    assert moved.encode_documents([]).values.shape == (0, moved.dim)
    assert moved.fingerprint == usual.fingerprint


@by_torch
def test_another_device_gives_the_scores_of_the_cpu(make_cross: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(make_cross("bert"))
    expected = load_scorer(folder).score("red fish", TEXTS)
    asked = seen_asking(monkeypatch)
    np.testing.assert_allclose(load_scorer(folder, device="cuda").score("red fish", TEXTS), expected, atol=2e-5)
    assert asked == ["cuda"]


@by_torch
def test_the_environment_moves_a_folder_and_the_argument_overrules_it(
    make_bi: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = seen_asking(monkeypatch)
    monkeypatch.setenv("RETR_DEVICE", "cuda:1")
    load_encoder(str(make_bi()))
    load_encoder(str(make_bi()), device="cpu")
    assert asked == ["cuda:1"]


@by_torch
def test_a_gpu_that_is_not_there_is_no_reason_to_use_the_cpu(make_bi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(NotFound, match="cuda is not there"):
        load_encoder(str(make_bi()), device="cuda")
    assert load_encoder(str(make_bi()), device="auto").describe()["runtime"] != "torch"  # type: ignore[attr-defined]


def test_a_model_that_comes_for_the_cpu_stays_there() -> None:
    with pytest.raises(BadInput, match="cannot run on cuda"):
        load_encoder(device="cuda")


def test_an_unknown_device_is_refused(make_bi: Any) -> None:
    with pytest.raises(BadInput, match="'gpu'"):
        load_encoder(str(make_bi()), device="gpu")


def lone_encoder(source: str) -> Any:
    """A user's own kind, which knows of no devices."""
    return source


def test_a_kind_that_knows_no_devices_is_not_asked_for_one() -> None:
    spec = f"{__name__}:lone_encoder=here"
    assert load_encoder(spec) == load_encoder(spec, device="cpu") == "here"
    with pytest.raises(BadInput, match="on the CPU alone"):
        load_encoder(spec, device="cuda")


@by_torch
def test_bfloat16_has_a_fingerprint_of_its_own(make_bi: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retr.encoders.on_torch.compute.cpu_flags", lambda: {"avx512_bf16"})
    folder = str(make_bi())
    half, whole = load_encoder(folder, device="cpu+bfloat16"), load_encoder(folder)
    assert half.fingerprint != whole.fingerprint  # type: ignore[attr-defined]
    found = half.encode_documents(TEXTS).values
    relative = np.linalg.norm(found - whole.encode_documents(TEXTS).values, axis=1)
    assert 0 < relative.max() < 5e-2
