"""What is PostgreSQL's own: transactions, publishing, generations, what it refuses, and where it differs."""

import threading
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.postgres.address import Address
from retr.index.settings import CollectionSettings, SearchSettings
from retr.index.stores import STORES, connect
from retr.index.stores.collection import StoreCollection
from retr.index.writing.creation import GivenVectors
from retr.opening import create, open
from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.records import Document

SOME = [Document(f"d{n}", f"red fish {n}", metadata={"n": n}) for n in range(6)]


@pytest.fixture
def kept(address: str, encoder: Any) -> StoreCollection:
    """Six documents in PostgreSQL."""
    collection = create(address, encoder=encoder)
    collection.add(SOME)
    assert isinstance(collection, StoreCollection)
    return collection


def run(address: str, query: str) -> None:
    import psycopg

    with psycopg.connect(Address.parse(address).server, autocommit=True) as connection:
        connection.execute(query)


def home_of(collection: StoreCollection) -> str:
    from retr.index.postgres.reading import entry_of

    store: Any = collection.store
    with store._connections.reading() as connection:
        entry = entry_of(connection, store._name)
    assert entry is not None
    return entry.home


def test_a_write_that_fails_leaves_nothing_behind(kept: StoreCollection, monkeypatch: pytest.MonkeyPatch) -> None:
    from retr.index.postgres.writing import Changes

    def broken(self: Changes) -> int:
        raise RuntimeError("just before the commit")

    with monkeypatch.context() as patch:
        patch.setattr(Changes, "finish", broken)
        with pytest.raises(RuntimeError):
            kept.add([Document("new", "blue stone"), Document("d1", "changed")])
        with pytest.raises(RuntimeError):
            kept.delete(["d2"])
    assert kept.ids() == [one.id for one in SOME]
    assert kept.get(["d1"]) == [SOME[1]]
    assert kept.check().problems == []


def test_writers_at_once_lose_nothing(kept: StoreCollection, address: str, encoder: Any) -> None:
    def write(name: str) -> None:
        own = open(address, encoder=encoder)
        for n in range(5):
            own.add([Document(f"{name}{n}", f"blue stone {n}"), Document("shared", f"of {name} {n}")])

    threads = [threading.Thread(target=write, args=(name,)) for name in "xyz"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept.ids()) == sorted(
        [one.id for one in SOME] + [f"{x}{n}" for x in "xyz" for n in range(5)] + ["shared"]
    )
    assert kept.check().problems == []
    assert len(kept) == 22


def test_a_reader_sees_one_generation_to_its_end(kept: StoreCollection, address: str, encoder: Any) -> None:
    with kept.store.snapshot() as held:
        open(address, encoder=encoder).delete(["d0", "d1"])
        assert held.count() == 6
        assert len(held.get(number for number, _ in held.ids())) == 6
    assert kept.count() == 4


def test_publishing_changes_what_all_readers_find_at_once(address: str, encoder: Any) -> None:
    old = create(f"{address}live", encoder=encoder)
    old.add(SOME)
    reader = open(f"{address}live", encoder=encoder)
    for round, text in enumerate(("blue stone", "green bird", "grey tree")):
        following = create(f"{address}next", encoder=encoder)
        following.add([Document(f"r{round}", text)])
        assert isinstance(following, StoreCollection)
        before = reader.manifest.generation
        with reader._opened() as held:  # type: ignore[attr-defined]  # a search under way
            following.publish(Address.parse(f"{address}live").collection)
            assert len(held.documents(number for number, _ in held.all_ids())) == reader.manifest.live_documents
        assert [hit.id for hit in reader.search(text)] == [f"r{round}"]
        assert reader.manifest.generation > before
    with pytest.raises(NotFound):
        open(f"{address}next", encoder=encoder)


