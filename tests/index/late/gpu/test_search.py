"""A search on a device finds what the CPU finds, to the last bit; what cannot be done there is done on the CPU."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.dense.gpu import Device
from retr.index.late.codec import Codec
from retr.index.late.gpu import memory, placing, scoring
from retr.index.late.gpu.searching import OnDevice
from retr.index.late.mixed import MixedIndex
from retr.index.late.settings import Effort
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Matches

from ..conftest import World, maxsim, ragged, take, unit, write
from .conftest import BITS, ONE, Card, Parts, cut

TWO = Device((0, 1))
EFFORTS = (None, Effort(candidates=30), Effort(candidates=1 << 30))


def same(found: Matches, expected: Matches) -> bool:
    return np.array_equal(found.rows, expected.rows) and np.array_equal(found.scores, expected.scores)


def some(documents: int, matching: int) -> NDArray[np.bool_]:
    allowed = np.zeros(documents, np.bool_)
    allowed[np.random.default_rng(matching).permutation(documents)[:matching]] = True
    return allowed


@pytest.mark.parametrize("bits", BITS)
def test_hits_and_scores_are_the_cpus(card: Card, small: World, whole: Parts, bits: int) -> None:
    host, there = MixedIndex([whole(bits)]), MixedIndex([whole(bits)], device=ONE)
    assert there.placement == [f"tokens of {8 if bits == 80 else bits} bits on GPU 0"]
    for effort in EFFORTS:
        for k in (1, 10, len(host) + 5):
            found, plans = there.search_explained(small.queries, k, effort=effort)
            assert same(found, host.search(small.queries, k, effort=effort))
            assert plans[0]["plan"].endswith(", on GPU 0")
    for row in (0, 5):
        query = take(small.queries, [row])
        assert same(there.search(query, 10), host.search(query, 10))
    exact = maxsim(small.queries, there.vectors(np.arange(len(there))))
    found = there.search(small.queries, 10, effort=Effort(candidates=1 << 30))
    assert np.abs(found.scores - np.take_along_axis(exact, found.rows, 1)).max() <= 0.01 * 32


@pytest.mark.parametrize("matching", [0, 1, 25, 179, 180])
@pytest.mark.parametrize("bits", BITS)
def test_filters_and_deletes_give_what_the_cpu_gives(
    card: Card, small: World, whole: Parts, bits: int, matching: int
) -> None:
    host, there, allowed = MixedIndex([whole(bits)]), MixedIndex([whole(bits)], device=ONE), some(180, matching)
    for effort in EFFORTS:
        found = there.search(small.queries, 10, allowed, effort=effort)
        assert same(found, host.search(small.queries, 10, allowed, effort=effort))
        assert ((found.rows >= 0).sum(axis=1) == min(10, matching)).all()
        assert allowed[found.rows[found.rows >= 0]].all()


def test_many_parts_of_several_codecs_answer_as_one(
    card: Card, small: World, coded: dict[int, Codec], tmp_path: Path
) -> None:
    parts = [*cut(small, coded[4], tmp_path / "a", 0, 1, 70, 90), *cut(small, coded[8], tmp_path / "b", 90, 100, 140)]
    parts += cut(small, coded[4], tmp_path / "c", 140, 180)
    host, there = MixedIndex(parts), MixedIndex(parts, device=ONE)
    for effort in EFFORTS:
        for allowed in (None, some(180, 60)):
            found, plans = there.search_explained(small.queries, 10, allowed, effort=effort)
            assert same(found, host.search(small.queries, 10, allowed, effort=effort))
            assert len(plans) == 2 and all("on GPU 0" in plan["plan"] for plan in plans)
    query, rows = small.queries.values[:32], np.array([179, 0, 95, 3])
    assert np.array_equal(there.scores(query, rows), host.scores(query, rows))
    assert there.align(query, [5])[0].places.tolist() == host.align(query, [5])[0].places.tolist()


def test_equal_documents_come_by_the_lower_row(
    card: Card, small: World, coded: dict[int, Codec], tmp_path: Path
) -> None:
    alike = take(small.documents, [7] * 40)
    for bits in BITS:
        there = MixedIndex([write(tmp_path / str(bits), alike, coded[bits])], device=ONE)
        for effort in (None, Effort(candidates=8)):
            assert there.search(take(small.queries, [0]), 5, effort=effort).rows.tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("bits", BITS)
def test_all_negative_similarities_rank_as_they_should(card: Card, small: World, whole: Parts, bits: int) -> None:
    mean = unit(small.documents.values.mean(axis=0, dtype=np.float64)[None])
    away = ragged([np.repeat(-mean, count, axis=0) for count in (1, 5, 9)])  # filled up with zeros beside the longest
    host, there = MixedIndex([whole(bits)]), MixedIndex([whole(bits)], device=ONE)
    for effort in EFFORTS:
        assert same(there.search(away, 180, effort=effort), host.search(away, 180, effort=effort))
    scores = maxsim(away, there.vectors(np.arange(180)))
    found = there.search(away, 180)
    assert np.abs(found.scores - np.take_along_axis(scores, found.rows, 1)).max() <= 0.01 * 9
    assert (scores < 0).any()


def test_where_the_cpu_looks_into_lists_a_gpu_scans_all_codes(
    card: Card, small: World, coded: dict[int, Codec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retr.index.late.planning.LISTED", 10)
    part = write(tmp_path / "listed", small.documents, coded[4], lists_from=1)
    host, there = MixedIndex([part]), MixedIndex([part], device=ONE)
    effort = Effort(candidates=30, nprobe=64)
    found, (plan,) = there.search_explained(small.queries, 10, effort=effort)
    assert same(found, host.search(small.queries, 10, effort=effort))
    assert plan["plan"] == "scan of all codes, 30 candidates scored, on GPU 0"
    assert plan["why"].endswith("; a GPU scans all codes")
    narrow = there.search(small.queries, 10, effort=replace(effort, nprobe=1))
    assert same(narrow, found)


def test_little_scratch_memory_changes_no_hit(
    card: Card, small: World, whole: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, there, effort = MixedIndex([whole(4)]), MixedIndex([whole(4)], device=ONE), Effort(candidates=20)
    narrow = OnDevice([placing.placed(whole(4), ONE).tokens], 100_000)  # type: ignore[list-item]
    monkeypatch.setattr(there._searched[0], "_on_device", narrow)
    queries = take(small.queries, [0, 1, 2])
    for allowed in (None, some(180, 90)):
        assert same(there.search(queries, 10, allowed, effort=effort), host.search(queries, 10, allowed, effort=effort))


def test_threads_share_a_gpu(card: Card, small: World, whole: Parts) -> None:
    there = MixedIndex([whole(4)], device=ONE)
    expected = there.search(small.queries, 10, effort=Effort(candidates=30)).rows
    with ThreadPoolExecutor(4) as pool:
        asked = [take(small.queries, [number]) for number in range(12)] * 2
        found = list(pool.map(lambda one: there.search(one, 10, effort=Effort(candidates=30)).rows[0], asked))
    assert np.array_equal(np.array(found), np.concatenate([expected, expected]))


def test_an_exact_search_is_done_on_the_cpu_and_says_so(card: Card, small: World, whole: Parts) -> None:
    host, there = MixedIndex([whole(4)]), MixedIndex([whole(4)], device=ONE)
    found, (plan,) = there.search_explained(small.queries, 10, exact=True)
    assert same(found, host.search(small.queries, 10, exact=True))
    assert plan["plan"] == "every document scored in float32"
    assert plan["why"].endswith("on the CPU, since a GPU compares rounded queries alone")


def test_queries_are_checked_as_on_the_cpu(card: Card, small: World, whole: Parts) -> None:
    there = MixedIndex([whole(4)], device=ONE)
    with pytest.raises(BadInput, match="no token vectors"):
        there.search(TokenVectors(small.queries.values, np.array([0, 0, len(small.queries.values)])), 1)
    with pytest.raises(BadInput, match="k must be at least 1"):
        there.search(small.queries, 0)
    assert there.search(TokenVectors(np.empty((0, 32), np.float32), np.array([0])), 3).rows.shape == (0, 3)


def test_a_gpu_that_fails_leaves_the_search_to_the_cpu(
    stand_in: Card, small: World, whole: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, there = MixedIndex([whole(4)]), MixedIndex([whole(4)], device=ONE)

    def fails(*given: Any) -> Any:
        raise stand_in.torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand more")

    with monkeypatch.context() as broken:
        broken.setattr(scoring, "multiply", fails)
        found, (plan,) = there.search_explained(small.queries, 10)
    assert same(found, host.search(small.queries, 10))
    assert plan["why"].endswith("on the CPU, since GPU 0 failed (CUDA out of memory. Tried to allocate 2.00 GiB.)")
    assert there.search_explained(small.queries, 10)[1][0]["plan"].endswith("on GPU 0")


def test_what_does_not_fit_stays_on_the_cpu_and_the_rest_is_moved(
    stand_in: Card, small: World, coded: dict[int, Codec], tmp_path: Path
) -> None:
    parts = cut(small, coded[4], tmp_path, 0, 170, 180)
    stand_in.free = {0: (1 << 30) + 20_000}
    host, there = MixedIndex(parts), MixedIndex(parts, device=ONE)
    assert there.placement[0].startswith("CPU: the tokens need 0.1 MB and a search 1.1 GB of GPU 0, which has 1.1 GB")
    assert there.placement[1] == "tokens of 4 bits on GPU 0"
    found, plans = there.search_explained(small.queries, 10)
    assert same(found, host.search(small.queries, 10))
    assert [plan["rows"] for plan in plans] == [170, 10]
    assert ["GPU" in plan["plan"] for plan in plans] == [False, True]


def test_room_for_a_search_of_very_many_passages_is_counted_too(coded: dict[int, Codec]) -> None:
    assert memory.passing_bytes(coded[4], 1_000_000) == memory.SCRATCH
    assert memory.passing_bytes(coded[4], 100_000_000) > 100_000_000 * 32


def test_of_several_gpus_a_part_takes_the_one_with_most_room(
    stand_in: Card, small: World, coded: dict[int, Codec], tmp_path: Path
) -> None:
    parts = cut(small, coded[4], tmp_path, 0, 90, 180)
    stand_in.free = {0: 3 << 30, 1: 4 << 30}
    first = MixedIndex(parts[:1], device=TWO)
    stand_in.free[1] = 2 << 30
    there = MixedIndex(parts, device=TWO)
    assert first.placement == ["tokens of 4 bits on GPU 1"]
    assert there.placement == ["tokens of 4 bits on GPU 1", "tokens of 4 bits on GPU 0"]
    assert same(there.search(small.queries, 10), MixedIndex(parts).search(small.queries, 10))


def test_a_part_is_moved_once_and_goes_when_it_does(
    stand_in: Card, small: World, coded: dict[int, Codec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    move = placing.moved
    monkeypatch.setattr(placing, "moved", lambda part, codec: made.append(None) or move(part, codec))
    parts = cut(small, coded[4], tmp_path, 0, 20, 40)
    first, second = MixedIndex(parts[:1], device=ONE), MixedIndex(parts, device=ONE)
    assert len(made) == 2
    held = weakref.ref(placing.placed(parts[1], ONE).tokens.codec)  # type: ignore[union-attr]
    assert held() is not None
    del first, second, parts
    gc.collect()
    assert held() is None


def test_what_cannot_be_moved_says_why(
    stand_in: Card, whole: Parts, small: World, coded: dict[int, Codec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = write(tmp_path / "one", take(small.documents, [0]), coded[8])

    def placement() -> str:
        placing._placed.clear()
        (where,) = MixedIndex([part], device=ONE).placement
        return where

    monkeypatch.setattr(placing, "exact_way", lambda device, dim: None)
    assert placement() == "CPU: GPU 0 gives no exact products of whole numbers, and tokens' scores need them"

    def full(*given: Any) -> Any:
        raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might")

    monkeypatch.setattr(placing, "exact_way", full)
    assert placement() == "CPU: torch could not move the tokens (CUDA error: out of memory)"
    assert MixedIndex([part], device=Device()).placement == ["CPU"]


def test_a_machine_without_torch_or_gpu_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "find_spec", lambda name: None)
    assert placing.obstacle((0,)).startswith("torch is not installed")
    monkeypatch.undo()
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert f"torch {torch.__version__} sees no GPU" in placing.obstacle((0,))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert placing.obstacle((0, 1)) == ""
    assert placing.obstacle((0, 2)) == "there is no GPU 2 for tokens; torch sees 2"
    monkeypatch.setattr(placing, "_forked", True)
    assert "forked" in placing.obstacle((0,))


def test_a_forked_process_searches_on_the_cpu(
    stand_in: Card, small: World, whole: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = MixedIndex([whole(8)], device=ONE)
    expected = there.search(take(small.queries, [0]), 5)
    monkeypatch.setattr(placing, "_used", True)
    monkeypatch.setattr(placing, "_forked", False)
    monkeypatch.setattr(placing, "_parents", [])
    placing._leave_to_parent()
    assert not placing._placed and [kept.keys() for kept in placing._parents] == [{ONE.gpus}]
    found, (plan,) = there.search_explained(take(small.queries, [0]), 5)
    assert same(found, expected)
    assert plan["why"].endswith("on the CPU, since a forked process cannot use its parent's GPU")
