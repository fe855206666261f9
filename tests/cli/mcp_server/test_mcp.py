"""`retr mcp` as agents' hosts use it: the protocol's own client, within the process, over a pipe and over HTTP."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="`retr mcp` needs the package mcp")

import httpx2
import numpy as np
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

import retr
from retr.cli.mcp import mcp
from retr.cli.mcp_server import abilities
from retr.cli.mcp_server.server import make_server
from retr.cli.mcp_server.settings import McpSettings
from retr.retrieval.errors import BadInput, NotFound

GUIDE = Path(__file__).parents[3] / "docs" / "mcp.md"
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "RETR_THREADS": "1"}
KEYS = {"read": "r" * 20, "write": "w" * 20}


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """An index of words, which needs no model."""
    documents = [
        retr.Document(
            "fox", "A red fox sleeps in the snow.", title="Foxes", metadata={"year": 2021, "url": "http://x/1"}
        ),
        retr.Document("cat", "A red cat sleeps by the stove.", metadata={"year": 2024}, source={"path": "cat.md"}),
        retr.Document("secret", "A red dragon sleeps on gold.", metadata={"year": 1300, "hidden": True}),
    ]
    retr.create(tmp_path / "index", encoder=None).add(documents)
    return tmp_path / "index"


def ask(server: Any, talk: Callable[[Client], Awaitable[Any]]) -> Any:
    """What a client gives back that talks to a server."""

    async def session() -> Any:
        async with Client(server) as client:
            return await talk(client)

    return asyncio.run(session())


def call(server: Any, name: str, **asked: Any) -> Any:
    """What a tool gives; a failure is an AssertionError with its text."""

    result = ask(server, lambda client: client.call_tool(name, asked))
    assert not result.is_error, result.content[0].text
    return result.structured_content


def served(index: Path, **asked: Any) -> Any:
    return make_server(McpSettings(index=index, mode="lexical", **asked))


def test_reading_is_offered_and_writing_only_where_it_was_asked_for(index: Path) -> None:
    async def talk(client: Client) -> Any:
        return (await client.list_tools()).tools

    offered = {tool.name: tool for tool in ask(served(index), talk)}
    assert set(offered) == {"search", "fetch"}
    assert all(tool.annotations.read_only_hint for tool in offered.values())
    assert offered["search"].input_schema["required"] == ["query"]
    assert {tool.name for tool in ask(served(index, write=True), talk)} == {"search", "fetch", "upsert", "delete"}


def test_an_agent_is_told_how_many_documents_and_which_fields_there_are(index: Path) -> None:
    async def talk(client: Client) -> Any:
        return client.instructions

    assert "3 documents" in ask(served(index), talk)
    assert "hidden, url, year" in ask(served(index), talk)
    assert "2 documents" in ask(served(index, where="hidden is null"), talk)


def test_search_gives_passages_with_where_they_are_from(index: Path) -> None:
    found = call(served(index), "search", query="red fox", k=1)["results"]
    assert [(one["id"], one["title"], one["url"]) for one in found] == [("fox", "Foxes", "http://x/1")]
    assert found[0]["text"] == "A red fox sleeps in the snow."
    assert call(served(index), "search", query="stove")["results"][0]["source"]["path"] == "cat.md"


def test_search_keeps_to_a_filter_and_to_the_scope(index: Path) -> None:
    def ids(server: Any, **asked: Any) -> set[str]:
        return {one["id"] for one in call(server, "search", query="red", **asked)["results"]}

    assert ids(served(index), where="year > 2000") == {"fox", "cat"}
    scoped = served(index, where="hidden is null")
    assert ids(scoped) == {"fox", "cat"}
    assert ids(scoped, where="year < 2022") == {"fox"}
    with pytest.raises(AssertionError, match="no document 'secret'"):
        call(scoped, "fetch", id="secret")


def test_fetch_gives_a_long_document_part_by_part(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abilities, "PAGE_CHARACTERS", 10)
    server = served(index)
    text, offset = "", 0
    while offset is not None:
        part = call(server, "fetch", id="fox", offset=offset)
        text, offset = text + part["text"], part["next_offset"]
    assert text == "A red fox sleeps in the snow."
    assert part["characters"] == len(text)


@pytest.mark.parametrize(
    ("name", "asked", "says"),
    [
        ("fetch", {"id": "wolf"}, "There is no document 'wolf'"),
        ("search", {"query": "red", "where": "year >"}, "The filter is wrong at character"),
        ("search", {"query": "  "}, "The query is empty"),
        ("search", {"query": "red", "k": 500}, "less than or equal to 50"),
        ("search", {}, "query"),
        ("upsert", {"documents": [{"id": "a"}]}, "needs an id and a text"),
        ("upsert", {"documents": []}, "at least 1"),
    ],
)
def test_a_mistake_is_told_to_the_agent(index: Path, name: str, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        call(served(index, write=True), name, **asked)


def test_what_is_written_is_found_and_what_is_deleted_is_not(index: Path) -> None:
    server = served(index, write=True)
    new = {"id": "owl", "text": "An owl hoots.", "title": "Owls", "metadata": {"year": 2025}}
    assert call(server, "upsert", documents=[new]) == {"changed": 1, "documents": 4}
    assert call(server, "search", query="owl", where="year = 2025")["results"][0]["title"] == "Owls"
    assert call(server, "delete", ids=["owl", "wolf"]) == {"changed": 1, "documents": 3}
    assert call(server, "search", query="owl")["results"] == []


def test_what_another_process_commits_is_found(index: Path) -> None:
    server = served(index)
    retr.open(index).add([retr.Document("owl", "An owl hoots.")])
    assert call(server, "search", query="owl")["results"][0]["id"] == "owl"


def test_settings_that_make_no_sense_are_refused(index: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Leave one out"):
        McpSettings(index=index, write=True, where="year > 1")
    with pytest.raises(BadInput, match="filter"):
        McpSettings(index=index, where="year >")
    with pytest.raises(NotFound, match="mode"):
        McpSettings(index=index, mode="psychic")
    with pytest.raises(NotFound):
        served(tmp_path)


def test_an_index_whose_queries_cannot_be_encoded_is_refused_at_once(tmp_path: Path) -> None:
    given = retr.create(tmp_path / "given", encoder=retr.GivenVectors(2))
    given.add([retr.Document("fox", "A red fox")], vectors=np.ones((1, 2), np.float32))
    with pytest.raises(BadInput, match="mode='lexical'"):
        make_server(McpSettings(index=tmp_path / "given"))
    assert call(served(tmp_path / "given"), "search", query="fox")["results"][0]["id"] == "fox"


def test_the_guides_client_starts_the_command_and_asks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = tmp_path / "bin" / "retr"
    tool.parent.mkdir()
    paths = shlex.quote(ENVIRONMENT["PYTHONPATH"])
    tool.write_text(f'#!/bin/sh\nPYTHONPATH={paths} exec {shlex.quote(sys.executable)} -m retr "$@"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    document = retr.Document("snuff", "Chewing tobacco is not safer than cigarettes.")
    retr.create(".retr", encoder=None).add([document])
    block = re.search(r"^```py\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    exec(compile(block[1], "mcp.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == "snuff\n"


@contextmanager
def over_http(index: Path, *options: str) -> Iterator[str]:
    """The address of a server process; it ends on SIGTERM within seconds."""
    command = [
        sys.executable,
        "-m",
        "retr",
        "mcp",
        "-i",
        str(index),
        "--mode",
        "lexical",
        "--http",
        "--port",
        "0",
        "--json",
    ]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, env={**os.environ, **ENVIRONMENT}
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("options", [{"keys": Path("keys")}, {"json": True}])
def test_what_is_for_http_is_refused_without_it(index: Path, options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="is for --http"):
        mcp(index, **options)


def test_over_http_a_key_is_needed_and_other_sites_are_refused(index: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("".join(f"{scope} {key}\n" for scope, key in KEYS.items()))
    with over_http(index, "--write", "--keys", str(tmp_path / "keys")) as address:
        hello = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})

        def status(key: str | None, **headers: str) -> int:
            headers |= {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
            headers |= {"Authorization": f"Bearer {key}"} if key else {}
            return httpx2.post(address, content=hello, headers=headers).status_code

        assert status(None) == status("wrong" * 5) == 401
        assert status(KEYS["read"]) == 403
        assert status(KEYS["write"], Host="evil.example") == 421
        assert status(KEYS["write"], Origin="http://evil.example") == 403

        async def session() -> Any:
            async with (
                httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEYS['write']}"}) as web,
                Client(streamable_http_client(address, http_client=web)) as client,
            ):
                return (await client.call_tool("search", {"query": "fox"})).structured_content

        assert asyncio.run(session())["results"][0]["id"] == "fox"