def test_a_reader_waits_for_the_generation_it_needs(
    kept: StoreCollection, address: str, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from retr.index.postgres import store

    writer = threading.Timer(0.2, lambda: open(address, encoder=encoder).add([Document("late", "blue")]))
    writer.start()
    with kept.store.snapshot(at_least=3) as held:
        assert held.numbers_of(["late"])
    writer.join()
    monkeypatch.setattr(store, "_PATIENCE", 0.0)
    with pytest.raises(Mismatch, match="generation 3, though 9 was written"), kept.store.snapshot(at_least=9):
        pass


def test_where_an_index_gives_up_all_vectors_are_compared(address: str) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(3000, 8)).astype(np.float32)
    settings = CollectionSettings(dense=DenseSettings(kind="ivf-flat", nprobe=1))
    collection = create(address, encoder=GivenVectors(8), settings=settings)
    collection.add([Document(f"v{n}", "", metadata={"n": n}) for n in range(3000)], vectors=vectors)
    with collection._opened() as held:  # type: ignore[attr-defined]
        assert held.ranker(SearchSettings(mode="dense", explain=True))
    for query in vectors[:5]:
        assert len(collection.nearest(query, 2990)[0]) == 2990
        assert len(collection.nearest(query, 3, where="n > 2990")[0]) == 3


def test_the_explained_plan_tells_of_the_index(address: str, encoder: Any) -> None:
    collection = create(address, encoder=encoder, settings=CollectionSettings(dense=DenseSettings(kind="hnsw")))
    collection.add(SOME)
    plans = []
    for exact in (False, True):
        settings = SearchSettings(mode="dense", explain=True, exact=exact)
        plans.append(collection.search("fish", 1, settings=settings)[0].explain["dense"]["plan"])  # type: ignore[index]
    assert plans[0][0]["plan"].startswith("hnsw")
    assert collection.describe()["dense"] == [{"kind": "hnsw", "rows": 6, "dim": 32, "storage": "float32"}]
    assert plans[1] == [{"plan": "every vector that matches"}]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM {}.passages WHERE document = 1",
        "DELETE FROM {}.documents WHERE number = 1",
        "DELETE FROM {}.postings WHERE document = 1",
        "UPDATE {}.passages SET vector = NULL WHERE document = 1",
        "UPDATE {}.passages SET vector = 2 * vector WHERE document = 1",
    ],
)
def test_check_finds_what_is_not_as_it_was_written(kept: StoreCollection, address: str, damage: str) -> None:
    assert kept.check().problems == []
    if "2 * vector" in damage:
        damage = damage.replace("2 * vector", "vector + vector")
    run(address, damage.format(home_of(kept)))
    assert kept.check().problems


def test_check_encodes_the_golden_text_again(kept: StoreCollection, encoder: Any) -> None:
    assert any("golden" in line for line in kept.check(lambda _: encoder).checked)
    encoder.fingerprint = "another"
    assert any("is not the encoder" in line for line in kept.check(lambda _: encoder).problems)


def test_numbers_come_back_as_they_were(kept: StoreCollection) -> None:
    metadata = {
        "i": "\\u0000",
        "a": 1e16,
        "b": 1e300,
        "c": 5e-324,
        "d": 0.1,
        "e": 10**30,
        "f": [1.0, 2, {"g'": 1e-7}],
        "h": None,
    }
    kept.add([Document("x", "text", metadata=metadata, source={"s": 1.5e20})])
    found = kept.get(["x"])[0]
    assert (dict(found.metadata), dict(found.source)) == (metadata, {"s": 1.5e20})
    assert str(found.metadata) == str({name: metadata[name] for name in found.metadata})


