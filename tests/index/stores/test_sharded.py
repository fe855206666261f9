"""A collection over three stores: the same answers as from one, each document where its id says, faults told."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.late.settings import LateSettings
from retr.index.postgres.store import PostgresStore
from retr.index.settings import CollectionSettings, SearchSettings
from retr.index.sharded.servers import read_servers, shard_of
from retr.index.stores import connect, recoding
from retr.index.stores.collection import StoreCollection
from retr.index.stores.copying import copy, kept_in
from retr.opening import create, open
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.errors import BadInput, Mismatch, NotFound, RetrError
from retr.retrieval.records import Document

from .test_copying import texts

QUESTIONS = ["red fish in cold water", "grey grey boat"]
SETTINGS = CollectionSettings(chunk=ChunkSettings(max_tokens=20, overlap=4), late=LateSettings(centroids=16))


@pytest.fixture
def nodes(address: str) -> list[str]:
    """The addresses of three collections that are not there yet."""
    return [f"{address}-{number}" for number in range(3)]


@pytest.fixture
def sharded(nodes: list[str], tmp_path: Path) -> str:
    """The address of all of them."""
    (tmp_path / "papers.shards").write_text("# three\n" + "\n\n".join(nodes) + "\n")
    return f"sharded://{tmp_path / 'papers.shards'}"


def both(where: str, encoder: Any, token_encoder: Any) -> StoreCollection:
    """Sixty documents of several passages with both kinds of vectors, some replaced and some deleted."""
    collection = create(where, encoder=encoder, late=token_encoder, settings=SETTINGS)
    collection.add(texts(60))
    collection.add([Document("d7", "The cold stone swims. " * 12, metadata={"n": 7})])
    assert collection.delete(["d3", "d59", "none"]) == 2
    assert isinstance(collection, StoreCollection)
    return collection


def test_a_document_is_where_its_id_says_for_ever() -> None:
    assert [shard_of(id, 3) for id in ("a", "b", "c", "d7", "ß", "")] == [2, 2, 0, 2, 2, 0]


@pytest.mark.parametrize("few", [10_000, 50])
def test_three_answer_as_one(
    address: str, sharded: str, encoder: Any, token_encoder: Any, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(recoding, "SCANNED", few)
    one, three = (both(where, encoder, token_encoder) for where in (address, sharded))
    assert sorted(three.ids()) == sorted(one.ids()) and len(three) == len(one) == 58
    assert sorted(three.ids("n < 20")) == sorted(one.ids("n < 20"))
    assert three.get(["d7", "none", "d1"]) == one.get(["d7", "none", "d1"])
    assert np.array_equal(three.vectors(["d4"])["d4"], one.vectors(["d4"])["d4"])
    wheres = ((None, "passage"), ("even = true and n < 50", "document"))
    for mode, (where, group) in product(("dense", "lexical", "hybrid", "late"), wheres):
        settings = SearchSettings(mode=mode, where=where, group=group)  # type: ignore[arg-type]
        pairs = (collection.search_many(QUESTIONS, 20, settings=settings) for collection in (one, three))
        for left, right in zip(*pairs, strict=True):
            # Of passages that tie in one of two legs either may come first, which moves their fused scores a little.
            near = 1e-3 if mode == "hybrid" else 1e-4
            assert [hit.score for hit in left] == pytest.approx([hit.score for hit in right], abs=near), mode
            assert mode == "hybrid" or ranked(left) == ranked(right), mode
    told = SearchSettings(mode="lexical", explain=True)
    (left,), (right,) = (collection.search("cold water", 1, settings=told) for collection in (one, three))
    assert left.explain["lexical"]["terms"] == right.explain["lexical"]["terms"]  # type: ignore[index]
    assert right.explain["lexical"]["plan"].startswith("3 shards at once")  # type: ignore[index]
    assert three.check().problems == []
    assert [one["tokens"] for one in three.describe()["late"]] == [one["tokens"] for one in one.describe()["late"]]


def ranked(hits: Any) -> list[tuple[str, int]]:
    """Hits with equal ones in the order of their ids: which of them comes first may differ."""
    return [
        (hit.id, hit.source["passage"])
        for hit in sorted(hits, key=lambda hit: (-round(hit.score, 4), hit.id, hit.source["passage"]))
        if hit.score > hits[-1].score + 1e-3
    ]


def test_writes_go_to_the_shards_concerned_alone(sharded: str, nodes: list[str], encoder: Any) -> None:
    collection = create(sharded, encoder=encoder)
    collection.add(texts(30))
    own = [connect(node) for node in nodes]
    for number, one in enumerate(own):
        assert {shard_of(id, 3) for _, id in one.ids()} == {number}
    before = [one.facts.generation for one in own]
    collection.add([Document("d1", "changed"), Document("d1b", "new")])
    after = [one.facts.generation for one in own]
    changed = {shard_of("d1", 3), shard_of("d1b", 3)}
    assert [a - b for a, b in zip(after, before, strict=True)] == [int(number in changed) for number in range(3)]
    assert collection.add(texts(30)).unchanged == 29
    assert collection.manifest.generation == sum(one.facts.generation for one in own)


def test_collections_move_in_and_out_of_shards(sharded: str, address: str, tmp_path: Path, token_encoder: Any) -> None:
    ours = create(tmp_path / "index", encoder=token_encoder, settings=SETTINGS)
    ours.add(texts(40))
    copy(kept_in(tmp_path / "index"), kept_in(sharded))
    copy(kept_in(sharded), kept_in(tmp_path / "back"))
    three = [open(where, encoder=token_encoder) for where in (tmp_path / "index", sharded, tmp_path / "back")]
    assert all(sorted(one.ids()) == sorted(three[0].ids()) for one in three)
    answers = [{hit.id: hit.score for hit in one.search(QUESTIONS[0], 40, mode="late")} for one in three]
    assert answers[0] == answers[1] == answers[2]


def test_what_fails_in_one_shard_is_done_when_it_is_given_again(
    sharded: str, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = create(sharded, encoder=encoder)
    upsert, failing = PostgresStore.upsert, f"-{shard_of('d0', 3)}"

    def broken(self: PostgresStore, documents: Any, removed: Any = ()) -> int:
        if self.address.endswith(failing):
            raise NotFound("gone")
        return upsert(self, documents, removed)

    with monkeypatch.context() as patch:
        patch.setattr(PostgresStore, "upsert", broken)
        with pytest.raises(NotFound):
            collection.add(texts(30))
    assert 0 < len(collection) < 30
    report = collection.add(texts(30))
    assert report.added + report.unchanged == 30 and len(collection) == 30
    assert collection.check().problems == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("at", [0, 2])
def test_a_shard_that_cannot_be_filled_stops_the_others(
    sharded: str, tmp_path: Path, encoder: Any, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    create(tmp_path / "index", encoder=encoder).add(texts(30))
    load = PostgresStore.bulk_load

    def broken(self: PostgresStore, documents: Any) -> int:
        if self.address.endswith(f"-{at}"):
            next(documents)
            raise NotFound("gone")
        return load(self, documents)

    monkeypatch.setattr(PostgresStore, "bulk_load", broken)
    with pytest.raises(NotFound, match="gone"):
        copy(kept_in(tmp_path / "index"), kept_in(sharded))


def test_a_file_that_is_not_the_collections_is_refused(sharded: str, nodes: list[str], encoder: Any) -> None:
    create(sharded, encoder=encoder).add(texts(9))
    file = Path(sharded.partition("://")[2])
    for lines, says in (
        (nodes[:2], "shard 1 of 3, not shard 1 of these 2"),
        (nodes[::-1], "shard 3 of 3, not shard 1"),
    ):
        file.write_text("\n".join(lines))
        with pytest.raises(Mismatch, match=says):
            open(sharded, encoder=encoder)
    file.write_text("\n".join([nodes[0], nodes[1], f"{nodes[2]}-other"]))
    with pytest.raises(Mismatch, match="others have theirs"):
        connect(sharded).exists()
    create(f"{nodes[2]}-other", encoder=encoder)
    with pytest.raises(Mismatch, match="is no shard"):
        open(sharded, encoder=encoder)
    file.write_text("\n".join(nodes))
    with pytest.raises(BadInput, match="already"):
        create(sharded, encoder=encoder)
    strays = [f"x{n}" for n in range(9) if shard_of(f"x{n}", 3)]
    open(nodes[0], encoder=encoder).add([Document(id, "astray") for id in strays])
    problems = open(sharded, encoder=encoder).check().problems  # type: ignore[attr-defined]
    assert problems == [f"{len(strays)} documents are not in their shard."]


def test_where_one_shard_cannot_be_made_none_is(sharded: str, nodes: list[str], monkeypatch: Any, encoder: Any) -> None:
    made, create_one = list[str](), PostgresStore.create

    def broken(self: PostgresStore, facts: Any) -> None:
        if len(made) == 2:
            raise NotFound("gone")
        made.append(self.address)
        create_one(self, facts)

    with monkeypatch.context() as patch:
        patch.setattr(PostgresStore, "create", broken)
        with pytest.raises(NotFound):
            create(sharded, encoder=encoder)
    assert [connect(one).exists() for one in nodes] == [False] * 3
    with pytest.raises(BadInput, match="rename"):
        create(sharded, encoder=encoder).publish("other")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "folder\n", "postgresql://h/a\npostgresql://h/a\n", "sharded://x\n", None]
)
def test_a_file_without_stores_is_refused_and_told_in_one_line(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "s").write_text(text)
    with pytest.raises(RetrError) as caught:
        read_servers(f"sharded://{tmp_path / 's'}")
    assert "\n" not in str(caught.value)
