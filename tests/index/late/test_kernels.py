"""Every kernel gives the numpy twin's bits, and both give what a float64 triple loop does, whatever the shapes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.late.kernels.arrays import LEVELS, Kernels, Tokens, lanes_of, wide_of
from retr.index.late.kernels.native import SETTING, Compiled, chosen_kernels, kernels, library
from retr.index.late.kernels.reference import Numpy, numbers_of
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput

ALL: list[Kernels] = [*(Compiled(name) for name in kernels()), Numpy()]
QUERIES = (1, 7, 16, 31, 32, 33, 300)
LENGTHS = (1, 2, 3, 4, 5, 64, 65, 4096)
DIMS = (4, 8, 32, 64, 96, 128, 256, 4096)
CENTROIDS, TABLES = 37, 4


def tokens_of(rng: np.random.Generator, lengths: tuple[int, ...], dim: int, bits: int) -> Tokens:
    """Documents of random codes, of which the lowest two bits name a table of levels."""
    total = sum(lengths)
    residuals = rng.integers(0, 256, (total, dim * bits // 8), dtype=np.uint8)
    codes = None if bits == 8 else rng.integers(0, CENTROIDS * TABLES, total).astype(np.uint16)
    levels = rng.integers(0, 256, (1 if bits == 8 else TABLES, LEVELS)).astype(np.uint8)
    return Tokens(codes, residuals, np.cumsum([0, *lengths]).astype(np.int64), levels, bits)


def query_of(rng: np.random.Generator, count: int, dim: int) -> NDArray[np.int8]:
    query = rng.integers(-127, 128, (count, dim)).astype(np.int8)
    query[0] = 127  # the largest sums there can be
    return query


def levels_of(tokens: Tokens, at: int) -> list[int]:
    """A token's levels, or with 8 bits its numbers, by Python's own whole numbers."""
    stored, bits = tokens.residuals[at].tolist(), tokens.bits
    if bits == 8:
        return stored  # type: ignore[no-any-return]
    assert tokens.codes is not None
    levels = tokens.levels[tokens.codes[at] % TABLES].tolist()
    return [levels[(byte >> shift) % (1 << bits)] for shift in range(0, 8, bits) for byte in stored]


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_numbers_are_looked_up_in_the_table_that_the_code_names(bits: int) -> None:
    tokens = tokens_of(np.random.default_rng(bits), (3, 40), 16, bits)
    places = np.array([40, 2, 2, 17])
    assert numbers_of(tokens, places).tolist() == [levels_of(tokens, at) for at in places.tolist()]


def triple_loop(query: NDArray[np.int8], tokens: Tokens, bases: NDArray[np.int32]) -> list[int]:
    """For each document, each query token, each document token: Python's own whole numbers."""
    numbers = [levels_of(tokens, at) for at in range(len(tokens.residuals))]
    found = []
    for start, end in zip(tokens.offsets[:-1].tolist(), tokens.offsets[1:].tolist(), strict=True):
        score = 0
        for place, one in enumerate(query.astype(object)):
            score += max(
                int(bases[0 if tokens.codes is None else tokens.codes[at] // TABLES, place])
                + sum(a * b for a, b in zip(one.tolist(), numbers[at], strict=True))
                for at in range(start, end)
            )
        found.append(score)
    return found


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_scores_are_those_of_a_triple_loop(bits: int) -> None:
    rng = np.random.default_rng(bits)
    tokens = tokens_of(rng, (1, 2, 3, 4, 5, 9), 16, bits)
    query = query_of(rng, 7, 16)
    bases = rng.integers(-(2**20), 2**20, (CENTROIDS, lanes_of(7)), dtype=np.int32)
    expected = triple_loop(query, tokens, bases)
    for each in ALL:
        assert each.scores(query, tokens, bases, None).tolist() == expected, each.name


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("dim", DIMS)
def test_every_instruction_set_gives_the_same_bits(dim: int, bits: int) -> None:
    rng = np.random.default_rng(dim + bits)
    tokens = tokens_of(rng, LENGTHS if dim < 4096 else (1, 4, 5, 300), dim, bits)
    chosen = rng.permutation(len(tokens.offsets) - 1)[:3].astype(np.int64)
    for count in QUERIES if dim < 4096 else (1, 33):
        query = query_of(rng, count, dim)
        bases = rng.integers(-(2**20), 2**20, (CENTROIDS, lanes_of(count)), dtype=np.int32)
        expected = Numpy().scores(query, tokens, bases, None)
        for each in ALL[:-1]:
            assert np.array_equal(each.scores(query, tokens, bases, None), expected), each.name
            assert np.array_equal(each.scores(query, tokens, bases, chosen), expected[chosen]), each.name


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("count", QUERIES)
def test_centroids_tables_are_the_same_bits(count: int, dim: int) -> None:
    rng = np.random.default_rng(dim)
    rows, query = rng.integers(0, 256, (CENTROIDS, dim), dtype=np.uint8), query_of(rng, count, dim)
    products = Numpy().products(query, rows)
    assert np.array_equal(products[:, :count], (rows.astype(np.int64) - 128) @ query.T.astype(np.int64))
    expected = Numpy().tables(query, products, 2, 100)
    assert expected[1].max() in (254, 255)
    assert not expected[1][:, count:].any()
    for each in ALL[:-1]:
        assert np.array_equal(each.products(query, rows), products), each.name
        for ours, twin in zip(each.tables(query, products, 2, 100), expected, strict=True):
            assert np.array_equal(ours, twin), each.name


def test_a_table_of_equal_centroids_is_zero() -> None:
    query = np.full((3, 8), -5, np.int8)
    for each in ALL:
        products = each.products(query, np.full((4, 8), 200, np.uint8))
        assert not each.tables(query, products, 1, 0)[1].any()


@pytest.mark.parametrize("count", QUERIES)
def test_the_scan_is_the_same_and_picks_the_best(count: int) -> None:
    rng = np.random.default_rng(count)
    tokens = tokens_of(rng, tuple(rng.integers(1, 90, 200)), 8, 4)
    table = np.zeros((CENTROIDS, wide_of(count)), np.uint8)
    table[:, :count] = rng.integers(0, 256, (CENTROIDS, count))
    assert tokens.codes is not None
    expected = [
        int(table[tokens.codes[start:end] // TABLES].max(axis=0).sum())
        for start, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
    ]
    some = np.array([199, 0, 7], np.int64)
    for each in ALL:
        scores = each.scan(count, tokens, table, None)
        assert scores.tolist() == expected, each.name
        assert each.scan(count, tokens, table, some).tolist() == [expected[row] for row in some]
        for wanted in (0, 1, 50, 200, 300):
            best = sorted(range(200), key=lambda row: (-expected[row], row))[:wanted]
            assert each.best(scores, 255 * count, wanted).tolist() == sorted(best)


def test_of_equal_scores_the_first_are_picked() -> None:
    scores = np.array([3, 5, 3, 5, 0, 3, 0], np.uint32)
    for each in ALL:
        assert each.best(scores, 255, 4).tolist() == [0, 1, 2, 3]
        assert each.best(scores, 255, 6).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("dim", [*DIMS, 5])
def test_float32_is_a_float64_loop_up_to_rounding(dim: int) -> None:
    rng = np.random.default_rng(dim)
    lengths = LENGTHS if dim < 256 else (1, 3, 4, 5, 70)
    values = rng.normal(size=(sum(lengths), dim)).astype(np.float32)
    tokens = TokenVectors(values, np.cumsum([0, *lengths]).astype(np.int64))
    for count in QUERIES:
        query = rng.normal(size=(count, dim)).astype(np.float32)
        products = [query.astype(np.float64) @ one.T.astype(np.float64) for one in tokens]
        expected = np.array([one.max(axis=1).sum() for one in products])
        size = np.array([np.abs(one).max(axis=1).sum() for one in products])
        for each in ALL:
            assert (np.abs(each.floats(query, tokens) - expected) <= 1e-5 * size).all(), each.name


def test_all_negative_similarities_stay_negative() -> None:
    query, tokens = np.full((3, 8), 1, np.int8), np.zeros((5, 8), np.uint8)  # numbers of -128
    coded = Tokens(None, tokens, np.array([0, 2, 5]), np.zeros(LEVELS, np.uint8), 8)
    for each in ALL:
        bases = np.full((1, lanes_of(3)), -128 * 8, np.int32)
        assert each.scores(query, coded, bases, None).tolist() == [3 * -1024] * 2
        floats = TokenVectors(np.full((5, 8), -1, np.float32), np.array([0, 2, 5]))
        assert each.floats(np.ones((3, 8), np.float32), floats).tolist() == [-24, -24]


def test_the_setting_chooses_or_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    if library() is None:
        pytest.skip("no kernels were built")
    assert chosen_kernels().name == kernels()[0]
    monkeypatch.setenv(SETTING, "scalar")
    assert chosen_kernels().name == "scalar"
    monkeypatch.setenv(SETTING, "off")
    assert chosen_kernels().name == "numpy"
    monkeypatch.setenv(SETTING, "fast")
    with pytest.raises(BadInput, match="RETR_KERNELS is 'fast'; this machine has"):
        chosen_kernels()
    with pytest.raises(BadInput, match="no kernels named 'sse9'"):
        Compiled("sse9").scan(1, tokens_of(np.random.default_rng(0), (1,), 8, 4), np.zeros((37, 32), np.uint8), None)