@pytest.mark.parametrize(
    "document",
    [Document("a\0", "x"), Document("a", "x\0"), Document("a", "x", "\0"), Document("a", "x", metadata={"y": ["\0"]})],
)
def test_a_nul_is_refused(kept: StoreCollection, document: Document) -> None:
    with pytest.raises(BadInput, match="NUL"):
        kept.add([document])
    assert len(kept) == 6
    assert kept.get(["a\0"]) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (DenseSettings(kind="rabitq"), "auto, flat, hnsw, ivf-flat"),
        (DenseSettings(storage="int8"), "float32 or float16"),
        (DenseSettings(kind="hnsw"), "at most 2000"),
    ],
)
def test_what_pgvector_cannot_do_is_refused_before_anything_is_made(
    address: str, settings: DenseSettings, said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        create(address, encoder=GivenVectors(2_001), settings=CollectionSettings(dense=settings))
    assert not connect(address).exists()


def test_what_a_store_has_not_says_what_to_do_instead(kept: StoreCollection) -> None:
    calls = [kept.compact, kept.rollback, lambda: kept.snapshot("x"), lambda: kept.drop_snapshot("x")]
    for call in calls:
        with pytest.raises(BadInput, match="is a store, not a folder"):
            call()
    assert kept.snapshots() == []
    with pytest.raises(BadInput, match="lies in no folder"):
        _ = kept.folder


def test_the_name_is_taken_once(kept: StoreCollection, address: str, encoder: Any) -> None:
    with pytest.raises(BadInput, match="already"):
        create(address, encoder=encoder)


def test_a_password_is_never_told(address: str) -> None:
    secret = address.replace("postgres:@", "postgres:hunter2@") + "&password=hunter2"
    assert "hunter2" not in Address.parse(secret).shown
    with pytest.raises(NotFound) as caught:
        open(secret)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(NotFound, match="does not answer") as caught:
        open("postgresql://me:hunter2@127.0.0.1:1/db")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:hunter2%zz@h/d",
        "postgresql://me:hunter2/x@h/d",
        "postgresql://me:hunter2@h/d?hunter2",
        "postgresql://me:hunter2@h/d?sslmode=hunter2&nothing=1",
        "postgresql://me:hunter2@[h/d",
    ],
)
def test_an_address_that_cannot_be_read_is_not_told(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        connect(text)
    assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)


def test_several_hosts_are_read_by_the_client_library() -> None:
    shown = Address.parse("postgresql://me:hunter2@one:5432,[::1]:5433,two/db?target_session_attrs=read-write").shown
    assert shown == "postgresql://me@one:5432,[::1]:5433,two/db?target_session_attrs=read-write&collection=default"


@pytest.mark.parametrize(
    "text", ["postgresql://h/d?collection=", "postgresql://h/d?x", "postgresql://h/d?collection=%00"]
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Address.parse(text)


def test_an_unknown_kind_of_store_names_those_there_are() -> None:
    with pytest.raises(NotFound, match="postgresql"):
        connect("postgresq://host/db")
    assert set(STORES) == {"postgres", "postgresql", "sharded"}


def test_a_collection_that_is_not_there_is_not_made_by_opening(address: str, server: str) -> None:
    with pytest.raises(NotFound, match="There is no collection at"):
        open(address)


def test_connections_are_given_back(kept: StoreCollection) -> None:
    for _ in range(20):
        kept.search("red")
    store: Any = kept.store
    assert len(store._connections._idle) == 1


def test_a_connection_that_the_server_ended_is_made_anew(kept: StoreCollection, address: str) -> None:
    run(address, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'retr'")
    assert len(kept.search("red", 6)) == 6


def test_a_store_reads_what_is_newest_and_a_folder_stays_until_refresh(
    kept: StoreCollection, address: str, encoder: Any, tmp_path: Any
) -> None:
    """The difference between the two that is meant: each call to a store sees what others have committed."""
    open(address, encoder=encoder).delete(["d0"])
    assert len(kept.search("red", 6, mode="lexical")) == 5
    folder = Collection.create(tmp_path / "index", encoder=encoder)
    folder.add(SOME)
    open(tmp_path / "index", encoder=encoder).delete(["d0"])
    assert len(folder.search("red", 6, mode="lexical")) == 6
