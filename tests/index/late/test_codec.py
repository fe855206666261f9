"""Codes: levels by hand, what comes back, the rule for centroids, files that are checked."""

import json
from pathlib import Path

import numpy as np
import pytest

from retr.index.disk.fsio import Disk
from retr.index.late.codec import CENTROIDS, CODEC, Codec
from retr.index.late.kernels.arrays import LEVELS, Tokens
from retr.index.late.settings import LateSettings
from retr.index.late.training import Sample, centroids_for, lloyd, tables_for, tables_of_levels, train_codec
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged, Mismatch

from .conftest import World, unit

ZEROS = b", ".join([b"0"] * LEVELS)


def decoded(codec: Codec, values: Floats) -> Floats:
    codes, residuals = codec.encode(values)
    tokens = Tokens(codes, residuals, np.array([0, len(values)]), codec.levels, codec.bits)
    return codec.decode(tokens, np.arange(len(values)))


def by_hand() -> Codec:
    """Two centroids along the first and the last number; levels -3, -1, 1, 3 of a half step each."""
    centroids = np.full((2, 4), 128, np.uint8)
    centroids[0, 0], centroids[1, 3] = 228, 228  # 100 steps of 0.01
    levels = np.zeros((1, LEVELS), np.uint8)
    levels[0, :4] = (94, 98, 102, 106)
    return Codec(2, centroids, levels, unit=0.01, gain=2, zero=100)


def test_a_token_is_its_centroid_and_the_nearest_levels() -> None:
    token = np.array([[1.012, -0.012, 0.03, -0.009]], np.float32)
    codes, residuals = by_hand().encode(token)
    assert codes.tolist() == [0]
    assert residuals.tolist() == [[2 | (1 << 2) | (3 << 4) | (1 << 6)]]  # levels 1, -1, 3, -1: plane after plane
    np.testing.assert_allclose(decoded(by_hand(), token), [[1.01, -0.01, 0.03, -0.01]], atol=1e-7)


def test_eight_bits_are_whole_numbers_of_one_step() -> None:
    codec = Codec(8, np.empty((0, 4), np.uint8), np.zeros((1, LEVELS), np.uint8), unit=0.01)
    values = np.array([[1.0, -0.5, 0.004, 9.0]], np.float32)
    assert codec.encode(values)[1].tolist() == [[228, 78, 128, 255]]
    np.testing.assert_allclose(decoded(codec, values), [[1.0, -0.5, 0.0, 1.27]], atol=1e-6)


def test_lloyd_finds_the_middles_of_separate_heaps() -> None:
    values = np.sort(np.array([-9, -8, -7, 0, 1, 5, 5, 5], np.float32))
    np.testing.assert_allclose(lloyd(values, 3), [-8, 0.5, 5])


def test_a_token_takes_the_table_of_levels_that_suits_what_is_left_of_it() -> None:
    codec = by_hand()
    levels = np.zeros((2, LEVELS), np.uint8)
    levels[0, :4], levels[1, :4] = (94, 98, 102, 106), (40, 80, 120, 160)
    two = Codec(2, codec.centroids, levels, unit=0.01, gain=2, zero=100)
    near, far = [0.01, -0.01, 0.03, 1.01], [0.7, -0.3, 0.1, 0.3]
    codes, residuals = two.encode(np.array([near, far], np.float32))
    assert codes.tolist() == [1 * 2 + 0, 0 * 2 + 1]
    alone = codec.encode(np.array([near], np.float32))
    assert alone[0].tolist() == [1] and np.array_equal(alone[1], residuals[:1])
    np.testing.assert_allclose(decoded(two, np.array([far], np.float32)), [[0.7, -0.3, 0.1, 0.3]], atol=1e-6)


@pytest.mark.parametrize(
    ("centroids", "tables"), [(1, 8), (8_192, 8), (8_193, 4), (16_384, 4), (16_385, 2), (32_768, 2)]
)
def test_there_are_as_many_tables_as_a_code_has_room_for(centroids: int, tables: int) -> None:
    assert tables_for(centroids) == tables


