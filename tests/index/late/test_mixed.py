"""Parts of two codecs answer as one index, and 8 bits can be coded again in fewer without losing more."""

from pathlib import Path

import numpy as np
import pytest

from retr.index.disk.fsio import Disk
from retr.index.late.codec import Codec
from retr.index.late.index import LateIndex
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.mixed import MixedIndex
from retr.index.late.part import LatePart, write_part
from retr.index.late.settings import Effort, LateSettings
from retr.index.late.training import train_codec
from retr.retrieval.errors import Mismatch

from .conftest import World, ragged, take, unit, write

CUTS = ((0, 250), (250, 251), (251, 600), (600, 800))
BITS = (4, 8, 4, 8)


@pytest.fixture(scope="module")
def mixed(world: World, codecs: dict[int, Codec], tmp_path_factory: pytest.TempPathFactory) -> MixedIndex:
    folder = tmp_path_factory.mktemp("mixed")
    parts = [
        write(folder / str(cut), take(world.documents, list(range(*cut))), codecs[bits])
        for cut, bits in zip(CUTS, BITS, strict=True)
    ]
    return MixedIndex(parts)


def test_documents_are_counted_through(mixed: MixedIndex, world: World) -> None:
    rows = np.array([799, 0, 250, 251, 600, 5])
    assert len(mixed) == 800
    for ours, given in zip(mixed.vectors(rows), take(world.documents, rows), strict=True):
        assert len(ours) == len(given)
        assert (ours * given).sum(axis=1).mean() > 0.97


@pytest.mark.parametrize("exact", [True, False])
def test_the_best_of_both_codecs_are_found(mixed: MixedIndex, world: World, exact: bool) -> None:
    matches, plans = mixed.search_explained(world.queries, 10, exact=exact, effort=Effort(candidates=200))
    share = (matches.rows[:, :, None] == world.best(10)[:, None, :]).any(axis=2).mean()
    assert share > 0.97
    assert (np.diff(matches.scores, axis=1) <= 0).all()
    assert [plan["rows"] for plan in plans] == [599, 201]
    query = world.queries.values[:32]
    np.testing.assert_allclose(mixed.scores(query, matches.rows[0]), matches.scores[0], atol=0.1)
    sums = [one.similarities.sum() for one in mixed.align(query, matches.rows[0].tolist())]
    np.testing.assert_allclose(sums, mixed.scores(query, matches.rows[0]), rtol=1e-5)


def test_a_filter_holds_across_codecs(mixed: MixedIndex, world: World) -> None:
    for chosen in ([], [250], [3, 250, 799], list(range(0, 800, 3))):
        allowed = np.zeros(800, np.bool_)
        allowed[chosen] = True
        found = mixed.search(world.queries, 10, allowed).rows
        assert ((found >= 0).sum(axis=1) == min(10, len(chosen))).all()
        assert set(found[found >= 0].tolist()) <= set(chosen)
    with pytest.raises(Mismatch, match="covers 3 documents"):
        mixed.search(world.queries, 10, np.ones(3, np.bool_))


def test_an_empty_one_finds_nothing(world: World) -> None:
    assert MixedIndex([]).search(take(world.queries, [0]), 2).rows.tolist() == [[-1, -1]]


def test_parts_of_two_dims_are_refused(codecs: dict[int, Codec], world: World, tmp_path: Path) -> None:
    other = train_codec(unit(np.ones((2, 8))), 2, LateSettings(bits=8))
    parts = [
        write(tmp_path / "one", take(world.documents, [0]), codecs[4]),
        write(tmp_path / "two", ragged([unit(np.ones((2, 8)))]), other),
    ]
    with pytest.raises(Mismatch, match="one dim"):
        MixedIndex(parts)


def test_eight_bits_are_coded_again_in_four_without_losing_more(
    world: World, codecs: dict[int, Codec], tmp_path: Path
) -> None:
    raw = write(tmp_path / "raw", world.documents, codecs[8])
    (tmp_path / "again").mkdir()
    blocks = [raw.vectors(np.arange(first, first + 100)) for first in range(0, 800, 100)]
    _, facts = write_part(Disk(), tmp_path / "again", blocks, codecs[4])
    again = LateIndex(codecs[4], [LatePart.open(tmp_path / "again", codecs[4], facts, chosen_kernels())])
    found = again.search(world.queries, 10, effort=Effort(candidates=800)).rows
    assert (found[:, :, None] == world.best(10)[:, None, :]).any(axis=2).mean() > 0.97
