"""One real server from the outside: the official clients, keys, a newer index, SIGTERM under load, several workers."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.waiting import wait_for

import retr
from retr.encoders import load_encoder, load_scorer

READ, WRITE = "read-key-0123456789", "write-key-0123456789"
SECONDS = 60


class Server:
    """`retr serve` in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "keys").write_text(f"read {READ}\nwrite {WRITE}\n")
        command = [sys.executable, "-m", "retr", "serve", "--port", "0", "--json", "--keys", str(folder / "keys")]
        self.log = (folder / "log").open("w+")
        self.process: Any = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        assert line, self.said()
        told = json.loads(line)
        self.url, self.port = told["url"], int(told["url"].rpartition(":")[2])

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def ask(self, path: str, body: Any = None, key: str = WRITE) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        try:
            connection.request("GET" if body is None else "POST", path, body and json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(SECONDS)
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, models: dict[str, str]) -> Path:
    found = tmp_path_factory.mktemp("served")
    retr.create(found / "index", encoder=models["encoder"]).add([retr.Document("fish", "The red fish swims.")])
    return found


@pytest.fixture(scope="module")
def server(folder: Path, models: dict[str, str]) -> Iterator[Server]:
    patch = pytest.MonkeyPatch()
    patch.setenv("RETR_THREADS", "1")
    patch.setenv("PYTHONPATH", str(Path(__file__).parents[3] / "src"))
    options = ["--index", str(folder / "index"), "--rerank", models["rerank"], "--refresh", "0.05"]
    made = Server(folder, *options, "--name", "text-embedding-3-small", "--drain-wait", "0.5")
    yield made
    made.end()
    made.log.close()
    patch.undo()


def test_openais_client_gets_the_encoders_vectors(server: Server, models: dict[str, str]) -> None:
    openai = pytest.importorskip("openai")
    texts = ["the red fish", "a stone"]
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=READ) as client:
        answer = client.embeddings.create(model="text-embedding-3-small", input=texts)
        found = np.array([one.embedding for one in answer.data], np.float32)
        np.testing.assert_allclose(found, load_encoder(models["encoder"]).encode_documents(texts).values, atol=1e-6)
        assert answer.usage.total_tokens > 0
        assert "text-embedding-3-small" in [model.id for model in client.models.list()]
        with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
            client.embeddings.create(model="text-embedding-3-small", input=[[1, 2]])
        with pytest.raises(openai.NotFoundError, match="not served here"):
            client.embeddings.create(model="other", input=texts)
        other = client.with_options(api_key="wrong-key-0123456789")
        with pytest.raises(openai.AuthenticationError):
            other.embeddings.create(model="text-embedding-3-small", input=texts)


def test_coheres_client_gets_the_scorers_order_and_spans(server: Server, models: dict[str, str]) -> None:
    cohere, httpx = pytest.importorskip("cohere"), pytest.importorskip("httpx")
    texts = ["A stone falls. Cold water.", "the red fish", "water"]
    with httpx.Client() as line:
        client = cohere.ClientV2(api_key=READ, base_url=server.url, httpx_client=line)
        spans = cohere.RerankRelevantSpans(mode="enabled", threshold=0.0)
        answer = client.rerank(model=models["rerank"], query="red fish", documents=texts, top_n=3, relevant_spans=spans)
        expected = np.argsort(-load_scorer(models["rerank"]).score("red fish", texts)).tolist()
        assert [one.index for one in answer.results] == expected
        found = {
            one.index: [texts[one.index][span.start : span.end] for span in one.relevant_spans]
            for one in answer.results
        }
        assert sorted(found[0]) == ["A stone falls.", "Cold water."]
        with pytest.raises(cohere.errors.BadRequestError, match="documents"):
            client.rerank(model=models["rerank"], query="a", documents=[])


def test_keys_and_scopes_hold_from_the_outside(server: Server) -> None:
    body = {"documents": [{"id": "outside", "text": "blue sky"}]}
    assert server.ask("/v1/documents", body, key="wrong-key-0123456789")[0] == 401
    assert server.ask("/v1/documents", body, key=READ)[0] == 403
    assert server.ask("/v1/documents", body)[0] == 200
    assert READ not in server.said()


def test_a_newer_index_is_served_without_a_restart(server: Server, folder: Path) -> None:
    retr.open(folder / "index").add([retr.Document("newer", "purple elephants")])

    def found() -> list[str]:
        _, answer = server.ask("/v1/search", {"query": "purple", "mode": "lexical"}, key=READ)
        return [hit["id"] for hit in answer["hits"]]

    wait_for(lambda: found() == ["newer"], SECONDS)


def test_two_lengths_of_one_body_are_refused(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as line:
        line.sendall(
            b"POST /v1/search HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        )
        assert line.recv(100).startswith(b"HTTP/1.1 400")


class Load:
    """Callers who ask without pause, each until it is told that its connection closes."""

    def __init__(self, port: int) -> None:
        self.port, self.answered = port, threading.Semaphore(0)
        self.lost: list[str] = []

    def ask(self, number: int) -> None:
        headers = {"Authorization": f"Bearer {READ}", "Content-Type": "application/json"}
        body = json.dumps({"input": f"fish {number} " * 3})
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)) as connection:
            try:
                while True:
                    connection.request("POST", "/v1/embeddings", body, headers)
                    answer = connection.getresponse()
                    assert len(json.loads(answer.read())["data"][0]["embedding"]) == 32
                    self.answered.release()
                    if answer.getheader("Connection") == "close":
                        return
            except Exception as error:
                self.lost.append(repr(error))


def test_sigterm_under_load_loses_no_accepted_request(server: Server) -> None:
    load = Load(server.port)
    threads = [threading.Thread(target=load.ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    assert all(load.answered.acquire(timeout=SECONDS) for _ in range(50))
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(SECONDS)
    assert load.lost == []
    assert server.process.wait(SECONDS) == 0
    assert "ERROR" not in server.said()


def test_workers_are_replaced_when_they_die_and_end_together(
    tmp_path: Path, models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETR_THREADS", "1")
    made = Server(tmp_path, "--encoder", models["encoder"], "--workers", "2", "--drain-wait", "0")
    try:
        children = Path(f"/proc/{made.process.pid}/task/{made.process.pid}/children")
        if not children.exists():
            pytest.skip("needs /proc to find the workers")
        workers = [int(pid) for pid in children.read_text().split() if is_worker(int(pid))]
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        for _ in range(5):
            assert made.ask("/v1/embeddings", {"input": "a stone"})[0] == 200
    finally:
        code = made.end()
        said = made.said()
        made.log.close()
    assert code == 0, said
    assert "is started" in said


def is_worker(pid: int) -> bool:
    return b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_serving_imports_no_torch(models: dict[str, str]) -> None:
    code = (
        "import sys\n"
        "from starlette.testclient import TestClient\n"
        "from retr.cli.serving.app import make_app\n"
        "from retr.cli.serving.keys import Keys\n"
        "from retr.cli.serving.service import Service\n"
        "from retr.cli.serving.settings import ServeSettings\n"
        f"service = Service(ServeSettings(encoder={models['encoder']!r}, rerank={models['rerank']!r}))\n"
        "with TestClient(make_app(service, Keys({}, 'read')), base_url='http://localhost') as client:\n"
        "    assert client.post('/v1/embeddings', json={'input': 'fish'}).status_code == 200\n"
        "    assert client.post('/rerank', json={'query': 'a', 'documents': ['b']}).status_code == 200\n"
        "print(*(name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (result.stdout.strip(), result.returncode) == ("", 0), result.stderr
