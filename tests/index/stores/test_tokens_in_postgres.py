"""Token vectors in PostgreSQL once they are many: codecs, lists of centroids, coding anew, and what is damaged."""

from typing import Any

import numpy as np
import pytest

from retr.index.late.settings import LateSettings
from retr.index.postgres.address import Address
from retr.index.postgres.reading import entry_of
from retr.index.settings import CollectionSettings, SearchSettings
from retr.index.stores import coding, recoding
from retr.index.stores.collection import StoreCollection
from retr.index.stores.copying import copy, kept_in
from retr.index.stores.folder import FolderStore
from retr.opening import create, open
from retr.retrieval.errors import BadInput, Damaged
from retr.retrieval.records import Document
from retr.retrieval.store import CodedTokens, TokensQuery, row_of

WORDS = [f"word{n}" for n in range(60)]
FEW = LateSettings(centroids=64)


def texts(start: int, count: int) -> list[Document]:
    rng = np.random.default_rng(start)
    return [
        Document(f"d{n}", " ".join(rng.choice(WORDS, 12).tolist()), metadata={"n": n})
        for n in range(start, start + count)
    ]


def made(address: str, encoder: Any, count: int = 300) -> StoreCollection:
    collection = create(address, encoder=encoder, settings=CollectionSettings(late=FEW))
    collection.add(texts(0, count))
    assert isinstance(collection, StoreCollection)
    return collection


def bits(collection: StoreCollection) -> list[tuple[int, int]]:
    return [(one["bits"], one["documents"]) for one in collection.describe()["late"]]


@pytest.fixture
def many(address: str, token_encoder: Any, monkeypatch: pytest.MonkeyPatch) -> StoreCollection:
    """Three hundred passages of 4 bits, in lists of 64 centroids."""
    monkeypatch.setattr(recoding, "SCANNED", 100)
    return made(address, token_encoder)


def test_lists_name_candidates_and_their_tokens_decide(many: StoreCollection) -> None:
    assert bits(many) == [(4, 300)]
    few = SearchSettings(mode="late", candidates=40, explain=True)
    shares = []
    for words in (WORDS[:5], WORDS[7:20:3], WORDS[40:44]):
        found = many.search(" ".join(words), 10, settings=few)
        exact = many.search(" ".join(words), 10, settings=SearchSettings(mode="late", exact=True))
        shares.append(len({hit.id for hit in found} & {hit.id for hit in exact}) / 10)
        scores = {hit.id: hit.score for hit in exact}
        assert [hit.score for hit in found] == pytest.approx([scores.get(hit.id, hit.score) for hit in found], abs=0.03)
    assert np.mean(shares) >= 0.9
    assert found[0].explain is not None and found[0].explain["late"]["plan"][0]["plan"].startswith("lists of")
    within = many.search(WORDS[3], 10, settings=SearchSettings(mode="late", candidates=10, where="n < 25"))
    assert len(within) == 10 and all(hit.metadata["n"] < 25 for hit in within)


def test_a_folder_and_a_store_reach_the_same_by_lists(many: StoreCollection, tmp_path: Any) -> None:
    copy(many.store, kept_in(tmp_path / "folder"))
    key = next(iter(many.store.codecs()))
    pairs = [(token, place) for token in range(3) for place in range(token * 4, token * 4 + 6)]
    tokens, lists = np.array(pairs, np.int64).T
    query = TokensQuery(key, tokens, lists, np.arange(1, len(pairs) + 1, dtype=np.float32))
    folder = FolderStore(tmp_path / "folder")
    ids = [dict(one.ids()) for one in (many.store, folder)]
    for k, where in ((300, None), (7, None)):
        here, there = (one.search(query, k, where) for one in (many.store, folder))
        assert [ids[0][number] for number in here.documents] == [ids[1][number] for number in there.documents]
        assert np.allclose(here.scores, there.scores, atol=1e-5)


