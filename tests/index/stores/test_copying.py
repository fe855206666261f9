"""Collections moved between an index folder and PostgreSQL, both ways, and what they answer then."""

import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.late import segment
from retr.index.late.settings import LateSettings
from retr.index.settings import CollectionSettings, SearchSettings
from retr.index.stores.copying import copy, kept_in
from retr.opening import create, open
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.errors import BadInput, Damaged
from retr.retrieval.records import Document

WORDS = "red blue green grey fish stone bird tree boat falls swims in cold water from the sky".split()  # noqa: SIM905
MODES = ("dense", "lexical", "hybrid")


def texts(count: int) -> list[Document]:
    rng = np.random.default_rng(3)
    return [
        Document(
            f"d{n}",
            ". ".join(" ".join(rng.choice(WORDS, 8)).capitalize() for _ in range(int(rng.integers(1, 9)))) + ".",
            title=" ".join(rng.choice(WORDS, 2)),
            metadata={"n": n, "even": n % 2 == 0, "x": n / 7},
        )
        for n in range(count)
    ]


@pytest.fixture
def folder(tmp_path: Path, encoder: Any) -> Path:
    """Documents of several passages in a folder, some of them replaced and deleted."""
    settings = CollectionSettings(chunk=ChunkSettings(max_tokens=20, overlap=4))
    collection = create(tmp_path / "index", encoder=encoder, settings=settings)
    collection.add(texts(60))
    collection.add([Document("d7", "The cold stone swims. " * 12, metadata={"n": 7})])
    collection.delete(["d3", "d59"])
    collection.compact()  # Or the folder's postings count deleted passages until they are made anew.
    return tmp_path / "index"


def test_there_and_back_is_the_same(folder: Path, address: str, tmp_path: Path, encoder: Any) -> None:
    copy(kept_in(folder), kept_in(address))
    copy(kept_in(address), kept_in(tmp_path / "back"))
    before = encoder.encoded.copy()
    three = [open(where, encoder=encoder) for where in (folder, address, tmp_path / "back")]
    ids = three[0].ids()
    for other in three[1:]:
        assert other.ids() == ids
        assert other.get(ids) == three[0].get(ids)
        assert all(np.array_equal(other.vectors([id])[id], three[0].vectors([id])[id]) for id in ids[:5])
        assert other.add(three[0].get(ids)).unchanged == len(ids)
    assert encoder.encoded == before


def test_both_answer_alike(folder: Path, address: str, encoder: Any) -> None:
    copy(kept_in(folder), kept_in(address))
    ours, theirs = (open(where, encoder=encoder) for where in (folder, address))
    questions = ["red fish in cold water", "the stone falls from the sky", "green bird", "grey grey boat"]
    for mode, where, group in product(MODES, (None, "even = true and n < 50"), ("document", "passage")):
        settings = SearchSettings(mode=mode, where=where, group=group)  # type: ignore[arg-type]
        pairs = (one.search_many(questions, 20, settings=settings) for one in (ours, theirs))
        for left, right in zip(*pairs, strict=True):
            assert [(hit.id, hit.source, hit.text) for hit in left] == [(hit.id, hit.source, hit.text) for hit in right]
            assert [hit.score for hit in left] == pytest.approx([hit.score for hit in right], abs=1e-4)


def test_a_copy_that_is_not_the_same_is_damaged(folder: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from retr.index.postgres import writing

    monkeypatch.setattr(writing, "ints", lambda values, kept=writing.ints: kept([0, *values[1:-1], values[-1] - 1]))
    with pytest.raises(Damaged, match="is not the same"):
        copy(kept_in(folder), kept_in(address))


def test_an_existing_collection_is_not_copied_over(folder: Path, address: str, tmp_path: Path) -> None:
    copy(kept_in(folder), kept_in(address))
    with pytest.raises(BadInput, match="already"):
        copy(kept_in(folder), kept_in(address))
    with pytest.raises(BadInput):
        copy(kept_in(address), kept_in(folder))


@pytest.mark.parametrize("few", [10_000, 0])
def test_tokens_go_there_and_back_as_they_are_kept(
    tmp_path: Path, address: str, token_encoder: Any, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(segment, "SCANNED", few)
    settings = CollectionSettings(chunk=ChunkSettings(max_tokens=20, overlap=4), late=LateSettings(centroids=16))
    ours = create(tmp_path / "index", encoder=token_encoder, settings=settings)
    ours.add(texts(30))
    ours.add(texts(45))  # a second segment
    ours.delete(["d3", "d44"])
    copy(kept_in(tmp_path / "index"), kept_in(address))
    copy(kept_in(address), kept_in(tmp_path / "back"))
    three = [open(where, encoder=token_encoder) for where in (tmp_path / "index", address, tmp_path / "back")]
    question, settings_of_search = "the grey stone falls in water", SearchSettings(mode="late", group="passage")
    answers = [
        [(hit.id, hit.source, hit.score) for hit in one.search(question, 30, settings=settings_of_search)]
        for one in three
    ]
    assert answers[0] == answers[1] == answers[2]
    told = [one.describe() for one in three]
    assert [one["tokens"] for one in told[1:]] == [told[1]["tokens"]] * 2
    assert {one["bits"] for one in told[1]["late"]} == {8 if few else 4}
    assert [one.check().problems for one in three] == [[], [], []]  # type: ignore[attr-defined]


def test_tokens_that_are_not_the_same_are_damaged(
    tmp_path: Path, address: str, token_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retr.index.postgres import tokens

    create(tmp_path / "index", encoder=token_encoder).add(texts(3))
    monkeypatch.setattr(tokens.TokenChanges, "fields", changed(tokens.TokenChanges.fields))
    with pytest.raises(Damaged, match="is not the same"):
        copy(kept_in(tmp_path / "index"), kept_in(address))


def changed(fields: Any) -> Any:
    """The same columns, but for the last bit of each passage's tokens."""
    return lambda self, stored: [[codec, data[:-1] + bytes([data[-1] ^ 1])] for codec, data in fields(self, stored)]


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("RETR_DATA"), reason="set RETR_DATA to the folder of the evaluation corpora")
def test_scifact_is_answered_alike(tmp_path: Path, address: str) -> None:
    from retr.retrieval.corpus import read_documents, read_queries

    corpus = Path(os.environ["RETR_DATA"]) / "scifact"
    ours = create(tmp_path / "index")
    ours.add(read_documents([str(corpus)]))
    ours.copy(address)
    theirs = open(address)
    questions = [query.text for query in read_queries(corpus)][:300]
    for mode in MODES:
        for where in (None, "title ilike '%cell%'"):
            settings = SearchSettings(mode=mode, where=where)  # type: ignore[arg-type]
            left, right = (one.search_many(questions, 10, settings=settings) for one in (ours, theirs))
            apart = [number for number in range(len(questions)) if not alike(left[number], right[number])]
            assert apart == [], (mode, where)


def alike(left: Any, right: Any) -> bool:
    """Scores within a thousandth, the same ids in the same order; of those that tie for the last place, either."""
    if len(left) != len(right) or not np.allclose([hit.score for hit in left], [hit.score for hit in right], atol=1e-3):
        return False
    above = [[hit.id for hit in hits if hit.score > hits[-1].score + 1e-5] for hits in (left, right)]
    return above[0] == above[1]
