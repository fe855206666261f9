"""Who may ask, how much, and for how long: refused early, in the API's own words, and never at the others' cost."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import wait_for

from retr.cli.serving.keys import Keys, read_keys
from retr.retrieval.errors import BadInput, NotFound

READ, WRITE = "read-key-0123456789", "write-key-0123456789"
DOCUMENT = {"documents": [{"id": "new", "text": "a"}]}


@pytest.fixture
def keys() -> Keys:
    return read_keys(None, environment={"RETR_SERVE_KEYS": f"read:{READ}, write:{WRITE}"})


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("path", "body", "key", "status"),
    [
        ("/v1/search", {"query": "fish"}, None, 401),
        ("/v1/search", {"query": "fish"}, "wrong-key-0123456789", 401),
        ("/v1/search", {"query": "fish"}, READ, 200),
        ("/v1/search", {"query": "fish"}, WRITE, 200),
        ("/v1/embeddings", {"input": "a"}, None, 401),
        ("/v2/rerank", {"query": "a", "documents": ["b"]}, None, 401),
        ("/v1/documents", DOCUMENT, None, 401),
        ("/v1/documents", DOCUMENT, READ, 403),
        ("/v1/documents", DOCUMENT, WRITE, 200),
        ("/v1/documents/delete", {"ids": ["new"]}, READ, 403),
        ("/nothing", {}, None, 401),
    ],
)
def test_keys_and_scopes(
    make_client: Any,
    index: Path,
    models: dict[str, str],
    keys: Keys,
    path: str,
    body: Any,
    key: str | None,
    status: int,
) -> None:
    client = make_client(keys, index=index, rerank=models["rerank"])
    answer = client.post(path, json=body, headers=bearer(key) if key else {})
    assert answer.status_code == status
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_probes_need_no_key_and_reading_paths_do(make_client: Any, models: dict[str, str], keys: Keys) -> None:
    client = make_client(keys, encoder=models["encoder"])
    found = {
        path: client.get(path).status_code for path in ("/health", "/ready", "/openapi.json", "/metrics", "/v1/models")
    }
    assert found == {"/health": 200, "/ready": 200, "/openapi.json": 200, "/metrics": 401, "/v1/models": 401}


@pytest.mark.parametrize("header", ["Bearer", "Bearer  ", f"Basic {READ}", READ, "Bearer é-key", f"bearer {READ}"])
def test_strange_authorization_is_no_key(make_client: Any, models: dict[str, str], keys: Keys, header: str) -> None:
    client = make_client(keys, encoder=models["encoder"])
    answer = client.get("/v1/models", headers={"Authorization": header.encode()})
    assert answer.status_code == (200 if header == f"bearer {READ}" else 401)


def test_a_file_of_keys_has_a_scope_and_a_key_a_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# ours\nread {READ}  # the site's\n\nwrite  {WRITE}\n")
    found = read_keys(path, environment={})
    assert [found.scope_of(key) for key in (READ, WRITE, "other", "", None)] == ["read", "write", None, None, None]
    assert READ not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# none\n",
        "read short\n",
        f"admin {READ}\n",
        f"{READ}\n",
        f"read {READ}\nwrite {READ}\n",
        "read a b c d e f g h i\n",
    ],
)
def test_a_file_of_keys_that_makes_no_sense_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(BadInput) as refused:
        read_keys(path, environment={})
    assert READ not in str(refused.value)


def test_no_file_of_keys_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file of keys"):
        read_keys(tmp_path / "none", environment={})


def test_without_keys_others_read_and_do_not_write(make_client: Any, index: Path) -> None:
    client = make_client(index=index)
    assert client.post("/v1/search", json={"query": "fish"}).status_code == 200
    refused = client.post("/v1/documents", json=DOCUMENT)
    assert (refused.status_code, "--writable" in refused.text) == (403, True)


def test_without_keys_only_names_of_this_machine_are_answered(make_client: Any, models: dict[str, str]) -> None:
    client = make_client(encoder=models["encoder"])
    for host, status in {
        "localhost:80": 200,
        "LOCALHOST": 200,
        "127.0.0.1": 200,
        "[::1]:8080": 200,
        "evil.example": 421,
        "": 421,
    }.items():
        assert client.get("/v1/models", headers={"Host": host}).status_code == status, host
    assert client.get("/health", headers={"Host": "evil.example"}).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(make_client: Any, models: dict[str, str], chunked: bool) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(300):
            yield b"x" * 10

    client = make_client(encoder=models["encoder"], max_body_bytes=1024)
    refused = client.post("/v2/rerank", content=parts() if chunked else b"x" * 3000)
    assert (refused.status_code, list(refused.json())) == (413, ["message"])


class Slow:
    """An encoder that waits for a sign."""

    def __init__(self, inner: Any) -> None:
        self.dim, self.similarity, self.fingerprint = inner.dim, inner.similarity, inner.fingerprint
        self.inner, self.sign, self.entered, self.batches = inner, threading.Event(), threading.Semaphore(0), 0

    def encode_queries(self, texts: Any) -> Any:
        return self.encode_documents(texts)

    def encode_documents(self, texts: Any) -> Any:
        self.batches += 1
        self.entered.release()
        assert self.sign.wait(20)
        return self.inner.encode_documents(texts)


@pytest.fixture
def slow(models: dict[str, str]) -> Iterator[Slow]:
    from retr.encoders import load_encoder

    made = Slow(load_encoder(models["encoder"]))
    yield made
    made.sign.set()


def requests_in_flight(client: Any) -> float | None:
    return client.service.metrics.registry.get_sample_value("retr_requests_in_flight")


def test_too_many_at_a_time_are_refused_and_may_come_back(make_client: Any, models: dict[str, str], slow: Slow) -> None:
    client = make_client(encoder=models["encoder"], max_requests=2)
    client.service.models.take_encoder(slow, "slow")
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(client.post, "/v1/embeddings", json={"input": "a"}) for _ in range(2)]
        wait_for(lambda: requests_in_flight(client) == 2)
        refused = client.post("/v1/embeddings", json={"input": "a"})
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert client.get("/health").status_code == 200
        slow.sign.set()
        assert [one.result().status_code for one in waiting] == [200, 200]
    assert 'retr_refused_total{code="too_many_requests"}' in client.get("/metrics").text


def test_more_tokens_than_may_wait_are_refused(make_client: Any, models: dict[str, str], slow: Slow) -> None:
    client = make_client(encoder=models["encoder"], waiting_tokens=10, batch_tokens=1)
    client.service.models.take_encoder(slow, "slow")
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(client.post, "/v1/embeddings", json={"input": "a"})
        assert slow.entered.acquire(timeout=20)
        second = pool.submit(client.post, "/v1/embeddings", json={"input": "a b c d e f g h i"})
        wait_for(lambda: client.service.models.waiting()["encoder"])
        refused = client.post("/v1/embeddings", json={"input": "a b c"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert int(refused.headers["Retry-After"]) >= 1
        slow.sign.set()
        assert (first.result().status_code, second.result().status_code) == (200, 200)


def test_a_request_that_takes_too_long_ends(make_client: Any, models: dict[str, str], slow: Slow) -> None:
    client = make_client(encoder=models["encoder"], request_seconds=0.05)
    client.service.models.take_encoder(slow, "slow")
    late = client.post("/v1/embeddings", json={"input": "a"})
    assert (late.status_code, late.json()["error"]["code"]) == (503, "timeout")
    slow.sign.set()


def test_the_work_of_a_caller_who_went_away_is_dropped(make_client: Any, models: dict[str, str], slow: Slow) -> None:
    client = make_client(encoder=models["encoder"], batch_tokens=1)
    client.service.models.take_encoder(slow, "slow")
    body = b'{"input": ["a", "b", "c", "d", "e"]}'
    scope = {
        "type": "http", "method": "POST", "path": "/v1/embeddings", "raw_path": b"/v1/embeddings", "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1",
        "root_path": "",
    }  # fmt: skip
    sent: list[Any] = []

    async def leave() -> None:
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if parts:
                return parts.pop()
            await asyncio.to_thread(slow.entered.acquire)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await client.app(scope, receive, send)

    asyncio.run(leave())
    slow.sign.set()
    assert client.service.models.encoder.batcher.batcher.close(20)
    assert (sent, slow.batches) == ([], 1)


def test_a_body_that_does_not_arrive_is_a_408(make_client: Any, models: dict[str, str]) -> None:
    client = make_client(encoder=models["encoder"], receive_seconds=0.05)
    sent: list[Any] = []

    async def stall() -> None:
        async def receive() -> Any:
            await asyncio.sleep(20)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", b"localhost"), (b"content-length", b"9")]
        await client.app(
            {"type": "http", "method": "POST", "path": "/v1/embeddings", "headers": headers}, receive, send
        )

    asyncio.run(stall())
    assert sent[0]["status"] == 408


def test_a_defect_is_a_500_that_says_nothing(make_client: Any, models: dict[str, str], monkeypatch: Any) -> None:
    client = make_client(encoder=models["encoder"])

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("secret text")

    monkeypatch.setattr(client.service.models.encoder.batcher, "submit", broken)
    answer = client.post("/v1/embeddings", json={"input": "a"})
    assert (answer.status_code, answer.json()["error"]["code"], "secret" in answer.text) == (
        500,
        "internal_error",
        False,
    )


def test_while_draining_it_answers_is_not_ready_and_closes_connections(
    make_client: Any, models: dict[str, str]
) -> None:
    client = make_client(encoder=models["encoder"])
    assert client.get("/ready").json()["ready"] is True
    client.service.draining = True
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["ready"], answer.headers["connection"]) == (503, False, "close")
    assert client.post("/v1/embeddings", json={"input": "a"}).status_code == 200


def test_counts_have_no_labels_of_the_callers_making(make_client: Any, models: dict[str, str]) -> None:
    client = make_client(encoder=models["encoder"])
    client.get("/v1/secret-path")
    client.request("BREW", "/v1/embeddings")
    text = client.get("/metrics").text
    assert "secret-path" not in text
    assert "BREW" not in text
    assert 'retr_requests_total{method="GET",path="other",status="404"} 1.0' in text


def test_slow_headers_are_cut_off_and_others_pass(models: dict[str, str]) -> None:
    from retr.cli.serving.running import listening_socket, serve
    from retr.cli.serving.service import Service
    from retr.cli.serving.settings import ServeSettings

    settings = ServeSettings(encoder=models["encoder"], port=0, receive_seconds=0.2)
    listening, started = listening_socket(settings), threading.Event()
    keys = read_keys(None, environment={})
    threading.Thread(
        target=serve, args=(Service(settings), keys, listening), kwargs={"started": started.set}, daemon=True
    ).start()
    assert started.wait(20)
    place = listening.getsockname()
    with socket.create_connection(place, timeout=20) as slow, closing(HTTPConnection(*place, timeout=20)) as quick:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: loc")
        for _ in range(3):
            quick.request("GET", "/health")
            assert quick.getresponse().read()
        assert slow.recv(1000) == b""
