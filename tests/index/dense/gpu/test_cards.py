"""What lies on the GPUs of a process: one search at a time, freed with its part, left alone after a fork."""

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.dense.gpu import accelerated, cards, memory, moving, obstacle
from retr.index.dense.gpu.choice import Device
from retr.index.dense.index import DenseIndex
from retr.index.dense.parts import DensePart, write_part
from retr.index.dense.settings import DenseSettings
from retr.index.disk.fsio import Disk
from retr.retrieval.embeddings import Vectors

Queries = NDArray[np.float32]
FLAT = Device((0,), "flat")


def small(folder: Path, seed: int) -> DensePart:
    folder.mkdir()
    values = np.random.default_rng(seed).normal(size=(200, 32)).astype(np.float32)
    _, facts = write_part(Disk(), folder, [values], 32, DenseSettings(kind="flat"))
    return DensePart.open(folder, 200, 32, facts)


def test_threads_take_turns_on_a_gpu(tmp_path: Path, queries: Queries, machine: Any) -> None:
    machine.pause = 0.002
    indexes = [DenseIndex(32, [small(tmp_path / str(number), number)], FLAT) for number in range(2)]
    alone = [index.search(Vectors(queries), 5).rows for index in indexes]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: indexes[n % 2].search_explained(Vectors(queries), 5), range(24)))
    assert all(np.array_equal(matches.rows, alone[n % 2]) for n, (matches, _) in enumerate(found))
    assert not any("failed" in plan["why"] for _, plans in found for plan in plans)
    assert machine.clashes == 0


def test_a_part_is_freed_between_searches(tmp_path: Path, queries: Queries, machine: Any) -> None:
    machine.pause = 0.2
    index, other = (DenseIndex(32, [small(tmp_path / str(number), number)], FLAT) for number in range(2))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(index.search, Vectors(queries), 5)
        assert machine.searching.wait(60)
        del other
        gc.collect()
        running.result()
    assert machine.freed == 1
    assert machine.clashes == 0


def test_parts_share_the_scratch_memory_of_their_gpu(tmp_path: Path, machine: Any) -> None:
    parts = [small(tmp_path / str(number), number) for number in range(3)]
    DenseIndex(32, parts, FLAT)
    assert len(machine.resources) == 1


def test_a_part_is_moved_once_and_freed_with_it(tmp_path: Path, machine: Any) -> None:
    part = small(tmp_path / "one", 0)
    first, second = DenseIndex(32, [part], FLAT), DenseIndex(32, [part], FLAT)
    assert len(accelerated._moved[part]) == 1
    del first, second, part
    gc.collect()
    assert len(accelerated._moved) == 0
    assert machine.freed == 1


def test_a_forked_process_leaves_the_gpu_to_its_parent(tmp_path: Path, queries: Queries, machine: Any) -> None:
    part = small(tmp_path / "one", 0)
    index = DenseIndex(32, [part], FLAT)
    before = index.search(Vectors(queries), 5)
    on_gpu = next(iter(cards._held))._index
    cards._leave_to_parent()  # What runs in a child after a fork; on a real GPU it must not touch CUDA.
    assert not on_gpu.this.owned
    assert not machine.resources[0].this.owned
    after, (plan,) = index.search_explained(Vectors(queries), 5)
    assert np.array_equal(after.rows, before.rows)
    assert plan["why"].endswith("; not on flat on GPU 0")
    assert len(machine.searches) == 1
    assert "forked from one that uses a GPU" in obstacle(FLAT)
    accelerated._forget()
    for one in (part, small(tmp_path / "two", 1)):
        (where,) = DenseIndex(32, [one], FLAT).placement
        assert where.startswith("CPU: this process was forked")
    assert machine.freed == 0


def test_a_process_that_used_no_gpu_may_fork(machine: Any) -> None:
    cards._leave_to_parent()
    assert obstacle(FLAT) == ""


def test_what_vectors_take_is_known_before() -> None:
    assert memory.flat_bytes(1_000_000, 384) == 1_536_000_000
    assert memory.graph_bytes(1_000, 384) == 1_536_000 + 768_000
    # 1,000 rows and 31 of padding in each of 10 lists, 8 bytes a row number, and 10 centroids.
    assert memory.list_bytes(1_000, 384, 10, 384) == 1_310 * 384 + 8_000 + 10 * 1_536
    assert memory.scratch_bytes(80 << 30) == 3 << 29
    assert memory.scratch_bytes(6 << 30) == 1 << 30


def test_vectors_that_do_not_fit_are_not_moved(tmp_path: Path, parts: Any, queries: Queries, machine: Any) -> None:
    part = parts("ivf-flat")
    machine.free = 1_000_000
    index = DenseIndex(32, [part], Device((0,)))
    (where,) = index.placement
    assert where.startswith("CPU: the vectors need 1.6 GB of GPU 0, which has 1.0 MB free; free some, ")
    assert machine.resources == []
    assert np.array_equal(index.search(Vectors(queries), 5).rows, part.search(queries, 5).rows)
    machine.free = (3 << 29) + 25_600  # Scratch memory and 200 vectors of 32 numbers.
    assert DenseIndex(32, [small(tmp_path / "fits", 0)], FLAT).placement == ["flat on GPU 0"]
    machine.free = 25_599  # The scratch memory is there already.
    (where,) = DenseIndex(32, [small(tmp_path / "over", 1)], FLAT).placement
    assert "need 0.0 MB of GPU 0" in where


def test_what_faiss_refuses_to_move_stays_on_the_cpu(tmp_path: Path, machine: Any, monkeypatch: Any) -> None:
    def refuse(*args: object) -> object:
        raise RuntimeError("Error in cudaMalloc: out of memory\nmore")

    monkeypatch.setattr(moving.faiss(), "index_cpu_to_gpu", refuse)
    (where,) = DenseIndex(32, [small(tmp_path / "one", 0)], FLAT).placement
    assert where == "CPU: FAISS could not move the vectors (Error in cudaMalloc: out of memory)"


def test_a_part_of_fewer_rows_than_gpus_lies_on_some(tmp_path: Path, machine: Any) -> None:
    machine.gpus = 300
    (where,) = DenseIndex(32, [small(tmp_path / "one", 0)], Device(tuple(range(300)), "flat")).placement
    assert len(where.split(",")) == 200


def test_memory_is_unknown_where_no_cuda_runtime_is_loaded() -> None:
    assert memory._runtime() is not None or memory.device_memory(0) is None