def test_tables_are_for_short_and_for_long() -> None:
    rng = np.random.default_rng(0)
    left = np.concatenate([rng.normal(0, 1, (500, 32)), rng.normal(0, 10, (500, 32))]).astype(np.float32)
    one, two = (tables_of_levels(left, 4, count) for count in (1, 2))
    # The best four levels for a normal distribution (Max, 1960), for each deviation.
    np.testing.assert_allclose(two, np.outer([1, 10], [-1.510, -0.4528, 0.4528, 1.510]), rtol=0.06)
    assert one.shape == (1, 4) and 1.51 < one[0, 3] < 15.1
    assert tables_of_levels(np.zeros((3, 4), np.float32), 4, 8).tolist() == np.zeros((8, 4)).tolist()


@pytest.mark.parametrize("bits", [4, 2])
def test_tables_bring_tokens_of_uneven_distance_nearer(world: World, bits: int) -> None:
    values = world.documents.values[:6000]
    codec = train_codec(values, 6000, LateSettings(bits=bits, centroids=64))  # type: ignore[arg-type]
    assert codec.levels.shape == (8, LEVELS)
    spread = codec.levels[:, : 1 << bits].max(axis=1).astype(int) - codec.levels[:, : 1 << bits].min(axis=1)
    assert spread.tolist() == sorted(spread.tolist()) and spread[-1] > 1.5 * spread[0]
    single = Codec(codec.bits, codec.centroids, codec.levels[4:5], codec.unit, codec.gain, codec.zero)
    lost = [float(np.square(decoded(each, values) - values).sum()) for each in (codec, single)]
    assert lost[0] < 0.95 * lost[1]


def test_more_bits_bring_a_token_nearer(world: World, codecs: dict[int, Codec]) -> None:
    values = world.documents.values[:5000]
    errors = {bits: float(np.square(decoded(codecs[bits], values) - values).sum(axis=1).mean()) for bits in (2, 4, 8)}
    assert errors[8] < 0.001 < errors[4] < 0.02 < errors[2] < 0.1


def test_the_same_sample_gives_the_same_codec(world: World) -> None:
    settings = LateSettings(bits=2, centroids=16)
    values = world.documents.values[:2000]
    one, two = (train_codec(values, 2000, settings) for _ in range(2))
    assert np.array_equal(one.centroids, two.centroids)
    assert (one.levels.tolist(), one.unit, one.gain, one.zero) == (two.levels.tolist(), two.unit, two.gain, two.zero)


@pytest.mark.parametrize(
    ("tokens", "sampled", "bits", "count"),
    [
        (640_000, 640_000, 4, 8_192),  # 16 * 800 = 12,800
        (193_000, 193_000, 4, 4_096),  # 16 * 439 = 7,024
        (10**9, 10**9, 4, 32_768),
        (640_000, 50_000, 4, 1_024),  # 50,000 / 40 = 1,250
        (30, 30, 4, 1),
        (100_000, 100_000, 8, 0),
        (640_000, 640_000, 8, 8_192),
    ],
)
def test_centroids_follow_the_rule(tokens: int, sampled: int, bits: int, count: int) -> None:
    assert centroids_for(tokens, sampled, LateSettings(bits=bits)) == count  # type: ignore[arg-type]


def test_a_single_token_can_be_coded() -> None:
    values = unit(np.ones((1, 8)))
    for bits in (8, 4, 2):
        codec = train_codec(values, 1, LateSettings(bits=bits))  # type: ignore[arg-type]
        np.testing.assert_allclose(decoded(codec, values), values, atol=0.01)


def test_a_sample_is_bounded_and_fair() -> None:
    counts = np.zeros(100)
    for seed in range(200):
        sample = Sample(20, seed)
        for at in range(0, 100, 7):
            sample.take(np.arange(at, min(at + 7, 100), dtype=np.float32)[:, None])
        assert (len(sample.values), sample.seen) == (20, 100)
        counts[sample.values[:, 0].astype(int)] += 1
    assert abs(counts[:20].mean() - 40) < 6
    assert abs(counts[80:].mean() - 40) < 6


