"""A filter never costs hits: through a collection, every kind gives k where k match, and exact kinds the true ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retr
from retr.index.collection import Collection
from retr.index.dense.storage import CODECS
from retr.retrieval.records import Document

DIM = 32
KINDS = ["flat", "auto", "pq", "ivf-flat", "ivf-sq8", "ivf-pq", "hnsw", "rabitq"]
SHARES = {"one": 1, "0.05%": 5, "0.1%": 10, "1%": 100, "10%": 1_000, "50%": 5_000, "99%": 9_900, "all": 10_000}
"""How many of 10,000 equally likely buckets a filter lets through."""


def unit_rows(rows: int, seed: int) -> np.ndarray:
    """Clustered as real vectors are: a hundred centres and noise around them."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(100, DIM))[rng.integers(0, 100, rows)] + 0.7 * rng.normal(size=(rows, DIM))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def buckets_of(rows: int) -> np.ndarray:
    """Every bucket equally often, in an order that has nothing to do with the vectors."""
    return np.random.default_rng(5).permutation(rows) * 10_000 // rows


def words_of(number: int) -> str:
    return f"all {'half ' if number % 2 else ''}{'rare' if number % 97 == 0 else 'often'} w{number}"


def filled(folder: Path, rows: int, **dense: Any) -> tuple[Collection, np.ndarray]:
    """`rows` documents in two segments, a tenth of each deleted again, and which of them live."""
    settings = retr.CollectionSettings(dense=retr.DenseSettings(**dense))
    collection = Collection.create(folder, encoder=retr.GivenVectors(DIM), settings=settings)
    vectors, buckets = unit_rows(rows, 1), buckets_of(rows).tolist()
    documents = [Document(f"d{n}", words_of(n), metadata={"bucket": buckets[n]}) for n in range(rows)]
    cut = rows // 3
    collection.add(documents[:cut], vectors=vectors[:cut], settings=retr.WriteSettings(merge=False))
    collection.add(documents[cut:], vectors=vectors[cut:], settings=retr.WriteSettings(merge=False))
    dead = np.random.default_rng(2).random(rows) < 0.1
    collection.delete([f"d{n}" for n in np.flatnonzero(dead).tolist()])
    return collection, ~dead


def as_stored(vectors: np.ndarray, storage: Any) -> np.ndarray:
    codes, scales = CODECS[storage].encode(vectors)
    return CODECS[storage].decode(codes, np.empty(0, np.float32) if scales is None else scales, DIM)


def check_nearest(collection: Collection, stored: np.ndarray, matching: np.ndarray, share: int, k: int) -> None:
    """Always k rows that match, with their true scores; those of the best k where the search is exact."""
    queries = unit_rows(4, 9)
    where = f"bucket < {share}"
    numbers = np.flatnonzero(matching)
    truth = queries @ stored[numbers].T
    best = -np.sort(-truth, axis=1)[:, :k]
    for exact in (True, False):
        for answers, own, top in zip(
            collection.nearest(queries, k, where=where, exact=exact), truth, best, strict=True
        ):
            found = [int(near.id[1:]) for near in answers]
            assert len(set(found)) == len(found) == min(k, len(numbers))
            assert matching[found].all()
            assert np.allclose([near.score for near in answers], own[np.searchsorted(numbers, found)], atol=1e-5)
            if exact or collection.manifest.dense.kind == "flat":
                assert np.allclose([near.score for near in answers], top, atol=1e-5)


@pytest.fixture(scope="module", params=["flat", "pq"])
def large(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Collection, np.ndarray]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETR_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        collection, live = filled(tmp_path_factory.mktemp("large") / "index", 20_000, kind=request.param)
        assert [segment.dense["kind"] for segment in collection.manifest.segments] == 2 * [request.param]
        yield collection, live


@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
def test_twenty_thousand_vectors_at_every_selectivity(large: tuple[Collection, np.ndarray], share: int, k: int) -> None:
    collection, live = large
    check_nearest(collection, unit_rows(20_000, 1), live & (buckets_of(20_000) < share), share, k)


@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
def test_words_at_every_selectivity(large: tuple[Collection, np.ndarray], share: int) -> None:
    collection, live = large
    matching = live & (buckets_of(20_000) < share)
    for word, having in (("all", np.ones(20_000, np.bool_)), ("rare", np.arange(20_000) % 97 == 0)):
        wanted = {f"d{n}" for n in np.flatnonzero(matching & having).tolist()}
        hits = collection.search(word, 25, where=f"bucket < {share}", mode="lexical")
        assert len({hit.id for hit in hits}) == len(hits) == min(25, len(wanted))
        assert {hit.id for hit in hits} <= wanted


@pytest.mark.parametrize("storage", CODECS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_in_every_storage(kind: str, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retr.index.dense.kinds.TRAINABLE", 64)
    monkeypatch.setattr("retr.index.dense.kinds.FLAT_BELOW", 128)
    monkeypatch.setattr("retr.index.dense.kinds.SEARCH_COST", 0.0)  # so that few rows are searched approximately too
    collection, live = filled(tmp_path / "index", 700, kind=kind, storage=storage)
    if kind not in ("flat", "auto"):
        assert {segment.dense["kind"] for segment in collection.manifest.segments} == {kind}
    stored, buckets = as_stored(unit_rows(700, 1), storage), buckets_of(700)
    for share in (15, 100, 1_000, 5_000, 10_000):
        check_nearest(collection, stored, live & (buckets < share), share, 10)


@pytest.mark.parametrize("share", [1, 30, 500, 10_000])
def test_hybrid_search_gives_k_where_k_match(share: int, tmp_path: Path, encoder: Any) -> None:
    collection = Collection.create(tmp_path / "index", encoder=encoder)
    buckets = buckets_of(600).tolist()
    collection.add([Document(f"d{n}", words_of(n), metadata={"bucket": buckets[n]}) for n in range(600)])
    collection.delete([f"d{n}" for n in range(0, 600, 7)])
    matching = {f"d{n}" for n in range(600) if n % 7 and buckets[n] < share}
    for query in ("rare", "half often", "nothing of the kind"):
        found = [hit.id for hit in collection.search(query, 12, where=f"bucket < {share}")]
        assert len(set(found)) == len(found) == min(12, len(matching))
        assert set(found) <= matching
