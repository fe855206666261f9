"""Vectors of many texts by torch: any order, any company, every pooling, and the number of threads left as it was."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from retr.encoders.on_torch.batches import pooled_vectors, runs_of_tokens  # noqa: E402
from retr.encoders.on_torch.compute import Compute  # noqa: E402
from retr.encoders.on_torch.network import network_of  # noqa: E402
from retr.encoders.on_torch.threads import one_thread  # noqa: E402
from retr.encoders.running.pooling import POOLINGS, pool  # noqa: E402


def texts() -> list[Any]:
    rng = np.random.default_rng(1)
    return [rng.integers(5, 99, length) for length in (4, 30, 1, 12, 30, 12, 2, 50)]


@pytest.mark.parametrize("skip", [0, 3])
@pytest.mark.parametrize("mode", POOLINGS)
def test_every_pooling_is_that_of_the_states_of_one_text(make_transformer: Any, mode: str, skip: int) -> None:
    network, ids = network_of(make_transformer("bert"), Compute().place()), texts()
    expected = [pool(network(text[None], np.zeros_like(text[None])), [mode], skip)[0] for text in ids]
    np.testing.assert_allclose(pooled_vectors(network, ids, [mode], skip), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["bert", "mpnet"])
@pytest.mark.parametrize("budget", [0, 40, 10_000])
def test_the_batch_makes_no_difference(make_transformer: Any, family: str, budget: int) -> None:
    network, ids = network_of(make_transformer(family), Compute().place()), texts()
    expected = np.concatenate([pooled_vectors(network, [text], ["mean", "cls"]) for text in ids])
    found = pooled_vectors(replace(network, budget=budget), ids, ["mean", "cls"])
    assert found.shape == (8, 64)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_texts_give_no_vectors(make_transformer: Any) -> None:
    network = network_of(make_transformer("bert"), Compute().place())
    assert pooled_vectors(network, [], ["mean"]).shape == (0, 32)


def test_runs_hold_at_most_their_tokens_or_one_text_longest_first() -> None:
    assert runs_of_tokens([3, 9, 2, 4, 1], 6) == [[1], [3], [0, 2, 4]]
    assert runs_of_tokens([2, 1], 0) == [[0], [1]]
    assert runs_of_tokens([], 6) == []


def test_bfloat16_stays_near_float32_where_the_cpu_has_it(make_transformer: Any) -> None:
    try:
        place = Compute(precision="bfloat16").place()
    except Exception as error:
        pytest.skip(str(error))
    model, ids = make_transformer("bert"), texts()
    exact = pooled_vectors(network_of(model, Compute().place()), ids, ["mean"])
    half = pooled_vectors(network_of(make_transformer("bert"), place), ids, ["mean"])
    relative = np.linalg.norm(half - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert 0 < relative.max() < 2e-2


def test_the_process_keeps_its_number_of_threads(make_transformer: Any) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        pooled_vectors(network_of(make_transformer("bert"), Compute().place()), texts(), ["mean"])
        later: list[int] = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert (torch.get_num_threads(), later) == (3, [3])
    finally:
        torch.set_num_threads(before)


def test_threads_that_overlap_put_back_the_first_ones_number() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    inside, leave, left = threading.Event(), threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            inside.set()
            leave.wait(60)
        left.set()

    thread = threading.Thread(target=other)
    try:
        with one_thread():
            thread.start()
            assert inside.wait(60)
            assert torch.get_num_threads() == 1
        leave.set()
        assert left.wait(60)
        later: list[int] = []
        check = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        check.start()
        check.join()
        assert (torch.get_num_threads(), later) == (3, [3])
    finally:
        thread.join()
        torch.set_num_threads(before)
