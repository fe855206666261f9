"""`/v1/search` and `/v1/documents`: the collection's own answers, over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import retr


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def test_hits_are_those_of_the_library(reader: Any, first_index: Path) -> None:
    answer = reader.post("/v1/search", json={"query": "cold water", "k": 2}).json()
    expected = retr.open(first_index).search("cold water", 2)
    assert [(hit["id"], hit["rank"], hit["title"], hit["text"]) for hit in answer["hits"]] == [
        (hit.id, hit.rank, hit.title, hit.text) for hit in expected
    ]
    assert (answer["query"], answer["mode"], answer["generation"]) == ("cold water", "hybrid", 2)
    assert answer["took_ms"] > 0
    snippet = answer["hits"][0]["snippet"]
    assert {snippet["text"][start:end].lower() for start, end in snippet["marks"]} == {"cold", "water"}


def test_filters_modes_reranking_and_explaining_are_the_librarys(reader: Any, first_index: Path) -> None:
    assert ids(reader.post("/v1/search", json={"query": "water", "where": "year >= 2022"})) == ["water"]
    lexical = reader.post("/v1/search", json={"query": "stone", "mode": "lexical", "explain": True})
    assert ids(lexical) == ["stone"]
    explain = lexical.json()["hits"][0]["explain"]
    assert (
        explain
        == retr.open(first_index).search("stone", settings=retr.SearchSettings(mode="lexical", explain=True))[0].explain
    )
    reranked = reader.post("/v1/search", json={"query": "fish", "rerank": True, "explain": True}).json()
    assert all("rerank" in hit["explain"] for hit in reranked["hits"])


def test_a_field_that_a_document_has_not_is_told(make_client: Any, index: Path) -> None:
    document = {"id": "a", "text": "b", "meta": {"year": 2024}}
    refused = make_client(index=index, writable=True).post("/v1/documents", json={"documents": [document]})
    assert (refused.status_code, "no field 'meta'" in refused.text) == (400, True)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"query": "  "}, "empty"),
        ({"query": "a", "k": 0}, "k"),
        ({"query": "a", "mode": "fuzzy"}, "fuzzy"),
        ({"query": "a", "where": "year >>"}, "filter"),
        ({"query": "a", "fusion": "best"}, "best"),
        ({"query": "a", "weights": [0, 0]}, "weights"),
        ({"query": "a", "weights": [1]}, "weights"),
        ({"query": "x" * 70_000}, "query"),
        ({"query": "a", "top-k": 3}, "There is no field 'top-k' here"),
    ],
)
def test_what_is_wrong_with_a_search_is_told(reader: Any, body: Any, says: str) -> None:
    refused = reader.post("/v1/search", json=body)
    assert refused.status_code == 400, refused.text
    assert says in refused.json()["error"]["message"]


def test_documents_are_written_found_read_and_deleted(client: Any) -> None:
    given = [
        {"id": "a/b?c", "text": "Blue fish.", "title": "T", "metadata": {"n": 1, "tags": ["x"], "deep": {"y": None}}},
        {"id": "fish", "text": "No more."},
    ]
    done = client.post("/v1/documents", json={"documents": given}).json()
    assert done == {"documents": 2, "generation": 3, "added": 1, "updated": 1, "unchanged": 0}
    assert ids(client.post("/v1/search", json={"query": "blue fish", "mode": "lexical", "k": 1})) == ["a/b?c"]
    read = client.get("/v1/documents", params={"id": ["a/b?c", "nope"]}).json()["documents"]
    assert read == [given[0]]
    gone = client.post("/v1/documents/delete", json={"ids": ["a/b?c", "nope"]}).json()
    assert gone == {"deleted": 1, "generation": 4}
    assert "a/b?c" not in ids(client.post("/v1/search", json={"query": "blue fish"}))


def test_whatever_metadata_an_index_holds_is_told(client: Any, index: Path) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    retr.open(index).add([retr.Document("odd", "odd", metadata={"large": 2**80, "deep": deep})])
    client.service.refresh()
    [hit] = client.post("/v1/search", json={"query": "odd", "mode": "lexical"}).json()["hits"]
    assert hit["metadata"] == {"large": 2**80, "deep": deep}


@pytest.mark.parametrize(
    "document",
    [
        {"id": "", "text": "a"},
        {"id": "é" * 300, "text": "a"},
        {"id": 5, "text": "a"},
        {"id": "a"},
        {"id": "a", "text": None},
        {"id": "a", "text": "b", "metadata": []},
        "a",
    ],
)
def test_documents_that_make_no_sense_are_refused_whole(client: Any, document: Any) -> None:
    refused = client.post("/v1/documents", json={"documents": [{"id": "new", "text": "a"}, document]})
    assert refused.status_code == 400
    assert client.get("/v1/documents", params={"id": "new"}).json() == {"documents": []}


def test_an_id_twice_is_refused(client: Any) -> None:
    refused = client.post("/v1/documents", json={"documents": [{"id": "a", "text": "1"}, {"id": "a", "text": "2"}]})
    assert (refused.status_code, "twice" in refused.text) == (400, True)


def test_what_another_process_commits_is_served(make_client: Any, index: Path) -> None:
    client = make_client(index=index, refresh_seconds=0.02)
    retr.open(index).add([retr.Document("new", "purple elephants")])
    for _ in range(500):
        if ids(client.post("/v1/search", json={"query": "purple", "mode": "lexical"})) == ["new"]:
            break
    else:
        raise AssertionError("the new generation was not served")
    assert client.get("/ready").json()["generation"] == 3


def test_a_new_encoder_of_the_index_is_taken_up(make_client: Any, index: Path, make_bi: Any) -> None:
    from retr.index.reindexing.shadow import Shadow

    client = make_client(index=index, refresh_seconds=60)
    other = str(make_bi(seed=7))
    shadow = Shadow.begin(retr.open(index), retr.load_encoder(other), spec=other)
    shadow.fill()
    shadow.swap()
    client.service.refresh()
    found = client.post("/v1/embeddings", json={"input": "fish"}).json()
    assert found["model"] == Path(other).name
    assert ids(client.post("/v1/search", json={"query": "fish", "mode": "dense", "k": 3}))


def test_a_writer_elsewhere_is_a_503_that_passes(make_client: Any, index: Path) -> None:
    from retr.index.disk.lock import WriterLock

    client = make_client(index=index, writable=True, write_wait_seconds=0.05)
    body = {"documents": [{"id": "a", "text": "b"}]}
    with WriterLock(index):
        refused = client.post("/v1/documents", json=body)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert str(index) not in refused.text
    assert client.post("/v1/documents", json=body).status_code == 200


def test_writes_that_wait_share_commits_and_none_is_lost(client: Any) -> None:
    def write(number: int) -> int:
        body = {"documents": [{"id": f"n{number}", "text": f"number {number}"}]}
        return int(client.post("/v1/documents", json=body).json()["generation"])

    with ThreadPoolExecutor(12) as pool:
        generations = list(pool.map(write, range(24)))
    found = client.get("/v1/documents", params={"id": [f"n{number}" for number in range(24)]}).json()["documents"]
    assert len(found) == 24
    assert len(set(generations)) < 24


def test_searches_at_a_time_get_their_own_answers(reader: Any) -> None:
    words = {"stone": "stone", "swims": "fish", "cold": None}

    def ask(word: str) -> bool:
        found = ids(reader.post("/v1/search", json={"query": word, "mode": "lexical", "k": 1}))
        return found == [words[word]] or (words[word] is None and found[0] in ("fish", "water"))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, [*words] * 10))
