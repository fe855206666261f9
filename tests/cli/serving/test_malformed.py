"""Ten thousand malformed requests, drawn by a seed, and what the OpenAPI document promises: no 5xx, no crash."""

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from retr.cli.serving.keys import read_keys

REQUESTS = 10_000
SEED = 20261122
AT_ONCE = 16
EXAMPLES = 3

BODIES: dict[str, Any] = {
    "/v1/embeddings": {"input": ["a stone", "fish"], "model": None, "encoding_format": "float", "dimensions": 32},
    "/v2/rerank": {
        "query": "fish", "documents": ["a", "b c"], "top_n": 1, "max_tokens_per_doc": 10,
        "relevant_spans": {"mode": "enabled", "threshold": 0.1, "max_spans": 2},
    },
    "/v1/rerank": {"query": "fish", "documents": ["a", {"text": "b"}], "return_documents": True},
    "/rerank": {"query": {"text": "fish"}, "documents": ["a"], "top_n": 3, "raw_scores": False},
    "/v1/search": {
        "query": "red fish", "k": 2, "mode": "hybrid", "where": "year > 2000", "rerank": False, "rerank_depth": 5,
        "fusion": "rrf", "weights": [1, 0.5], "depth": 10, "exact": True, "passages": False, "explain": True,
    },
    "/v1/documents": {"documents": [{"id": "a", "text": "b", "title": "t", "metadata": {"x": [1, {"y": None}]}}]},
    "/v1/documents/delete": {"ids": ["nothing"]},
}  # fmt: skip
STRANGE: list[Any] = [
    None, True, 0, -1, 2**63, 2**200, 1e308, -0.0, "", " ", "\x00", "é" * 600, "x" * 5000, [], {}, [[]], [None], [1, 2],
    {"text": 5}, {"a": {"b": {"c": []}}}, "year > > 2", "'; drop table documents; --", "../../etc/passwd",
    "\u202e", "🦉",
]  # fmt: skip
RAW = [
    b"", b"null", b"[]", b'"a"', b"{", b"{}}", b"\xff\xfe{}", b"[" * 50_000, b'{"a":' * 3000, b'{"input":NaN}',
    b'{"input":"\\ud800"}', b'{"query":"\\udfff","k":1}', b'{"input":1e999}', b"\x00" * 100,
    b'{"input":"\xed\xa0\x80"}',
    b'{"documents":[{"id":"\\ud83d","text":"a"}]}', b"input=a&model=b", b'{"ids":["a\\u0000b"]}',
]  # fmt: skip
PATHS = ["/", "/v1", "/v1/nothing", "//v1/search", "/v1/search/", "/v1/documents/../search", "/%00", "/\u202e", "/é"]
QUERIES = [b"", b"id=", b"id=%ff%fe", b"id=a&id=" + b"b" * 600, b"&&&=", b"id=%00", b"k=5&id[]=1", b"x" * 3000]
HEADERS: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/plain"), (b"content-type", b"application/json; charset=utf-16"),
    (b"content-type", b"\xff"),
    (b"content-type", b"multipart/form-data"), (b"content-length", b"abc"), (b"content-length", b"9" * 400),
    (b"authorization", b"Bearer \xff\xfe"), (b"authorization", b""), (b"host", b"\xff"), (b"host", b"["),
    (b"accept", b"\x00"), (b"content-encoding", b"gzip"), (b"transfer-encoding", b"chunked"), (b"cookie", b"=;=" * 99),
]  # fmt: skip


