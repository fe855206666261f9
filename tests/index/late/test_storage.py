"""Files of coded tokens: their size, reopening, what is refused, and that damage is named."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retr.index.disk.fsio import Disk
from retr.index.late.codec import Codec
from retr.index.late.index import LateIndex
from retr.index.late.kernels.native import chosen_kernels
from retr.index.late.lists import Lists, write_lists
from retr.index.late.merging import merge_parts
from retr.index.late.part import LatePart, write_part
from retr.index.late.settings import Effort
from retr.index.late.storage import open_tokens
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput, Damaged, Mismatch

from .conftest import Made, World, ragged, take, unit, write


@pytest.mark.parametrize(("bits", "each"), [(4, 66), (2, 34), (80, 130), (8, 128)])
def test_a_token_takes_so_many_bytes(
    world: World, codecs: dict[int, Codec], bits: int, each: int, tmp_path: Path
) -> None:
    names, facts = write_part(Disk(), tmp_path, [world.documents], codecs[bits])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    size = sum((tmp_path / name).stat().st_size for name in names)
    assert size / facts["tokens"] == pytest.approx(each, rel=0.05)


@pytest.mark.parametrize("bits", [8, 80, 4, 2])
def test_blocks_of_any_size_give_the_same_files_and_scores(
    world: World, codecs: dict[int, Codec], made: Made, bits: int, tmp_path: Path
) -> None:
    def blocks() -> Iterator[TokenVectors]:
        for first, last in ((0, 1), (1, 333), (333, 333), (333, 800)):
            whole = take(world.documents, list(range(first, last))) if last > first else None
            yield whole or TokenVectors(np.empty((0, 128), np.float32), np.zeros(1, np.int64))

    _, facts = write_part(Disk(), tmp_path, blocks(), codecs[bits], lists_from=1)
    again = LatePart.open(tmp_path, codecs[bits], facts, chosen_kernels())
    effort = Effort(candidates=90)
    found = LateIndex(codecs[bits], [again]).search(world.queries, 10, effort=effort)
    expected = made(bits).search(world.queries, 10, effort=effort)
    assert np.array_equal(found.scores, expected.scores)
    assert np.array_equal(found.rows, expected.rows)


def test_lists_name_each_document_of_a_centroid_once(world: World, codecs: dict[int, Codec], tmp_path: Path) -> None:
    _, facts = write_part(Disk(), tmp_path, [world.documents], codecs[4], lists_from=1 << 60)
    assert "entries" not in facts
    tokens = open_tokens(tmp_path, facts["documents"], facts["tokens"], codecs[4])
    entries, _ = write_lists(Disk(), tmp_path, tokens, 512)
    lists = Lists.open(tmp_path, entries, 512, 800)
    assert tokens.codes is not None
    centroids = tokens.codes // len(tokens.levels)
    document_of = np.repeat(np.arange(800), np.diff(tokens.offsets))
    for centroid in range(0, 512, 37):
        expected = np.unique(document_of[centroids == centroid])
        assert np.flatnonzero(lists.documents(np.array([centroid]), 800)).tolist() == expected.tolist()
    assert entries == len(np.unique(centroids.astype(np.int64) * 800 + document_of))


@pytest.mark.parametrize("bits", [8, 80, 4, 2])
def test_merging_copies_what_is_kept_bit_by_bit(
    world: World, codecs: dict[int, Codec], bits: int, tmp_path: Path
) -> None:
    codec, cuts = codecs[bits], ((0, 300), (300, 301), (301, 800))
    parts = [write(tmp_path / str(cut), take(world.documents, list(range(*cut))), codec) for cut in cuts]
    keep = np.random.default_rng(0).random(800) < 0.6
    masks = [keep[first:last] for first, last in cuts]
    for name in ("merged", "whole"):
        (tmp_path / name).mkdir()
    found = merge_parts(Disk(), tmp_path / "merged", list(zip(parts, masks, strict=True)), codec, lists_from=1)
    kept = take(world.documents, np.flatnonzero(keep))
    assert found == write_part(Disk(), tmp_path / "whole", [kept], codec, lists_from=1)
    for name in found[0]:
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_merging_nothing_gives_an_empty_part(world: World, codecs: dict[int, Codec], tmp_path: Path) -> None:
    part = write(tmp_path / "part", take(world.documents, [0, 1]), codecs[4])
    (tmp_path / "merged").mkdir()
    _, facts = merge_parts(Disk(), tmp_path / "merged", [(part, np.zeros(2, np.bool_))], codecs[4])
    assert len(LatePart.open(tmp_path / "merged", codecs[4], facts, chosen_kernels())) == 0


def test_a_document_without_tokens_is_refused(codecs: dict[int, Codec], world: World, tmp_path: Path) -> None:
    first = take(world.documents, [0, 1])
    empty = TokenVectors(world.documents.values[:4], np.array([0, 4, 4]))
    with pytest.raises(BadInput, match="Document 3 has no token vectors"):
        write_part(Disk(), tmp_path, [first, empty], codecs[4])


def test_other_tokens_are_refused(codecs: dict[int, Codec], tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="tokens of 128 numbers; these have 64"):
        write_part(Disk(), tmp_path, [ragged([unit(np.ones((2, 64)))])], codecs[4])
    with pytest.raises(BadInput, match="Normalise each token"):
        write_part(Disk(), tmp_path, [ragged([np.ones((2, 128), np.float32)])], codecs[4])


def damage(path: Path, how: str) -> None:
    values = np.load(path)
    if how == "gone":
        path.unlink()
    elif how == "short":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "beyond":
        values[values.shape[0] // 2] = 30_000
        np.save(path, values)
    else:
        np.save(path, values.astype(np.int16))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *(
            (f"{name}.npy", how)
            for name in ("codes", "residuals", "offsets", "lists", "list-starts")
            for how in ("gone", "short", "kind")
        ),
        *((f"{name}.npy", "beyond") for name in ("codes", "offsets", "lists", "list-starts")),
    ],
)
def test_damage_is_named(world: World, codecs: dict[int, Codec], name: str, how: str, tmp_path: Path) -> None:
    documents = take(world.documents, list(range(50)))
    _, facts = write_part(Disk(), tmp_path, [documents], codecs[4], lists_from=1)
    damage(tmp_path / name, how)
    with pytest.raises(Damaged, match="Run: retr check"):
        LatePart.open(tmp_path, codecs[4], facts, chosen_kernels())


@pytest.mark.parametrize(
    "wrong", [{"bits": 2}, {"dim": 64}, {"documents": 49}, {"tokens": 3}, {"tokens": None}, {"documents": -1}]
)
def test_facts_that_do_not_fit_are_refused(
    world: World, codecs: dict[int, Codec], wrong: dict[str, object], tmp_path: Path
) -> None:
    documents = take(world.documents, list(range(50)))
    _, facts = write_part(Disk(), tmp_path, [documents], codecs[4])
    with pytest.raises(Damaged, match="Run: retr check"):
        LatePart.open(tmp_path, codecs[4], facts | wrong, chosen_kernels())
