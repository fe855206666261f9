"""The index answers as a loop over its own tokens does: whole, filtered, in parts, reopened, and from many threads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.late.codec import Codec
from retr.index.late.index import LateIndex
from retr.index.late.kernels.native import Compiled, kernels
from retr.index.late.kernels.reference import Numpy
from retr.index.late.settings import Effort, LateSettings
from retr.index.late.training import train_codec
from retr.retrieval.embeddings import TokenVectors, Vectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.scoring import maxsim

from .conftest import Made, World, ragged, take, unit, write

ALL = Effort(candidates=1 << 30)
BITS = (8, 80, 4, 2)


def some(documents: int, matching: int) -> NDArray[np.bool_]:
    allowed = np.zeros(documents, np.bool_)
    allowed[np.random.default_rng(matching).permutation(documents)[:matching]] = True
    return allowed


@pytest.mark.parametrize("bits", BITS)
def test_an_exact_search_is_maxsim_of_the_tokens_as_kept(made: Made, world: World, bits: int) -> None:
    index, queries = made(bits), take(world.queries, [0, 1, 2])
    scores = maxsim(queries, index.vectors(np.arange(len(index))))
    found = index.search(queries, 20, exact=True)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :20]
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, found.rows, 1), rtol=1e-5)
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, expected, 1), rtol=1e-5)


@pytest.mark.parametrize("bits", BITS)
def test_rounding_the_query_moves_a_score_little(made: Made, world: World, bits: int) -> None:
    index, queries = made(bits), take(world.queries, [0, 1, 2])
    scores = maxsim(queries, index.vectors(np.arange(len(index))))
    found = index.search(queries, len(index), effort=ALL)
    assert np.abs(found.scores - np.take_along_axis(scores, found.rows, 1)).max() <= 0.01 * 32


@pytest.mark.parametrize("matching", [0, 1, 5, 100, 799, 800])
@pytest.mark.parametrize("bits", BITS)
def test_a_filter_gives_the_search_of_what_it_allows(
    world: World, codecs: dict[int, Codec], made: Made, bits: int, matching: int, tmp_path: Path
) -> None:
    index, allowed = made(bits), some(800, matching)
    rows = np.flatnonzero(allowed)
    for effort in (None, Effort(candidates=30)):
        found = index.search(world.queries, 10, allowed, effort=effort)
        count = min(10, matching)
        assert (found.rows[:, :count] >= 0).all()
        assert (found.rows[:, count:] == -1).all()
        assert np.isneginf(found.scores[:, count:]).all()
        assert allowed[found.rows[:, :count]].all()
        if matching:
            alone = LateIndex(codecs[bits], [write(tmp_path / str(effort), take(world.documents, rows), codecs[bits])])
            expected = alone.search(world.queries, 10, effort=effort)
            assert np.array_equal(found.rows[:, :count], rows[expected.rows[:, :count]])
            assert np.array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("bits", BITS)
def test_parts_and_their_order_change_no_score(
    world: World, codecs: dict[int, Codec], made: Made, bits: int, tmp_path: Path
) -> None:
    order = np.random.default_rng(1).permutation(800)
    parts = [
        write(tmp_path / str(first), take(world.documents, order[first:last]), codecs[bits])
        for first, last in ((0, 3), (3, 500), (500, 800))
    ]
    index = LateIndex(codecs[bits], parts)
    for effort in (ALL, Effort(candidates=50)):
        whole, cut = (each.search(world.queries, 10, effort=effort) for each in (made(bits), index))
        assert np.array_equal(whole.scores, cut.scores)
        assert np.array_equal(whole.rows, order[cut.rows])
    allowed = some(800, 100)
    filtered = index.search(world.queries, 10, allowed[order])
    assert np.array_equal(made(bits).search(world.queries, 10, allowed).rows, order[filtered.rows])


def test_equal_documents_come_by_the_lower_row(codecs: dict[int, Codec], world: World, tmp_path: Path) -> None:
    same = take(world.documents, [7] * 40)
    for bits in BITS:
        index = LateIndex(codecs[bits], [write(tmp_path / str(bits), same, codecs[bits])])
        for effort in (None, Effort(candidates=8)):
            assert index.search(take(world.queries, [0]), 5, effort=effort).rows.tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("bits", BITS)
def test_every_instruction_set_and_numpy_give_the_same_bits(
    world: World, codecs: dict[int, Codec], bits: int, tmp_path: Path
) -> None:
    part = write(tmp_path / "part", world.documents, codecs[bits])
    queries = take(world.queries, [0, 1])
    found = []
    for each in (*(Compiled(name) for name in kernels()), Numpy()):
        index = LateIndex(codecs[bits], [type(part)(part.tokens, codecs[bits], each)], each)
        found.append(index.search(queries, 10, effort=Effort(candidates=60)))
    for other in found[:-1]:
        assert np.array_equal(other.scores, found[-1].scores)
        assert np.array_equal(other.rows, found[-1].rows)


@pytest.mark.parametrize("bits", BITS)
def test_all_negative_similarities_rank_as_they_should(
    world: World, codecs: dict[int, Codec], made: Made, bits: int
) -> None:
    away = TokenVectors(-world.documents.values[:32], np.array([0, 32]))  # against the first document
    mean = unit(world.documents.values.mean(axis=0, dtype=np.float64)[None])
    for query in (away, TokenVectors(np.repeat(-mean, 5, axis=0), np.array([0, 5]))):
        found = made(bits).search(query, 800, effort=ALL)
        scores = maxsim(query, made(bits).vectors(np.arange(800)))[0]
        np.testing.assert_allclose(found.scores[0], scores[found.rows[0]], atol=0.01 * len(query.values))
        assert len(set(found.rows[0].tolist())) == 800


def test_the_scan_ranks_when_all_similarities_are_negative(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    away = np.eye(32)[0] * 2
    documents = ragged([unit(away + rng.normal(size=32) / 4 + rng.normal(size=(12, 32)) / 16) for _ in range(300)])
    queries = ragged([unit(-away + rng.normal(size=32) / 3 + rng.normal(size=(16, 32)) / 16) for _ in range(20)])
    scores = maxsim(queries, documents)
    assert (queries.values @ documents.values.T).max() < 0
    codec = train_codec(documents.values, len(documents.values), LateSettings(centroids=128))
    index = LateIndex(codec, [write(tmp_path / "part", documents, codec)])
    found = index.search(queries, 10, effort=Effort(candidates=60))
    assert (found.scores < 0).all()
    best = np.argsort(-scores, axis=1)[:, :10]
    share = (found.rows[:, :, None] == best[:, None, :]).any(axis=2).mean()
    assert share > 0.7  # 0.2 if the scan took all bytes for 0; 0.77 with the centroids in float64


@pytest.mark.parametrize("bits", BITS)
def test_alignments_add_up_to_the_score_and_name_the_best_token(made: Made, world: World, bits: int) -> None:
    index, query = made(bits), world.queries.values[:32]
    found = index.search(take(world.queries, [0]), 5, effort=ALL)
    aligned = index.align(query, found.rows[0].tolist())
    for score, row, one in zip(found.scores[0], found.rows[0], aligned, strict=True):
        np.testing.assert_allclose(one.similarities.sum(), score, rtol=1e-5)
        products = query @ index.vectors(np.array([row])).values.T
        np.testing.assert_allclose(one.similarities, products[np.arange(32), one.places], atol=0.01)
        np.testing.assert_allclose(one.similarities, products.max(axis=1), atol=0.01)
    np.testing.assert_allclose(index.scores(query, found.rows[0]), found.scores[0])
    assert index.scores(query, np.empty(0, np.int64)).shape == (0,)


@pytest.mark.parametrize("bits", [4, 80])
def test_lists_give_what_a_scan_of_all_codes_gives(
    world: World, codecs: dict[int, Codec], made: Made, bits: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retr.index.late.planning.LISTED", 10)
    halves = [take(world.documents, list(range(first, first + 400))) for first in (0, 400)]
    parts = [write(tmp_path / str(n), half, codecs[bits], lists_from=1) for n, half in enumerate(halves)]
    index = LateIndex(codecs[bits], parts)
    every = Effort(candidates=100, nprobe=512)
    scanned = made(bits).search(world.queries, 10, effort=every)
    matches, plan = index.search_explained(world.queries, 10, effort=every)
    assert plan["plan"] == "scan of the lists of nprobe 512, 100 candidates scored"
    assert np.array_equal(matches.rows, scanned.rows)
    shares = []
    for nprobe in (1, 4, 16):
        found = index.search(world.queries, 10, effort=replace(every, nprobe=nprobe)).rows
        assert (found >= 0).all()
        shares.append((found[:, :, None] == scanned.rows[:, None, :]).any(axis=2).mean())
    assert shares[0] <= shares[1] + 0.01 <= shares[2] + 0.02
    assert shares[2] > 0.98
    allowed = some(800, 120)
    found = index.search(world.queries, 10, allowed, effort=replace(every, nprobe=1)).rows
    assert allowed[found].all()


def test_threads_share_an_index(made: Made, world: World) -> None:
    index = made(4)
    expected = index.search(world.queries, 10).rows
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            found = list(pool.map(lambda n: index.search(take(world.queries, [n]), 10).rows[0], range(60)))
            assert np.array_equal(np.array(found), expected)


def test_what_cannot_be_searched_is_refused(made: Made, world: World) -> None:
    index, query = made(4), take(world.queries, [0])
    with pytest.raises(BadInput, match="one a text"):
        index.search(Vectors(query.values), 1)
    with pytest.raises(Mismatch, match="dim 128; the queries 64"):
        index.search(ragged([np.zeros((2, 64), np.float32)]), 1)
    with pytest.raises(BadInput, match="no token vectors"):
        index.search(TokenVectors(query.values, np.array([0, 0, 32])), 1)
    with pytest.raises(BadInput, match="NaN"):
        index.search(TokenVectors(np.full((1, 128), np.nan, np.float32), np.array([0, 1])), 1)
    with pytest.raises(Mismatch, match="covers 3 documents"):
        index.search(query, 1, np.ones(3, np.bool_))
    with pytest.raises(BadInput, match="k must be at least 1"):
        index.search(query, 0)


def test_an_empty_index_finds_nothing(codecs: dict[int, Codec], world: World) -> None:
    index = LateIndex(codecs[4], [])
    assert len(index) == 0
    assert index.search(take(world.queries, [0]), 3).rows.tolist() == [[-1, -1, -1]]
    assert index.search(take(world.queries, [0]), 3, exact=True).rows.tolist() == [[-1, -1, -1]]
    assert len(index.search(TokenVectors(np.empty((0, 128), np.float32), np.array([0])), 3).rows) == 0


@pytest.mark.parametrize(("candidates", "nprobe"), [(0, 8), (10, 0), (True, 8)])
def test_an_effort_of_nothing_is_refused(candidates: int, nprobe: int) -> None:
    with pytest.raises(BadInput, match="must be"):
        Effort(candidates=candidates, nprobe=nprobe)
