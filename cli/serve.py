"""`retr serve`: an index, an encoder and a reranker over HTTP."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from retr.cli.options import DEFAULT_INDEX, JsonOption, QuietOption, StoreOption, home_of

if TYPE_CHECKING:
    import socket

    from retr.cli.serving.keys import Keys
    from retr.cli.serving.settings import ServeSettings

_MODELS = "Models"
_ACCESS = "Access"
_LIMITS = "Limits"
_MIB = 1 << 20


def serve(
    index: Annotated[
        Path | None, typer.Option("--index", "-i", help="The index folder. Default: ./.retr, if there is one.")
    ] = None,
    store: StoreOption = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="Serve this encoder; beside an index it must be the index's own.", rich_help_panel=_MODELS),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            help="Serve this reranker: cross=FOLDER, uni=FOLDER, …", metavar="SCORER", rich_help_panel=_MODELS
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where models run: cpu, cuda, cuda:1.", rich_help_panel=_MODELS)] = "",
    name: Annotated[
        list[str] | None,
        typer.Option(help="A further name that clients may ask for as model.", rich_help_panel=_MODELS),
    ] = None,
    matryoshka: Annotated[
        str,
        typer.Option(
            help="Shorter dimensions that the encoder was trained for, such as 64,128.", rich_help_panel=_MODELS
        ),
    ] = "",
    host: Annotated[str, typer.Option(help="Address to listen at.", rich_help_panel=_ACCESS)] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0: any that is free.", rich_help_panel=_ACCESS)] = 8080,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="File of API keys, lines `read KEY` and `write KEY`.", metavar="FILE", rich_help_panel=_ACCESS
        ),
    ] = None,
    writable: Annotated[
        bool, typer.Option("--writable", help="Without keys: let callers write.", rich_help_panel=_ACCESS)
    ] = False,
    judgements: Annotated[
        Path | None,
        typer.Option(
            help="Where the page's thumbs are kept. Default: INDEX.qrels.tsv.", metavar="FILE", rich_help_panel=_ACCESS
        ),
    ] = None,
    open_to_all: Annotated[
        bool,
        typer.Option("--open-to-all", help="Without keys: listen beyond this machine.", rich_help_panel=_ACCESS),
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes that answer.", rich_help_panel=_LIMITS)] = 1,
    max_requests: Annotated[
        int, typer.Option(help="Requests at a time in a worker; more get 429.", rich_help_panel=_LIMITS)
    ] = 256,
    max_body_mib: Annotated[int, typer.Option(help="Largest body.", rich_help_panel=_LIMITS)] = 16,
    batch_tokens: Annotated[
        int, typer.Option(help="Tokens that are encoded together.", rich_help_panel=_LIMITS)
    ] = 4096,
    waiting_tokens: Annotated[
        int, typer.Option(help="Tokens that may wait; beyond, 429.", rich_help_panel=_LIMITS)
    ] = 524_288,
    timeout: Annotated[
        float, typer.Option(help="Longest time for a request.", metavar="SECONDS", rich_help_panel=_LIMITS)
    ] = 60.0,
    refresh: Annotated[
        float, typer.Option(help="How often to look for a newer index.", metavar="SECONDS", rich_help_panel=_LIMITS)
    ] = 1.0,
    drain_wait: Annotated[
        float,
        typer.Option(
            help="After SIGTERM, answer so long as not ready before closing.",
            metavar="SECONDS",
            rich_help_panel=_LIMITS,
        ),
    ] = 1.0,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Serve search, embeddings and reranking over HTTP, in the formats of OpenAI, Cohere and Jina.

    API keys come from --keys or from RETR_SERVE_KEYS (`read:KEY,write:KEY`). Ends in good order on SIGTERM.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each would start a thread a core, beside the encoder's own
    _check_packages()
    from retr.cli.serving.settings import ServeSettings

    settings = ServeSettings(
        index=_index(index, store, encoder),
        encoder=encoder or "",
        rerank=rerank or "",
        device=device,
        names=tuple(name or ()),
        matryoshka=_dims(matryoshka),
        host=host,
        port=port,
        workers=workers,
        keys=keys,
        open_to_all=open_to_all,
        writable=writable,
        judgements=judgements,
        batch_tokens=batch_tokens,
        waiting_tokens=waiting_tokens,
        max_requests=max_requests,
        max_body_bytes=max_body_mib * _MIB,
        request_seconds=timeout,
        refresh_seconds=refresh,
        drain_wait_seconds=drain_wait,
    )
    _run(settings, quiet=quiet, as_json=json)


def _run(settings: "ServeSettings", *, quiet: bool, as_json: bool) -> None:
    from retr.cli.serving.keys import read_keys
    from retr.cli.serving.logs import log_to_stderr
    from retr.cli.serving.memory import share_heaps
    from retr.cli.serving.running import listening_socket
    from retr.cli.serving.running import serve as answer
    from retr.cli.serving.service import Service
    from retr.cli.serving.supervising import Supervisor

    share_heaps()
    log_to_stderr()
    keys = read_keys(settings.keys, default="write" if settings.writable else "read")
    _check_reach(settings, keys)
    _check_judgements(settings.judgements)
    with listening_socket(settings) as listening:
        url = _url(listening)

        def started() -> None:
            _tell(settings, url, quiet=quiet, as_json=as_json)

        if settings.workers == 1:
            answer(Service(settings), keys, listening, started=started)
        else:
            Supervisor(settings, keys, listening).run(started=started)


def _check_packages() -> None:
    """missing_package where the extra is not installed."""
    from importlib.util import find_spec

    from retr.retrieval.errors import missing_package

    for package in ("fastapi", "uvicorn", "httptools", "orjson", "prometheus_client"):
        if find_spec(package) is None:
            raise missing_package(package, needed_for="`retr serve`", extra="serve")


def _index(asked: Path | None, store: str | None, encoder: str | None) -> Path | str | None:
    from retr.retrieval.errors import NotFound

    if store is not None:
        return home_of(asked or DEFAULT_INDEX, store)
    if asked is not None:
        return asked
    if DEFAULT_INDEX.is_dir():
        return DEFAULT_INDEX
    if encoder is None:
        raise NotFound(
            "There is nothing to serve: no ./.retr here. Give --index DIR or --store ADDRESS, or --encoder for "
            "embeddings alone."
        )
    return None


def _dims(text: str) -> tuple[int, ...]:
    from retr.retrieval.errors import BadInput

    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise BadInput(f"--matryoshka takes whole numbers such as 64,128; got {text!r}.") from None


def _check_judgements(file: Path | None) -> None:
    from retr.retrieval.errors import NotFound

    if file is not None and not file.parent.is_dir():
        raise NotFound(f"There is no folder {str(file.parent)!r} for --judgements {file.name}. Make it first.")


def _check_reach(settings: "ServeSettings", keys: "Keys") -> None:
    """BadInput for a server without keys that others than this machine can reach, unless that was asked for."""
    from retr.retrieval.errors import BadInput

    if keys.wanted or settings.on_loopback or settings.open_to_all:
        return
    raise BadInput(
        f"Without keys, {settings.host} would let everyone in who can reach this machine. Give --keys FILE, or "
        "--open-to-all if that is what you want."
    )


def _url(listening: "socket.socket") -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _tell(settings: "ServeSettings", url: str, *, quiet: bool, as_json: bool) -> None:
    from retr.cli.output import emit_json

    if as_json:
        emit_json({"url": url, "pid": os.getpid(), "workers": settings.workers})
    elif not quiet:
        typer.echo(f"retr: serving at {url}", err=True)