def changed(value: Any, draw: random.Random) -> Any:
    """The body with one place made strange, left out, or given company."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        if draw.random() < 0.15:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: changed(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.5:
        place = draw.randrange(len(value))
        return [*value[:place], changed(value[place], draw), *value[place:]]
    return draw.choice(STRANGE)


def drawn(draw: random.Random) -> dict[str, Any]:
    """One request: a body or a header or a path of which something is wrong."""
    path = draw.choice([*BODIES] * 4 + PATHS)
    body = json.dumps(changed(BODIES.get(path, {}), draw)).encode()
    kind = draw.random()
    if kind < 0.15:
        body = draw.choice(RAW)
    elif kind < 0.25:
        body = body[: draw.randrange(len(body) + 1)]
    elif kind < 0.3:
        body = bytes(draw.randrange(256) for _ in range(draw.randrange(60)))
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    if draw.random() < 0.2:
        name, value = draw.choice(HEADERS)
        headers = [*(pair for pair in headers if pair[0] != name), (name, value)]
    method = draw.choice(["POST"] * 12 + ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW", ""])
    return {
        "scope": {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": headers,
            "query_string": draw.choice(QUERIES) if method == "GET" or draw.random() < 0.1 else b"", "root_path": "",
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "scheme": "http", "http_version": "1.1",
        },
        "body": body,
    }  # fmt: skip


async def status_of(app: Any, request: dict[str, Any]) -> int:
    """What the application answers; a body in two parts."""
    half = len(request["body"]) // 2
    parts = [
        {"type": "http.request", "body": request["body"][:half], "more_body": True},
        {"type": "http.request", "body": request["body"][half:], "more_body": False},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        if parts:
            return parts.pop(0)
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(request["scope"], receive, send)
    return int(sent[0]["status"])


@pytest.mark.slow
def test_ten_thousand_malformed_requests_give_no_5xx(client: Any) -> None:
    draw = random.Random(SEED)
    found: Counter[int] = Counter()
    failed: list[Any] = []

    async def ask() -> None:
        for _ in range(REQUESTS // AT_ONCE):
            requests = [drawn(draw) for _ in range(AT_ONCE)]
            statuses = await asyncio.gather(*(status_of(client.app, request) for request in requests))
            found.update(statuses)
            failed.extend(
                request for request, status in zip(requests, statuses, strict=True) if not 200 <= status < 500
            )

    asyncio.run(ask())
    assert failed == []
    assert found.total() == REQUESTS
    assert found[400] > REQUESTS / 3
    assert found[200] > REQUESTS / 50
    assert client.post("/v1/search", json={"query": "cold water"}).status_code == 200


def test_the_openapi_document_keeps_what_it_promises(client: Any) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, reject, settings
    from hypothesis.errors import Unsatisfiable
    from schemathesis import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance
    from starlette import testclient

    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    for operation in (found.ok() for found in schema.get_all_operations()):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=EXAMPLES, database=None, derandomize=True, deadline=None, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            def keeps(case: Any) -> None:
                asked = case.as_transport_kwargs(base_url="http://localhost")
                asked.pop("cookies", None)
                if "data" in asked:
                    asked["content"] = asked.pop("data")
                try:
                    answer = client.request(**asked)
                except testclient.httpx.InvalidURL:  # the client does not send every query that can be drawn
                    reject()
                # A mode's or model's name, a filter, a length: the schema cannot say which of them there are.
                case.validate_response(answer, excluded_checks=[positive_data_acceptance])

            with suppress(Unsatisfiable):  # a GET without parameters cannot be called wrongly
                keeps()


def test_every_path_is_in_the_openapi_document_with_its_errors(make_client: Any, models: dict[str, str]) -> None:
    keys = read_keys(None, environment={"RETR_SERVE_KEYS": "read:0123456789abcdef"})
    document = make_client(keys, encoder=models["encoder"]).get("/openapi.json").json()
    assert set(BODIES) | {"/health", "/ready", "/metrics", "/v1/models"} <= set(document["paths"])
    responses = document["paths"]["/v1/embeddings"]["post"]["responses"]
    assert {"200", "400", "401", "404", "413", "429", "503"} <= set(responses)
    assert "422" not in responses
    assert document["paths"]["/v1/documents"]["post"]["security"] == [{"key": []}]
    assert "security" not in document["paths"]["/health"]["get"]


def test_the_index_is_whole_after_all_that(client: Any, index: Path) -> None:
    import retr

    assert len(retr.open(index)) == 3
