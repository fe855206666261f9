"""`retr mcp`: an index for agents, over the Model Context Protocol."""

import os
from pathlib import Path
from typing import Annotated

import typer

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, StoreOption, checked_wait, home_of


def mcp(
    index: IndexOption = DEFAULT_INDEX,
    store: StoreOption = None,
    write: Annotated[bool, typer.Option("--write", help="Offer tools that add and delete documents too.")] = False,
    mode: Annotated[str, typer.Option(help="How search goes: hybrid, dense, lexical or late.")] = "hybrid",
    where: Annotated[
        str | None, typer.Option(help="Show only documents for which this holds, whatever the agent asks.")
    ] = None,
    rerank: Annotated[
        str | None, typer.Option(help="A second stage for search: cross=FOLDER, uni=FOLDER, …", metavar="SCORER")
    ] = None,
    http: Annotated[bool, typer.Option("--http", help="Streamable HTTP on 127.0.0.1, not standard input.")] = False,
    port: Annotated[int, typer.Option(help="With --http: the port; 0: any that is free.")] = 8090,
    keys: Annotated[
        Path | None,
        typer.Option(help="With --http: file of API keys, lines `read KEY` and `write KEY`.", metavar="FILE"),
    ] = None,
    wait: Annotated[
        float, typer.Option(help="With --write: wait so long for another writer to finish.", metavar="SECONDS")
    ] = 10.0,
    json: JsonOption = False,
) -> None:
    """Let agents search and fetch from an index, over the Model Context Protocol.

    An agent's host starts this command and speaks with it on standard input and output.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # As in `retr search`: its threads would spin for nothing.
    _check_package()
    from retr.cli.mcp_server.running import over_http, over_stdio
    from retr.cli.mcp_server.server import make_server
    from retr.cli.mcp_server.settings import McpSettings
    from retr.cli.serving.keys import read_keys

    settings = McpSettings(
        index=home_of(index, store), write=write, mode=mode, where=where, rerank=rerank, wait_seconds=checked_wait(wait)
    )
    if not http:
        _only_with_http(keys, as_json=json)
        over_stdio(make_server(settings))
        return
    over_http(make_server(settings), port, read_keys(keys), write=write, started=lambda url: _tell(url, as_json=json))


def _tell(url: str, *, as_json: bool) -> None:
    from retr.cli.output import emit_json

    if as_json:
        emit_json({"url": url})
    else:
        typer.echo(f"retr: MCP at {url}", err=True)


def _check_package() -> None:
    from importlib.util import find_spec

    from retr.retrieval.errors import missing_package

    if find_spec("mcp") is None:
        raise missing_package("mcp", needed_for="`retr mcp`", extra="mcp")


def _only_with_http(keys: Path | None, *, as_json: bool) -> None:
    from retr.retrieval.errors import BadInput

    if keys is not None:
        raise BadInput("--keys is for --http. On standard input the one who starts the command is let in.")
    if as_json:
        raise BadInput("--json is for --http: it tells the address. On standard output the protocol itself is spoken.")
