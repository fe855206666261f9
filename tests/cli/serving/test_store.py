"""An index in PostgreSQL over HTTP and MCP: the same answers as from a folder, and no secret in any of them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="needs psycopg")

import psycopg
from tests.cli.serving.conftest import DOCUMENTS
from tests.index.stores.conftest import address, server
from tests.waiting import wait_for
from typer.testing import CliRunner

import retr
from retr.cli import make_app
from retr.cli.serving.settings import ServeSettings
from retr.index.postgres.connecting import Connections
from retr.integrations.shelf import Shelf

__all__ = ["address", "server"]

SECRET = "hunter2"


@pytest.fixture
def secret(address: str) -> str:
    """The address with a password, which this server does not look at."""
    return address.replace("postgres:@", f"postgres:{SECRET}@")


@pytest.fixture
def client(make_client: Any, address: str, secret: str) -> Any:
    retr.create(address, encoder=None).add(DOCUMENTS)
    return make_client(index=secret, writable=True, refresh_seconds=0.05)


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While it lasts, no server answers."""

    def refused(self: Connections, first: str) -> None:
        raise psycopg.OperationalError(f"connection to db.example.org failed: password {SECRET}")

    with monkeypatch.context() as patch:
        patch.setattr(Connections, "_taken", refused)
        yield


def test_a_store_is_searched_and_written(client: Any, address: str) -> None:
    found = client.post("/v1/search", json={"query": "red fish"}).json()
    assert [hit["id"] for hit in found["hits"]] == ["fish"]
    filtered = client.post("/v1/search", json={"query": "water", "where": "year > 2021"}).json()["hits"]
    assert [hit["id"] for hit in filtered] == ["water"]
    written = client.post("/v1/documents", json={"documents": [{"id": "new", "text": "a purple whale"}]}).json()
    assert (written["added"], written["generation"]) == (1, found["generation"] + 1)
    assert client.get("/v1/documents", params={"id": "new"}).json()["documents"][0]["text"] == "a purple whale"
    assert client.post("/v1/documents/delete", json={"ids": ["new"]}).json()["deleted"] == 1
    retr.open(address).add([retr.Document("other", "written by another process")])
    wait_for(lambda: client.get("/ready").json()["documents"] == 4)
    assert client.post("/v1/search", json={"query": "process"}).json()["hits"][0]["id"] == "other"


def test_no_password_is_told(
    client: Any, secret: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = [client.get(path) for path in ("/ready", "/health", "/metrics", "/v1/index", "/openapi.json", "/v1/models")]
    monkeypatch.setattr(logging.getLogger("retr.serve"), "propagate", True)
    with away(monkeypatch):
        failed = client.post("/v1/search", json={"query": "red"})
    assert failed.status_code == 503
    bad = client.post("/v1/search", json={"query": "red", "where": "nothing = ="})
    assert bad.status_code == 400
    for answer in (*told, failed, bad):
        assert SECRET not in answer.text and "host=" not in answer.text
    assert SECRET not in repr(ServeSettings(index=secret))
    assert "does not answer" in caplog.text


def test_a_store_that_is_away_is_not_ready_until_it_is_back(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("retr.serve"), "propagate", True)
    assert client.get("/ready").status_code == 200
    with away(monkeypatch):
        wait_for(lambda: client.get("/ready").status_code == 503)
        answer = client.post("/v1/search", json={"query": "red"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.get("/health").status_code == 200
    wait_for(lambda: client.get("/ready").status_code == 200)
    assert client.post("/v1/search", json={"query": "red"}).json()["hits"]
    said = [record.getMessage() for record in caplog.records if "refreshed" in record.getMessage()]
    assert len(said) == 1


def test_thumbs_need_a_file_of_their_own(make_client: Any, client: Any, secret: str, tmp_path: Path) -> None:
    thumb = {"query": "red", "id": "fish", "grade": 1}
    refused = client.post("/v1/judgements", json=thumb)
    assert refused.status_code == 404 and "--judgements" in refused.text
    other = make_client(index=secret, writable=True, judgements=tmp_path / "t.qrels.tsv")
    assert other.post("/v1/judgements", json=thumb).json()["grades"] == {"fish": 1}


def test_writing_to_a_replica_is_forbidden_not_wrong(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = "SET TRANSACTION READ ONLY"
    taken = Connections._taken
    monkeypatch.setattr(Connections, "_taken", lambda self, _: taken(self, first))
    answer = client.post("/v1/documents", json={"documents": [{"id": "x", "text": "y"}]})
    assert answer.status_code == 403 and "postgres" not in answer.text
    assert client.post("/v1/search", json={"query": "red"}).status_code == 200


def test_token_vectors_in_a_store_are_served(make_client: Any, late_indexes: Path, address: str) -> None:
    retr.open(late_indexes / "both").copy(address)
    client = make_client(index=address)
    told = client.get("/v1/index").json()
    assert (told["modes"], told["reranker"]) == (["hybrid", "dense", "late", "lexical"], "late")
    late = client.post("/v1/search", json={"query": "red fish", "mode": "late"}).json()["hits"]
    again = client.post("/v1/search", json={"query": "red fish", "mode": "lexical", "rerank": True}).json()["hits"]
    scores = {hit["id"]: hit["score"] for hit in late}
    assert again and all(hit["score"] == pytest.approx(scores[hit["id"]], abs=1e-4) for hit in again)


@pytest.mark.parametrize("command", ["serve", "mcp"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--store", "folder"], "--store takes an address"),
        (["--store", "postgresql://h/d", "--index", "i"], "Give either --index or --store"),
        (["--store", f"postgresql://me:{SECRET}@127.0.0.1:1/d"], "does not answer"),
    ],
)
def test_a_store_that_cannot_be_served_is_told_in_one_line(command: str, options: list[str], says: str) -> None:
    if command == "mcp":
        pytest.importorskip("mcp", reason="`retr mcp` needs the package mcp")
    result = CliRunner().invoke(make_app(), [command, *options])
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert says in result.stderr and SECRET not in result.stderr


def test_a_shelf_stands_in_a_store(address: str) -> None:
    shelf = Shelf(address, encoder="none")
    shelf.write(DOCUMENTS)
    other = Shelf(address, create=False)
    assert other.known(["fish", "none"]) == ["fish"]
    assert shelf.remove(["fish"]) == 1 and other.known(["fish"]) == []


def test_agents_search_and_write_a_store(secret: str) -> None:
    pytest.importorskip("mcp", reason="`retr mcp` needs the package mcp")
    from tests.cli.mcp_server.test_mcp import call, served

    retr.create(secret, encoder=None).add(DOCUMENTS)
    agent = served(secret, write=True)  # type: ignore[arg-type]
    assert [one["id"] for one in call(agent, "search", query="red fish")["results"]] == ["fish"]
    assert call(agent, "upsert", documents=[{"id": "new", "text": "a purple whale"}])["documents"] == 4
    assert call(agent, "fetch", id="new")["text"] == "a purple whale"
    assert call(agent, "delete", ids=["new"])["changed"] == 1
