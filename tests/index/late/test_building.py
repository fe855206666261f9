"""Building from a stream, and verifying what was built."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retr.index.disk.fsio import Disk
from retr.index.late.building import build_part
from retr.index.late.codec import Codec
from retr.index.late.index import LateIndex
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.part import LatePart
from retr.index.late.settings import Effort, LateSettings
from retr.index.late.verifying import own_queries, verify
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput, Mismatch

from .conftest import Made, World, take

SETTINGS = LateSettings(centroids=128, rounds=2, sample_tokens=6_000)


def blocks(world: World, size: int) -> Iterator[TokenVectors]:
    for first in range(0, 400, size):
        yield take(world.documents, list(range(first, min(first + size, 400))))


@pytest.fixture(scope="module")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LateIndex]:
    folder = tmp_path_factory.mktemp("built")
    codec, names, facts = build_part(Disk(), folder, blocks(world, 70), SETTINGS)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    return folder, LateIndex(codec, [LatePart.open(folder, codec, facts, chosen_kernels())])


def test_a_stream_is_indexed_and_nothing_stays_aside(built: tuple[Path, LateIndex], world: World) -> None:
    _, index = built
    rows = np.array([0, 69, 70, 399])
    assert len(index) == 400
    for ours, given in zip(index.vectors(rows), take(world.documents, rows), strict=True):
        assert len(ours) == len(given)
        assert (ours * given).sum(axis=1).mean() > 0.97


def test_a_stream_cut_elsewhere_gives_the_same_files(
    built: tuple[Path, LateIndex], world: World, tmp_path: Path
) -> None:
    folder, _ = built
    _, names, _ = build_part(Disk(), tmp_path, blocks(world, 400), SETTINGS)
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_a_stream_that_fails_leaves_nothing_aside(world: World, tmp_path: Path) -> None:
    bad = TokenVectors(world.documents.values[:3], np.array([0, 3, 3]))
    with pytest.raises(BadInput, match="Document 71 has no token vectors"):
        build_part(Disk(), tmp_path, [next(blocks(world, 70)), bad], SETTINGS)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="no token vectors to train"):
        build_part(Disk(), tmp_path, [], SETTINGS)


def test_verifying_says_which_step_loses(made: Made, world: World) -> None:
    index = made(2)
    few = verify(index, [world.documents], queries=world.queries, effort=Effort(candidates=10))
    many = verify(index, [world.documents], queries=world.queries, effort=Effort(candidates=400))
    assert few.coding == many.coding
    assert few.scanning < many.scanning == 1
    assert many.recall == many.coding
    many.require(0.9)
    with pytest.raises(Mismatch, match=r"finds 0\..* of the 10 best .* 1 is asked for\..*Use more bits"):
        many.require(1)
    with pytest.raises(Mismatch, match="Give more candidates"):
        few.require(0.99)


def test_verifying_without_the_vectors_sees_the_scan_alone(made: Made) -> None:
    found = verify(made(4), effort=Effort(candidates=20))
    assert (found.queries, found.k, found.coding) == (100, 10, None)
    assert found.recall == found.scanning
    assert found.facts()["plan"] == "scan of all codes, 20 candidates scored"


def test_own_queries_find_their_documents(made: Made) -> None:
    queries = own_queries(made(4), 800)
    found = made(4).search(queries, 1).rows[:, 0]
    assert (found == np.arange(800)).mean() > 0.99


def test_other_documents_are_refused(made: Made, world: World, codecs: dict[int, Codec]) -> None:
    with pytest.raises(Mismatch, match="holds 800 documents; 1 were given"):
        verify(made(4), [take(world.documents, [0])], queries=take(world.queries, [0]))
    with pytest.raises(BadInput, match="nothing to compare"):
        verify(LateIndex(codecs[4], []), queries=world.queries)
