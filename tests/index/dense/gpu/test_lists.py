"""A part's own lists on a device: the lists of the CPU's index, searched as widely, with scores that are exact."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.dense.engine import faiss
from retr.index.dense.gpu import lists as lists_module
from retr.index.dense.gpu import moving
from retr.index.dense.gpu.choice import Device
from retr.index.dense.gpu.lists import Lists
from retr.index.dense.gpu.moving import LISTED
from retr.index.dense.index import DenseIndex
from retr.index.dense.kinds import Effort
from retr.index.dense.scan import ranked, score_rows
from retr.index.dense.storage import StoredVectors
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import Damaged

Queries = NDArray[np.float32]
ONE = Device((0,))
NAMES = {"ivf-flat": "ivf-flat", "ivf-sq8": "ivf-sq8", "ivf-pq": "ivf-pq as ivf-flat"}


def shared(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """The share of the true rows that were found."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, true, strict=True)]))


def by_cpu_lists(part: Any, queries: Queries, k: int) -> NDArray[np.int64]:
    """What the part's own index finds, at the effort it was calibrated to."""
    candidates = np.sort(part.ann().search(queries, part.planner.calibration.shallow), axis=1)
    return np.asarray(ranked(score_rows(part.stored, queries, candidates), candidates, k)[1])


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
@pytest.mark.parametrize("kind", LISTED)
def test_lists_find_at_least_what_the_cpu_finds(
    parts: Any, queries: Queries, machine: Any, kind: str, storage: str
) -> None:
    part = parts(kind, storage)
    index = DenseIndex(part.dim, [part], ONE)
    assert index.placement == [f"{NAMES[kind]} on GPU 0"]
    found, (plan,) = index.search_explained(Vectors(queries), 10)
    width = part.planner.calibration.shallow.width
    assert plan["plan"].startswith(f"{NAMES[kind]} on GPU 0, nprobe {width}, ")
    assert machine.searches[0][2] == width
    true = part.search(queries, 10, exact=True).rows
    assert shared(found.rows, true) >= shared(by_cpu_lists(part, queries, 10), true) > 0.9
    assert np.array_equal(found.scores, score_rows(part.stored, queries, found.rows))


@pytest.mark.parametrize("kind", LISTED)
def test_every_row_stays_in_its_list(parts: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(lists_module, "_BLOCK", 1_000)
    part = parts(kind)
    lists = Lists(part.ann(), part.stored)
    copy, own = lists.copy(100, 2_900), faiss().downcast_index(faiss().extract_index_ivf(part.ann().index))
    rows: list[int] = []
    for number in range(len(lists)):
        both = [
            faiss().rev_swig_ptr(index.invlists.get_ids(number), index.invlists.list_size(number)).copy()
            if index.invlists.list_size(number)
            else np.empty(0, np.int64)
            for index in (own, copy)
        ]
        assert np.array_equal(both[0][(both[0] >= 100) & (both[0] < 2_900)], both[1])
        rows += both[1].tolist()
    assert sorted(rows) == list(range(100, 2_900))


def test_lists_of_one_byte_codes_are_copied_code_for_code(parts: Any, queries: Queries) -> None:
    part = parts("ivf-sq8")
    copy, effort = Lists(part.ann(), part.stored).copy(0, len(part)), Effort(50, 7)
    _, rows = copy.search(queries, effort.candidates, params=faiss().SearchParametersIVF(nprobe=effort.width))
    assert np.array_equal(rows, part.ann().search(queries, effort))


def test_a_row_in_no_list_is_damage(parts: Any) -> None:
    part = parts("ivf-flat")
    more = StoredVectors(np.ones((len(part) + 2, part.dim), np.float32), np.empty(0, np.float32), part.dim, "float32")
    with pytest.raises(Damaged, match=r"2 rows .* none of its lists. Run: retr check"):
        Lists(part.ann(), more).of_rows()


@pytest.mark.parametrize("matching", [1, 7, 40, 300, 1_500, 2_999])
@pytest.mark.parametrize("kind", LISTED)
def test_as_many_rows_as_match_are_found(parts: Any, queries: Queries, machine: Any, kind: str, matching: int) -> None:
    part = parts(kind)
    allowed = np.zeros(len(part), np.bool_)
    allowed[np.random.default_rng(4).choice(len(part), matching, replace=False)] = True
    found = DenseIndex(part.dim, [part], ONE).search(Vectors(queries), 10, allowed)
    assert ((found.rows >= 0).sum(axis=1) == min(10, matching)).all()
    assert allowed[found.rows[found.rows >= 0]].all()
    true = part.search(queries, 10, allowed, exact=True)
    assert shared(found.rows[:, : min(10, matching)], true.rows[:, : min(10, matching)]) > 0.9


def test_a_filter_on_what_is_far_off_is_searched_wider(parts: Any, queries: Queries, machine: Any) -> None:
    part = parts("ivf-flat")
    values = np.concatenate(list(part.blocks()))
    allowed = np.zeros(len(part), np.bool_)
    allowed[np.argsort(queries[0] @ values.T)[:1_200]] = True
    index = DenseIndex(part.dim, [part], ONE)
    found, (plan,) = index.search_explained(Vectors(queries[:1]), 10, allowed)
    assert (found.rows >= 0).all()
    assert "wider for some" in plan["why"]
    assert [count for _, count, _ in machine.searches] == sorted({count for _, count, _ in machine.searches})


def test_an_exact_search_takes_every_list_of_whole_vectors(parts: Any, queries: Queries, machine: Any) -> None:
    for kind in ("ivf-flat", "ivf-pq"):
        part = parts(kind)
        found = DenseIndex(part.dim, [part], ONE).search(Vectors(queries), 10, exact=True)
        assert np.array_equal(found.rows, part.search(queries, 10, exact=True).rows)
        assert machine.searches.pop() == (24, 26, part.planner.lists)
    codes = DenseIndex(32, [parts("ivf-sq8")], ONE)
    _, (plan,) = codes.search_explained(Vectors(queries), 10, exact=True)
    assert plan["why"] == "an exact search was asked for; not on ivf-sq8 on GPU 0"
    assert machine.searches == []


def test_many_queries_find_what_each_finds_alone(parts: Any, machine: Any) -> None:
    part = parts("ivf-pq")
    queries = np.concatenate(list(part.blocks()))[:100]
    index = DenseIndex(part.dim, [part], ONE)
    together = index.search(Vectors(queries), 10)
    alone = [index.search(Vectors(query[None]), 10) for query in queries]
    assert np.array_equal(together.rows, np.concatenate([one.rows for one in alone]))
    assert np.array_equal(together.scores, np.concatenate([one.scores for one in alone]))


@pytest.mark.parametrize("kind", ["pq", "hnsw", "rabitq"])
def test_kinds_without_lists_are_compared_in_full(parts: Any, machine: Any, kind: str) -> None:
    assert DenseIndex(32, [parts(kind)], ONE).placement == ["flat on GPU 0"]


def test_lists_are_left_aside_where_asked_and_where_too_many_must_be_searched(
    parts: Any, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = parts("ivf-flat")
    assert DenseIndex(32, [part], Device((0,), "flat")).placement == ["flat on GPU 0"]
    monkeypatch.setattr(moving, "MOST_CANDIDATES", part.planner.calibration.shallow.width - 1)
    (where,) = DenseIndex(32, [part], ONE).placement
    assert where.startswith("flat on GPU 0 (ivf-flat would search ")
