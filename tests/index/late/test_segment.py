"""A segment's tokens with their codec: small ones raw, large ones coded, merging that copies, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.disk.fsio import Disk
from retr.index.late.codec import CODEC, Codec
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.mixed import MixedIndex
from retr.index.late.part import LatePart
from retr.index.late.segment import merge_segments, open_segment, write_segment
from retr.index.late.settings import LateSettings
from retr.index.late.training import raw_codec
from retr.retrieval.errors import BadInput, Damaged

from .conftest import World, take

SETTINGS = LateSettings(centroids=256, rounds=2)
FEW = 12_000


def opened(folder: Path, written: tuple[list[str], dict[str, Any]]) -> LatePart:
    assert sorted(path.name for path in folder.iterdir()) == sorted(written[0])
    return open_segment(folder, written[1], chosen_kernels())


def segment(folder: Path, world: World, span: tuple[int, int], known: tuple[Codec, ...] = ()) -> LatePart:
    folder.mkdir()
    blocks = [take(world.documents, list(range(*span)))]
    return opened(folder, write_segment(Disk(), folder, blocks, SETTINGS, known, few=FEW))


def merged(folder: Path, *parts: LatePart, known: tuple[Codec, ...] = ()) -> LatePart:
    folder.mkdir()
    sources = [(part, np.ones(len(part), np.bool_)) for part in parts]
    return opened(folder, merge_segments(Disk(), folder, sources, SETTINGS, known, few=FEW))


def test_few_tokens_are_kept_in_eight_bits_of_one_step(world: World, tmp_path: Path) -> None:
    one = segment(tmp_path / "one", world, (0, 100))
    two = segment(tmp_path / "two", world, (100, 200), (one.codec,))
    assert (one.codec.bits, one.codec.coded) == (8, False)
    assert two.codec.key == one.codec.key
    both = merged(tmp_path / "both", one, two)
    assert both.codec.key == one.codec.key
    assert np.array_equal(both.tokens.residuals, np.concatenate([one.tokens.residuals, two.tokens.residuals]))


def test_many_tokens_are_coded_and_merging_copies_their_codes(world: World, tmp_path: Path) -> None:
    one = segment(tmp_path / "one", world, (0, 300))
    two = segment(tmp_path / "two", world, (300, 600), (one.codec,))
    small = segment(tmp_path / "small", world, (600, 650), (one.codec,))
    assert [part.codec.bits for part in (one, two, small)] == [4, 4, 8]
    assert two.codec.key == one.codec.key
    whole = merged(tmp_path / "whole", one, small, two)
    assert whole.codec.key == one.codec.key
    assert whole.tokens.codes is not None and one.tokens.codes is not None and two.tokens.codes is not None
    first, last = one.token_count, two.token_count
    assert np.array_equal(whole.tokens.residuals[:first], one.tokens.residuals)
    assert np.array_equal(whole.tokens.codes[-last:], two.tokens.codes)
    found = MixedIndex([whole]).search(world.queries, 10)
    allowed = np.arange(800) < 650
    order = np.concatenate([np.arange(300), np.arange(600, 650), np.arange(300, 600)])
    assert (order[found.rows][:, :, None] == world.best(10, allowed)[:, None, :]).any(axis=2).mean() > 0.96


def test_small_segments_that_become_many_are_coded(world: World, tmp_path: Path) -> None:
    parts = [segment(tmp_path / str(at), world, (at, at + 200)) for at in (0, 200)]
    assert {part.codec.bits for part in parts} == {8}
    both = merged(tmp_path / "both", *parts)
    assert (both.codec.bits, len(both.codec.centroids)) == (4, 256)
    known = merged(tmp_path / "again", *parts, known=(both.codec,))
    assert known.codec.key == both.codec.key


def test_what_shrinks_stays_as_it_is_coded(world: World, tmp_path: Path) -> None:
    one = segment(tmp_path / "one", world, (0, 300))
    (tmp_path / "less").mkdir()
    keep = np.arange(300) % 10 == 0
    less = opened(tmp_path / "less", merge_segments(Disk(), tmp_path / "less", [(one, keep)], SETTINGS, few=FEW))
    assert (len(less), less.codec.key) == (30, one.codec.key)


def test_larger_numbers_get_a_larger_step() -> None:
    one = raw_codec(8, 0.4)
    assert raw_codec(8, 0.5, [one]) is one
    assert raw_codec(8, 0.6, [one]).unit == pytest.approx(0.75 / 127)
    assert raw_codec(8, 1.0).unit == pytest.approx(1 / 127)
    assert raw_codec(16, 0.1, [one]).dim == 16


def test_nothing_is_no_segment(world: World, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no token vectors to write"):
        write_segment(Disk(), tmp_path, [], SETTINGS)
    part = segment(tmp_path / "one", world, (0, 2))
    with pytest.raises(BadInput, match="Nothing of these segments"):
        merge_segments(Disk(), tmp_path, [(part, np.zeros(2, np.bool_))], SETTINGS)


def test_a_lost_codec_is_damage(world: World, tmp_path: Path) -> None:
    segment(tmp_path / "one", world, (0, 2))
    (tmp_path / "one" / CODEC).unlink()
    with pytest.raises(Damaged, match="Run: retr check"):
        open_segment(tmp_path / "one", {}, chosen_kernels())
