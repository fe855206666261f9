"""Scores on a device are the CPU kernels' whole numbers, whatever the bits, the shapes and the size of a chunk."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from weakref import finalize

import numpy as np
import pytest
from numpy.typing import NDArray

from retr.index.late.codec import Codec
from retr.index.late.gpu import arithmetic
from retr.index.late.gpu.arithmetic import FLOAT32, Way, exact_way, kind_for, largest_similarities, multiply
from retr.index.late.gpu.best import best
from retr.index.late.gpu.chunks import chunks
from retr.index.late.gpu.lanes import Lanes
from retr.index.late.gpu.memory import codec_bytes, part_bytes
from retr.index.late.gpu.resident import Resident, moved, resident_codec
from retr.index.late.gpu.scoring import Scoring
from retr.index.late.gpu.searching import OnDevice
from retr.index.late.kernels.arrays import LEVELS, Tokens, lanes_of
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.kernels.reference import Numpy, numbers_of
from retr.index.late.part import LatePart
from retr.index.late.planning import Plan

from .conftest import BITS, Card, Parts

LENGTHS = (1, 1, 2, 3, 65, 1, 40, 200, 17)
QUERIES = (1, 7, 33)
ROOM = 1 << 29


def random_part(bits: int, dim: int, *, gain: int = 16, zero: int = 128, lengths: Sequence[int] = LENGTHS) -> LatePart:
    """Codes, centroids and levels that no training would make, the largest numbers there are among them."""
    rng, total = np.random.default_rng(dim + bits), sum(lengths)
    centroids = rng.integers(0, 256, (37, dim), dtype=np.uint8)
    levels = rng.integers(0, 256, (1 if bits in (8, 80) else 8, LEVELS)).astype(np.uint8)
    centroids[:2], levels[:, :2] = [[0], [255]], (0, 255)
    codec = Codec({80: 8}.get(bits, bits), centroids[: 0 if bits == 8 else None], levels, 0.01, gain, zero)  # type: ignore[arg-type]
    residuals = rng.integers(0, 256, (total, codec.width), dtype=np.uint8)
    residuals[:4] = [[0], [255], [0x11], [0]]
    codes = None if bits == 8 else rng.integers(0, 37 * len(levels), total).astype(np.uint16)
    offsets = np.cumsum([0, *lengths]).astype(np.int64)
    return LatePart(Tokens(codes, residuals, offsets, levels, codec.bits), codec, Numpy())


def random_queries(dim: int) -> list[NDArray[np.int8]]:
    rng = np.random.default_rng(dim)
    made = [rng.integers(-127, 128, (count, dim), dtype=np.int8) for count in QUERIES]
    made[1][0], made[1][1] = 127, -127
    return made


def placed(part: LatePart, device: Any, way: Way) -> Resident:
    return moved(part, resident_codec(part.codec, device, way))


def by_definition(part: LatePart, query: NDArray[np.int8]) -> list[int]:
    """A token is centroid - 128 + (level - zero) / gain; its similarity, times gain, in whole numbers, by loops."""
    places, codec, asked = np.arange(part.token_count), part.codec, query.astype(np.int64)
    tokens = numbers_of(part.tokens, places).astype(np.int64) - codec.zero
    if codec.bits != 8:
        assert part.tokens.codes is not None
        tokens += codec.gain * (codec.centroids[part.tokens.codes // len(codec.levels)].astype(np.int64) - 128)
    ends = part.tokens.offsets.tolist()
    spans = list(pairwise(ends))
    return [sum(max(int(one @ token) for token in tokens[start:end]) for one in asked) for start, end in spans]


@pytest.mark.parametrize("way", ["int8", "float"])
@pytest.mark.parametrize(
    ("bits", "dim", "gain", "zero"), [(8, 32, 1, 128), (4, 32, 16, 128), (2, 64, 3, 0), (4, 12, 5, 255)]
)
def test_scores_are_those_of_a_loop_by_the_codecs_definition(
    card: Card, bits: int, dim: int, gain: int, zero: int, way: Way
) -> None:
    if way == "int8" and dim % 8:
        pytest.skip("CUDA's int8 products take no such dim")
    part, queries = random_part(bits, dim, gain=gain, zero=zero), random_queries(dim)
    index = Scoring([placed(part, device_of_card(card), way)], ROOM)
    found = index.scores(Lanes(queries, index._codec), None).cpu().numpy()
    assert found.tolist() == [by_definition(part, query) for query in queries]


def device_of_card(card: Card) -> Any:
    return card.torch.device(card.kind)


@pytest.mark.parametrize("dim", [4, 40, 384, 4096])
@pytest.mark.parametrize("bits", BITS)
def test_scores_and_scans_are_the_kernels(card: Card, bits: int, dim: int) -> None:
    part, device = random_part(bits, dim), device_of_card(card)
    way = exact_way(device, dim)
    assert way is not None
    index, kernels = Scoring([placed(part, device, way)], ROOM), chosen_kernels()
    lanes = Lanes(random_queries(dim), index._codec)
    assert lanes.kind == (card.torch.float64 if dim == 4096 else card.torch.float32) or dim == 384
    scores, codec = index.scores(lanes, None).cpu().numpy(), part.codec
    scored = (
        Tokens(None, part.tokens.residuals, part.tokens.offsets, codec.levels, 8) if codec.bits == 8 else part.tokens
    )
    reached = index.scan(lanes, None).cpu().numpy() if codec.coded else None
    for place, query in enumerate(random_queries(dim)):
        bases = np.zeros((1, lanes_of(len(query))), np.int32)
        bases[0, : len(query)] = -codec.zero * query.sum(axis=1, dtype=np.int32)
        if codec.coded:
            made, table = kernels.tables(query, kernels.products(query, codec.centroids), codec.gain, codec.zero)
            assert reached is not None
            assert np.array_equal(reached[place], kernels.scan(len(query), part.tokens, table, None))
            bases = bases if codec.bits == 8 else made
        assert np.array_equal(scores[place], kernels.scores(query, scored, bases, None))


@pytest.mark.parametrize("scratch", [1, 30_000, 200_000])
@pytest.mark.parametrize("rows", [None, [0, 2, 4, 7], [7], list(range(9))])
def test_chunks_that_cut_documents_change_nothing(card: Card, scratch: int, rows: list[int] | None) -> None:
    part, device = random_part(4, 32), device_of_card(card)
    chosen = None if rows is None else np.array(rows)
    wide, narrow = (Scoring([placed(part, device, "float")], size) for size in (ROOM, scratch))
    lanes = Lanes(random_queries(32), wide._codec)
    for work in (Scoring.scores, Scoring.scan):
        expected = work(wide, lanes, None).cpu().numpy()
        found = work(narrow, lanes, chosen).cpu().numpy()
        assert np.array_equal(found, expected if chosen is None else expected[:, chosen])
    candidates = np.array([[0, 4, 7], [1, 2, 8], [5, 6, 7]])
    expected = wide.scores(lanes, None).cpu().numpy()
    for index in (wide, narrow):
        found = index.rescored(lanes, candidates).cpu().numpy()
        assert np.array_equal(found, np.take_along_axis(expected, candidates, 1))


@pytest.mark.parametrize("most", [(1, 1), (2, 9), (3, 2), (64, 1), (70, 2), (1000, 3), (1000, 1000)])
def test_chunks_hold_all_tokens_once_and_cut_only_what_is_larger(most: tuple[int, int]) -> None:
    ends = np.cumsum([0, *LENGTHS])
    found = list(chunks(ends, *most))
    assert [chunk.start for chunk in found] == [0, *(chunk.stop for chunk in found[:-1])]
    assert found[-1].stop == ends[-1] and not found[-1].open
    for chunk in found:
        assert 1 <= len(chunk) <= most[0] and 1 <= chunk.last - chunk.first <= most[1]
        assert ends[chunk.first] <= chunk.start < chunk.stop <= ends[chunk.last]
        cut = chunk.open or chunk.start > ends[chunk.first]
        assert not cut or LENGTHS[chunk.first] > most[0]
        assert chunk.open == (chunk.stop < ends[chunk.last])


def test_tokens_lie_on_the_device_as_in_the_files(card: Card, whole: Parts) -> None:
    for bits in BITS:
        part = whole(bits)
        there = placed(part, device_of_card(card), "float")
        held = [there.stored, there.offsets, *([] if there.codes is None else [there.codes])]
        assert sum(one.nbytes for one in held) == part_bytes(part)
        stored = there.stored.cpu().numpy().view(np.uint8)
        assert np.array_equal(stored ^ np.uint8(128 if bits in (8, 80) else 0), part.tokens.residuals)
        if part.tokens.codes is not None:
            assert there.codes is not None
            assert np.array_equal(there.codes.cpu().numpy().view(np.uint16), part.tokens.codes)
        own = [there.codec.centroids, *([] if there.codec.levels is None else [there.codec.levels])]
        assert sum(one.nbytes for one in own) <= codec_bytes(part.codec)
        again = placed(part, device_of_card(card), "float")
        assert again.codec is there.codec


def test_the_best_come_first_and_of_equal_ones_the_lower(card: Card) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(-3, 4, (5, 300))
    expected = np.argsort(-scores, axis=1, kind="stable")
    given = card.torch.from_numpy(scores).to(device_of_card(card))
    for bound in (3, 1 << 60):
        values, places = (one.cpu().numpy() for one in best(given, 40, bound))
        assert np.array_equal(places, expected[:, :40])
        assert np.array_equal(values, np.take_along_axis(scores, places, 1))
        assert best(given[:, :1], 40, bound)[1].tolist() == [[0]] * 5


def test_no_similarity_passes_its_bound() -> None:
    for bits, dim in ((8, 8), (4, 8), (2, 128)):
        part, queries = random_part(bits, dim), random_queries(dim)
        codec, places = part.codec, np.arange(part.token_count)
        longest = np.linalg.norm(codec.centroids.astype(float) - 128, axis=1).max(initial=0)
        tokens = numbers_of(part.tokens, places).astype(np.int64) - codec.zero
        if codec.bits != 8:
            assert part.tokens.codes is not None
            tokens += codec.gain * (codec.centroids[part.tokens.codes // len(codec.levels)].astype(np.int64) - 128)
        for query in queries:
            bounds = largest_similarities(query, codec.gain, codec.zero, longest, coded=codec.bits != 8)
            assert (np.abs(tokens @ query.astype(np.int64).T) <= bounds).all()


def test_products_stay_exact_up_to_their_bound_and_wider_floats_come_after(card: Card) -> None:
    torch, device = card.torch, device_of_card(card)
    assert kind_for(FLOAT32 - 1) == torch.float32 and kind_for(FLOAT32) == torch.float64
    levels = torch.full((21, 1032), -128, dtype=torch.int8, device=device)[1:]  # not where a tensor's memory begins
    numbers = torch.full((16, 1032), 127, dtype=torch.int8, device=device)[8:]
    levels[1, 0] = -127
    for way in ("int8", "float"):
        found = multiply(way, levels, numbers, torch.float32)
        assert found[0].tolist() == [-128 * 127 * 1032] * 8 and found[1].tolist() == [-128 * 127 * 1032 + 127] * 8


def test_a_device_that_rounds_products_is_not_used(stand_in: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded(*given: Any) -> Any:
        return multiply(*given).to(stand_in.torch.bfloat16).to(given[-1])

    device = stand_in.torch.device("cpu")
    exact_way.cache_clear()
    assert exact_way(device, 32) == "int8"
    monkeypatch.setattr(arithmetic, "multiply", rounded)
    exact_way.cache_clear()
    assert exact_way(device, 32) is None
    exact_way.cache_clear()


@contextmanager
def most_memory(torch: Any, there: Resident) -> Iterator[list[int]]:
    """The bytes of all tensors that lived at once, at most, beside those that lie there."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    held = (there.stored, there.offsets, there.codes, there.codec.centroids, there.codec.levels)
    living = {one.untyped_storage()._cdata: 0 for one in held if one is not None}
    most = [0]

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = function(*args, **(kwargs or {}))
            for one in tree_leaves(found):
                storage = one.untyped_storage() if isinstance(one, torch.Tensor) else None
                if storage is not None and storage._cdata not in living:
                    living[storage._cdata] = storage.nbytes()
                    finalize(storage, living.pop, storage._cdata, None)
            most[0] = max(most[0], sum(living.values()))
            return found

    with Counting():
        yield most


@pytest.mark.parametrize(("bits", "way"), [(8, "int8"), (80, "float"), (4, "int8"), (2, "float")])
def test_a_search_takes_no_more_than_its_scratch_memory(stand_in: Card, bits: int, way: Way) -> None:
    part, torch = random_part(bits, 32, lengths=(*LENGTHS * 4, *[1] * 1500)), stand_in.torch
    resident, scratch = placed(part, torch.device("cpu"), way), 200_000 if bits != 8 else 800_000
    queries, rows = random_queries(32) * 4, np.arange(0, len(part), 2)
    for plan in (Plan("all", 0, 0, ""), *([Plan("scan", 0, 0, "", candidates=40)] if part.codec.coded else [])):
        for chosen in (None, rows):
            with most_memory(torch, resident) as most:
                OnDevice([resident], scratch).search(queries, 10, chosen, plan)
            assert scratch // 20 < most[0] <= scratch