def test_tokens_of_8_bits_are_coded_anew_once_they_are_many(
    address: str, token_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoding, "SCANNED", 2_000)
    collection = made(address, token_encoder, 100)
    assert bits(collection) == [(8, 100)]
    before = [hit.id for hit in collection.search("word1 word2", 10, mode="late")]
    recode, calls = collection.store.recode, []

    def dying(tokens: Any) -> int:
        calls.append(len(tokens))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return recode(tokens)

    with monkeypatch.context() as patch:
        patch.setattr(recoding, "_ROWS", 40)
        patch.setattr(collection.store, "recode", dying)
        with pytest.raises(KeyboardInterrupt):
            collection.add(texts(100, 100))
    assert bits(collection) == [(8, 160), (4, 40)]
    assert collection.check().problems == []
    assert len(collection.search("word1", 200, mode="late")) == 200
    collection.add(texts(200, 1))
    assert bits(collection) == [(4, 201)]
    assert collection.ids() == [f"d{n}" for n in range(201)]
    assert collection.check().problems == []
    after = [hit.id for hit in collection.search("word1 word2", 10, mode="late", where="n < 100")]
    assert len(set(before) & set(after)) >= 8


def test_passages_that_are_gone_are_not_coded_anew(many: StoreCollection) -> None:
    key, rows = next(iter(many.store.codecs())), many.store.rows(2)
    one = many.store.tokens(rows[:1])[0]
    missing = row_of(10_000, 0)
    many.store.recode({int(rows[1]): CodedTokens(key, one.data), missing: CodedTokens(key, one.data)})
    assert many.store.tokens(rows[1:])[0] == one
    assert many.check().problems == []


def test_what_changes_no_text_keeps_its_codes(many: StoreCollection, token_encoder: Any) -> None:
    before = {one.id: many.store.tokens(many.store.rows(1, None))[0] for one in texts(0, 1)}
    many.add([Document(one.id, one.text, metadata={"n": -1}) for one in texts(0, 300)])
    number = many.store.numbers_of(["d0"])["d0"]
    assert many.store.tokens(np.array([row_of(number, 0)]))[0] == before["d0"]
    assert many.check().problems == []


def test_tokens_without_their_codec_are_refused(many: StoreCollection) -> None:
    number, stored = next(iter(many.store.get(many.store.numbers_of(["d7"]).values()).items()))
    for tokens, says in (((CodedTokens("none", b"x"),), "is not in the collection"), (None, "has tokens of none of 1")):
        from dataclasses import replace

        with pytest.raises(BadInput, match=says):
            many.store.upsert([replace(stored, tokens=tokens)], [number])
    assert many.store.numbers_of(["d7"]) == {"d7": number}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE {home}.passages SET tokens = substr(tokens, 2) WHERE document = 3", "not those of their codec"),
        ("UPDATE {home}.passages SET tokens = '\\xffff'::bytea || substr(tokens, 3)", "name a centroid"),
        ("UPDATE {home}.codecs SET data = '\\x00'", "cannot be read"),
        ("UPDATE {home}.passages SET codec = NULL, tokens = NULL WHERE document = 3", "have no tokens"),
        ("DELETE FROM {home}.codecs", "have no tokens"),
    ],
)
def test_damage_is_told_not_searched(many: StoreCollection, address: str, change: str, says: str) -> None:
    import psycopg

    store: Any = many.store
    with store._connections.reading() as connection:
        entry = entry_of(connection, store._name)
    assert entry is not None
    with psycopg.connect(Address.parse(address).server, autocommit=True) as connection:
        connection.execute(change.format(home=entry.home))
    coding._read.clear()
    with pytest.raises(Damaged, match=says):
        many.search("word1", 300, settings=SearchSettings(mode="late", exact=True))
    assert many.check().problems


def test_a_codec_under_anothers_key_is_damaged(many: StoreCollection, address: str, token_encoder: Any) -> None:
    other = create(f"{address}b", encoder=token_encoder)
    assert isinstance(other, StoreCollection)
    other.store.keep_codec("another", many.store.codec(next(iter(many.store.codecs()))))
    with pytest.raises(Damaged, match="not the one that was written"):
        coding.codec_of(other.store, "another")


def test_it_opens_again_with_its_own_late_encoder(many: StoreCollection, address: str, token_encoder: Any) -> None:
    again = open(address, encoder=token_encoder)
    assert [hit.id for hit in again.search("word1", 5)] == [hit.id for hit in many.search("word1", 5)]
    assert again.late_encoder is token_encoder