def test_a_sample_of_a_short_stream_is_all_of_it() -> None:
    sample = Sample(50, 0)
    for at in range(0, 12, 5):
        sample.take(np.arange(at, min(at + 5, 12), dtype=np.float32)[:, None])
    assert sample.values[:, 0].tolist() == list(range(12))


@pytest.mark.parametrize("value", [np.nan, 0.0, 2.0])
def test_tokens_of_another_length_are_refused(value: float) -> None:
    values = unit(np.ones((3, 8)))
    values[1] *= value
    with pytest.raises(BadInput, match=r"Token vector 1 has the length .* Normalise each token"):
        train_codec(values, 3, LateSettings())


@pytest.mark.parametrize(
    "wrong", [{"bits": 3}, {"bits": True}, {"centroids": 0}, {"centroids": 40_000}, {"rounds": 0}, {"seed": -1}]
)
def test_settings_name_what_is_wrong(wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=f"^{next(iter(wrong))} must be"):
        LateSettings(**wrong)  # type: ignore[arg-type]


def test_another_dim_is_refused(codecs: dict[int, Codec]) -> None:
    with pytest.raises(Mismatch, match="tokens of 128 numbers"):
        codecs[4].encode(np.zeros((1, 64), np.float32))
    for dim in (6, 4100):
        with pytest.raises(BadInput, match=f"a dim that 4 divides, up to 4096; got {dim}"):
            train_codec(unit(np.ones((3, dim))), 3, LateSettings())


@pytest.mark.parametrize("bits", [8, 80, 4, 2])
def test_a_codec_comes_back_as_it_was(codecs: dict[int, Codec], bits: int, tmp_path: Path) -> None:
    codec = codecs[bits]
    assert codec.save(Disk(), tmp_path) == [CODEC, CENTROIDS]
    again = Codec.open(tmp_path)
    assert np.array_equal(again.centroids, codec.centroids)
    assert np.array_equal(again.levels, codec.levels)
    assert (again.bits, again.unit, again.gain, again.zero) == (codec.bits, codec.unit, codec.gain, codec.zero)


def test_a_codec_written_with_a_single_flat_table_is_read(tmp_path: Path) -> None:
    by_hand().save(Disk(), tmp_path)
    facts = json.loads((tmp_path / CODEC).read_bytes())
    (tmp_path / CODEC).write_text(json.dumps(facts | {"levels": facts["levels"][0]}))
    again = Codec.open(tmp_path)
    assert again.key == by_hand().key and np.array_equal(again.levels, by_hand().levels)


@pytest.mark.parametrize(
    ("bits", "centroids", "shape"),
    [(4, 8, (3, LEVELS)), (4, 8, (16, LEVELS)), (4, 8, (0, LEVELS)), (8, 8, (2, LEVELS)), (2, 16_384, (8, LEVELS))],
)
def test_tables_beyond_what_codes_hold_are_refused(bits: int, centroids: int, shape: tuple[int, int]) -> None:
    with pytest.raises(BadInput, match=rf"not levels of the shape \[{shape[0]}, 16\]"):
        Codec(bits, np.zeros((centroids, 4), np.uint8), np.zeros(shape, np.uint8), 0.01)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (CODEC, b"{"),
        (CODEC, b"{}"),
        (CODEC, b'{"bits": 4, "dim": 128, "centroids": 3, "levels": [0], "unit": 1, "gain": 1, "zero": 0}'),
        (CODEC, b'{"bits": 5, "dim": 128, "centroids": 512, "levels": [%s], "unit": 1, "gain": 1, "zero": 0}' % ZEROS),
        (
            CODEC,
            b'{"bits": 4, "dim": 128, "centroids": 512, "levels": [%s], "unit": 1, "gain": 1.5, "zero": 0}' % ZEROS,
        ),
        (CENTROIDS, b""),
        (CENTROIDS, b"\x93NUMPY"),
    ],
)
def test_damage_of_a_codec_is_named(codecs: dict[int, Codec], name: str, content: bytes, tmp_path: Path) -> None:
    codecs[4].save(Disk(), tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Damaged, match=r"Run: retr check"):
        Codec.open(tmp_path)
