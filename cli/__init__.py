"""The command line: a table of commands, each in a module of its own that is imported when it is run.

A command is a plain function with `Annotated` Typer parameters; its docstring is its help. Command modules import
typer at most, and everything heavy inside the function, so that `retr --help` stays quick.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from retr.cli.failures import INTERRUPTED, PIPE_CLOSED, explain, report
from retr.retrieval.kinds import resolve

COMMANDS: dict[str, str] = {
    "index": "retr.cli.index:index",
    "search": "retr.cli.search:search",
    "delete": "retr.cli.delete:delete",
    "compact": "retr.cli.compact:compact",
    "reindex": "retr.cli.reindex:reindex",
    "tune": "retr.cli.tune:tune",
    "snapshot": "retr.cli.snapshot:snapshot",
    "rollback": "retr.cli.rollback:rollback",
    "copy": "retr.cli.copy:copy",
    "info": "retr.cli.info:info",
    "check": "retr.cli.check:check",
    "train": "retr.cli.train:train",
    "distill": "retr.cli.distill:distill",
    "adapt": "retr.cli.adapt:adapt",
    "mine": "retr.cli.mine:mine",
    "pairs": "retr.cli.pairs:pairs",
    "encode": "retr.cli.encode:encode",
    "keys": "retr.cli.keys:keys",
    "eval": "retr.cli.evaluate:evaluate",
    "compare": "retr.cli.compare:compare",
    "export": "retr.cli.export:export",
    "serve": "retr.cli.serve:serve",
    "mcp": "retr.cli.mcp:mcp",
    "models": "retr.cli.models:models",
    "doctor": "retr.cli.doctor:doctor",
    "selftest": "retr.cli.selftest:selftest",
}
"""A command's name to `module:function`: one file and one line here make a command."""


class CommandTable(TyperGroup):
    """A group whose commands are imported when asked for, and whose failures are one line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        names: Any = dict.fromkeys(COMMANDS)  # Names alone: Typer lists them and says "did you mean" from them.
        self.commands = names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, imported now; None when there is none, as Typer expects."""
        if cmd_name not in COMMANDS:
            return None
        single = typer.Typer(add_completion=False, rich_markup_mode=_markup())
        single.command(cmd_name)(resolve(cmd_name, COMMANDS, "command"))
        return get_command(single)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what the user can act on becomes one line and an exit code."""
        with failures_as_exits():
            return super().invoke(ctx)


@contextmanager
def failures_as_exits() -> Iterator[None]:
    """Turn an exception that the user can act on into one line on standard error and an exit code."""
    try:
        try:
            yield
        finally:
            _flush()  # Here a full disk or a closed pipe can still be reported; at the interpreter's end it cannot.
    except KeyboardInterrupt:
        report("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        _drop_output()
        raise typer.Exit(PIPE_CLOSED) from None
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        report(f"error: {line}", error)
        raise typer.Exit(1) from None


def _flush() -> None:
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
        raise


def _drop_output() -> None:
    """Send what is still buffered to nowhere, or the interpreter's own last flush would complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _markup() -> Any:
    """Panels and colours for people; plain text for pipes and files."""
    return "markdown" if sys.stdout is not None and sys.stdout.isatty() else None


def _show_version(wanted: bool) -> None:
    if wanted:
        from retr import __version__

        typer.echo(f"retr {__version__}")
        raise typer.Exit


def retr(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Search your own documents, from the command line or from Python.

    `retr index FOLDER` reads and indexes; `retr search "a question"` answers. `retr COMMAND --help` says more.
    """


def make_app() -> typer.Typer:
    """The whole command line as a Typer application."""
    app = typer.Typer(
        cls=CommandTable, no_args_is_help=True, rich_markup_mode=_markup(), pretty_exceptions_enable=False
    )
    app.callback()(retr)
    return app


app = make_app()


def _open_streams() -> None:
    """Where a service or a shell's `>&-` has closed output, it goes nowhere, and no file of ours takes its number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


def main() -> None:
    """Run the command line; ends by SystemExit."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # A narrow locale must not make printing fail.
    try:
        with failures_as_exits():
            app(prog_name="retr")
    except typer.Exit as end:
        sys.exit(end.exit_code)


def run() -> None:
    """`retr` and `python -m retr`: the command line, and then the process ends at once.

    Everything is committed, written and flushed by then. Taking the interpreter and the model runtime apart in good
    order would cost a tenth of a second of every search.
    """
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    sys.stderr.flush()
    if code is None or isinstance(code, int):
        os._exit(code or 0)
    sys.exit(str(code))
