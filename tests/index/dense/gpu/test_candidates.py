"""Candidates of a device that compares all vectors, or walks a graph: filters, ties, and what the CPU must do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.dense.gpu.choice import Device
from retr.index.dense.index import DenseIndex
from retr.index.dense.parts import DensePart, write_part
from retr.index.dense.settings import DenseSettings
from retr.index.disk.fsio import Disk
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import Mismatch

Queries = NDArray[np.float32]
FLAT = Device((0,), "flat")


def truth(part: DensePart, queries: Queries, k: int, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The k best allowed rows a query in float64, -1 where there are fewer."""
    values = np.concatenate(list(part.blocks())).astype(np.float64)
    scores = np.where(allowed, queries.astype(np.float64) @ values.T, -np.inf)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.where(np.take_along_axis(scores, best, 1) > -np.inf, best, -1)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.001])
@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_hits_and_scores_are_those_of_an_exact_search(
    parts: Any, queries: Queries, machine: Any, kind: str, k: int, share: float
) -> None:
    part = parts(kind)
    allowed = np.random.default_rng(2).random(len(part)) < share
    found = DenseIndex(part.dim, [part], FLAT).search(Vectors(queries), k, allowed)
    host = part.search(queries, k, allowed, exact=True)
    assert np.array_equal(found.rows, truth(part, queries, k, allowed))
    assert np.array_equal(found.scores, host.scores)


def test_equal_scores_come_by_the_lower_row(tmp_path: Path, queries: Queries, machine: Any) -> None:
    values = np.random.default_rng(5).normal(size=(60, 32)).astype(np.float32)
    values = np.concatenate([values, values[::-1], values])
    _, facts = write_part(Disk(), tmp_path, [values], 32, DenseSettings(kind="flat"))
    part = DensePart.open(tmp_path, 180, 32, facts)
    found = DenseIndex(32, [part], FLAT).search(Vectors(queries), 9)
    host = part.search(queries, 9)
    assert np.array_equal(found.rows, host.rows)
    assert np.array_equal(found.scores, host.scores)


def test_how_a_device_was_asked_is_explained(parts: Any, queries: Queries, machine: Any) -> None:
    index = DenseIndex(32, [parts("flat")], FLAT)
    assert index.placement == ["flat on GPU 0"]
    _, (plan,) = index.search_explained(Vectors(queries[:1]), 10)
    assert plan["plan"] == "flat on GPU 0, 26 candidates scored exactly"


def test_a_rare_filter_and_a_large_k_stay_on_the_cpu(parts: Any, queries: Queries, machine: Any) -> None:
    part = parts("flat")
    index = DenseIndex(part.dim, [part], FLAT)
    rare = np.zeros(len(part), np.bool_)
    rare[:20] = True
    for k, allowed in ((10, rare), (2_040, None), (20, rare)):
        _, (plan,) = index.search_explained(Vectors(queries), k, allowed)
        assert plan["why"].endswith("; not on flat on GPU 0")
    assert machine.searches == []


def test_queries_left_short_are_asked_wider_and_then_on_the_cpu(parts: Any, queries: Queries, machine: Any) -> None:
    part = parts("flat")
    values = np.concatenate(list(part.blocks()))
    # What is allowed is what is farthest from the first query: of its nearest 2,048 nothing passes.
    allowed = np.zeros(len(part), np.bool_)
    allowed[np.argsort(queries[0] @ values.T)[:900]] = True
    index = DenseIndex(part.dim, [part], FLAT)
    found, (plan,) = index.search_explained(Vectors(queries[:3]), 10, allowed)
    assert np.array_equal(found.rows, truth(part, queries[:3], 10, allowed))
    assert [count for _, count, _ in machine.searches] == [130, 520, 2048]
    assert "2 times wider for some, 1 queries again on the CPU" in plan["why"]


def test_a_graph_keeps_as_many_as_it_gives_back_and_is_never_exact(parts: Any, queries: Queries, machine: Any) -> None:
    index = DenseIndex(32, [parts("flat")], Device((1,), "cagra"))
    assert index.placement == ["cagra on GPU 1"]
    index.search(Vectors(queries), 10)
    index.search(Vectors(queries), 2)
    assert machine.searches == [(24, 96, 96), (24, 32, 64)]
    index.search(Vectors(queries), 10, exact=True)
    assert len(machine.searches) == 2


def test_a_search_that_fails_is_done_on_the_cpu(parts: Any, queries: Queries, machine: Any) -> None:
    part = parts("flat")
    index = DenseIndex(part.dim, [part], FLAT)
    machine.broken = True
    found, (plan,) = index.search_explained(Vectors(queries), 10)
    assert np.array_equal(found.rows, part.search(queries, 10).rows)
    assert plan["why"].endswith("flat on GPU 0 failed (Error in allocMemory: out of memory)")


def test_queries_of_another_dimension_are_refused(parts: Any, machine: Any) -> None:
    with pytest.raises(Mismatch, match="32"):
        DenseIndex(32, [parts("flat")], FLAT)._searched[0].search(np.ones((1, 8), np.float32), 3)


@pytest.mark.parametrize("spread", ["shard", "replicate"])
@pytest.mark.parametrize("kind", ["flat", "ivf-flat", "ivf-sq8", "ivf-pq"])
def test_two_gpus_find_what_one_finds(parts: Any, queries: Queries, machine: Any, kind: str, spread: Any) -> None:
    part = parts(kind)
    allowed = np.random.default_rng(2).random(len(part)) < 0.5
    one, both = (DenseIndex(part.dim, [part], Device(gpus, spread=spread)) for gpus in ((0,), (0, 1)))
    assert both.placement[0].endswith("on GPU 0, 1")
    for mask in (None, allowed):
        single, double = (index.search(Vectors(queries), 10, mask) for index in (one, both))
        if kind != "ivf-sq8" or spread == "replicate":  # Two shards give more candidates by code than one index does.
            assert np.array_equal(single.rows, double.rows)
        assert np.all(double.scores >= single.scores)
