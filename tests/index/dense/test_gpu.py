"""Candidates from a device: the logic with a stand-in for the device, and the real one where there is a GPU."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.dense.accelerated import AcceleratedPart
from retr.index.dense.gpu import MOST_CANDIDATES, Device, Moved, gpus_here, move, obstacle
from retr.index.dense.index import DenseIndex
from retr.index.dense.parts import DensePart, write_part
from retr.index.dense.settings import DenseSettings
from retr.index.disk.fsio import Disk
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import BadInput

DIM = 24

needs_gpu = pytest.mark.skipif(gpus_here() == 0, reason="FAISS sees no GPU")


def unit(rows: int, seed: int) -> NDArray[np.float32]:
    values = np.random.default_rng(seed).normal(size=(rows, DIM)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def part(folder: Path, values: NDArray[np.float32]) -> DensePart:
    _, facts = write_part(Disk(), folder, [values], DIM, DenseSettings(kind="flat"))
    return DensePart.open(folder, len(values), DIM, facts)


def brute_force(
    queries: NDArray[np.float32], values: NDArray[np.float32], k: int, allowed: NDArray[np.bool_]
) -> NDArray[np.int64]:
    scores = queries.astype(np.float64) @ values.astype(np.float64).T
    scores[:, ~allowed] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.where(np.take_along_axis(scores, order, 1) > -np.inf, order, -1)


class Fake:
    """Brute force in float16 in the place of a GPU, which counts what it is asked."""

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values, self.asked = values.astype(np.float16).astype(np.float32), 0

    def __call__(self, queries: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        assert count <= MOST_CANDIDATES
        self.asked += len(queries)
        return np.argsort(-(queries @ self.values.T), axis=1)[:, :count].astype(np.int64)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.001])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_hits_are_those_of_brute_force_at_every_selectivity(tmp_path: Path, share: float, k: int) -> None:
    values, queries = unit(3000, 0), unit(7, 1)
    allowed = np.random.default_rng(2).random(3000) < share
    found = AcceleratedPart(part(tmp_path, values), Moved(Fake(values), True), "flat on GPU 0").search(
        queries, k, allowed
    )
    assert np.array_equal(found.rows, np.pad(brute_force(queries, values, k, allowed), ((0, 0), (0, 0))))
    assert (found.rows >= 0).sum(axis=1).tolist() == [min(k, int(allowed.sum()))] * 7


def test_a_rare_filter_and_a_large_k_stay_on_the_cpu(tmp_path: Path) -> None:
    values, fake = unit(3000, 0), Fake(unit(3000, 0))
    fast = AcceleratedPart(part(tmp_path, values), Moved(fake, True), "flat on GPU 0")
    allowed = np.zeros(3000, np.bool_)
    allowed[:20] = True
    assert "not on flat on GPU 0" in fast.search(unit(1, 5), 10, allowed).plan.why
    assert "not on" in fast.search(unit(1, 5), MOST_CANDIDATES, None).plan.why
    assert fake.asked == 0
    assert "26 candidates from flat on GPU 0" in fast.search(unit(1, 5), 10).plan.why
    assert fake.asked == 1


def test_queries_that_the_device_leaves_short_are_asked_again(tmp_path: Path) -> None:
    values, queries = unit(2000, 0), unit(3, 1)
    scores = queries @ values.T
    # What is allowed is what is farthest from the first query: none of it is among the candidates.
    allowed = np.zeros(2000, np.bool_)
    allowed[np.argsort(scores[0])[:1000]] = True
    found = AcceleratedPart(part(tmp_path, values), Moved(Fake(values), True), "the device").search(
        queries, 10, allowed
    )
    assert np.array_equal(found.rows, brute_force(queries, values, 10, allowed))
    assert "queries again on the CPU" in found.plan.why


def test_an_exact_search_is_not_left_to_a_graph(tmp_path: Path) -> None:
    values, fake = unit(500, 0), Fake(unit(500, 0))
    graph = AcceleratedPart(part(tmp_path, values), Moved(fake, False), "cagra on GPU 0")
    graph.search(unit(1, 3), 5, exact=True)
    assert fake.asked == 0
    graph.search(unit(1, 3), 5)
    assert fake.asked == 1


def test_devices_are_read_from_text() -> None:
    assert Device.parse("cpu") == Device()
    assert Device.parse("cuda:1") == Device((1,))
    assert Device.parse("cuda:1+cagra") == Device((1,), "cagra")
    assert Device.parse("cuda:0,2+replicate") == Device((0, 2), spread="replicate")
    assert Device.parse("cuda").gpus == tuple(range(max(1, gpus_here())))


@pytest.mark.parametrize("text", ["gpu", "cuda:", "cuda:x", "cuda:-1", "", "cuda:0,", "cuda+fast"])
def test_other_devices_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="A device is cpu, cuda"):
        Device.parse(text)


def test_cagra_is_for_one_gpu() -> None:
    with pytest.raises(BadInput, match="one GPU"):
        Device.parse("cuda:0,1+cagra")


def test_what_cannot_be_moved_says_why(tmp_path: Path) -> None:
    stored = part(tmp_path, unit(20, 0)).stored
    assert move(stored, Device()) == (None, "the CPU was asked for")
    moved, reason = move(stored, Device((gpus_here() + 7,)))
    assert moved is None
    assert reason == obstacle(Device((gpus_here() + 7,)))
    assert "GPU" in reason


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("share", [1.0, 0.3, 0.01])
def test_a_gpu_finds_what_the_cpu_finds(tmp_path: Path, share: float) -> None:
    values, queries = unit(50_000, 0), Vectors(unit(64, 1))
    one = part(tmp_path, values)
    allowed = np.random.default_rng(2).random(50_000) < share
    host = DenseIndex(DIM, [one]).search(queries, 10, allowed)
    device = DenseIndex(DIM, [one], Device.parse("cuda")).search(queries, 10, allowed)
    assert np.array_equal(host.rows, device.rows)
    assert np.array_equal(host.scores, device.scores)


@pytest.mark.gpu
@needs_gpu
def test_cagra_reaches_its_recall(tmp_path: Path) -> None:
    if obstacle(Device((0,), "cagra")):
        pytest.skip(obstacle(Device((0,), "cagra")))
    values, queries = unit(50_000, 0), Vectors(unit(64, 1))
    one = part(tmp_path, values)
    host = DenseIndex(DIM, [one]).search(queries, 10)
    device = DenseIndex(DIM, [one], Device((0,), "cagra")).search(queries, 10)
    shared = [len(set(a) & set(b)) / 10 for a, b in zip(host.rows, device.rows, strict=True)]
    assert np.mean(shared) >= 0.95


@pytest.mark.gpu
@pytest.mark.skipif(gpus_here() < 2, reason="FAISS sees fewer than two GPUs")
@pytest.mark.parametrize("spread", ["shard", "replicate"])
def test_two_gpus_find_what_one_finds(tmp_path: Path, spread: str) -> None:
    values, queries = unit(50_000, 0), Vectors(unit(64, 1))
    one = part(tmp_path, values)
    single = DenseIndex(DIM, [one], Device((0,))).search(queries, 10)
    both = DenseIndex(DIM, [one], Device((0, 1), spread=spread)).search(queries, 10)  # type: ignore[arg-type]
    assert np.array_equal(single.rows, both.rows)
