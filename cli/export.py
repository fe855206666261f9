"""`retr export`: a model folder to a fast, portable one, with the figures that say how near it is."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from retr.cli.options import JsonOption, QuietOption

if TYPE_CHECKING:
    from retr.encoders.exporting.process import Exported

_BOUNDS = "How near it must come"


def export(
    model: Annotated[
        str, typer.Argument(help="A model folder, a hub name, or KIND=SOURCE, such as cross=FOLDER.", metavar="MODEL")
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.", metavar="OUT")],
    precision: Annotated[str, typer.Option(help="float32, float16 (for GPUs) or int8.")] = "float32",
    texts: Annotated[
        str | None,
        typer.Option(
            help="Documents like yours, as for `retr index`, to compare on. Default: a built-in set.", metavar="SOURCE"
        ),
    ] = None,
    weights: Annotated[
        bool,
        typer.Option(
            "--weights/--no-weights",
            help="Also copy model.safetensors, for sentence-transformers; or leave it out, for a small folder.",
        ),
    ] = True,
    torch: Annotated[
        bool, typer.Option("--torch/--no-torch", help="Also compare with torch, where it is installed.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is in OUT.")] = False,
    mean_cosine: Annotated[
        float | None, typer.Option(help="Least mean cosine of a text's two vectors.", rich_help_panel=_BOUNDS)
    ] = None,
    worst_cosine: Annotated[
        float | None, typer.Option(help="Least cosine of any text's two vectors.", rich_help_panel=_BOUNDS)
    ] = None,
    overlap: Annotated[
        float | None, typer.Option(help="Least share of the ten best that stay.", rich_help_panel=_BOUNDS)
    ] = None,
    rank_correlation: Annotated[
        float | None, typer.Option(help="Least rank correlation of a reranker's scores.", rich_help_panel=_BOUNDS)
    ] = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Write a model as ONNX, in a folder that retr and sentence-transformers load, and compare it with its original.

    Nothing is written unless every figure is within bounds: vectors or scores against the original's, the ten best, a
    text alone against the same text in a padded batch, and torch's answers where torch is installed.
    """
    from retr.cli.failures import end_in_order
    from retr.cli.output import emit_json
    from retr.encoders.exporting import export as write
    from retr.encoders.exporting.settings import ExportSettings

    asked: Any = precision
    settings = ExportSettings(
        precision=asked,
        weights=weights,
        torch=torch,
        force=force,
        mean_cosine=mean_cosine,
        worst_cosine=worst_cosine,
        overlap=overlap,
        rank_correlation=rank_correlation,
    )
    end_in_order()
    done = write(model, out, settings=settings, texts=texts, report=_reporter(quiet))
    if json:
        emit_json(done)
    else:
        _show(done)


def _reporter(quiet: bool) -> Callable[[str], None]:
    def report(line: str) -> None:
        if not quiet and sys.stderr is not None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    return report


def _show(done: "Exported") -> None:
    from retr.cli.output import print_line, print_table

    record = done.record
    figures: Any = record.figures
    names = list(dict.fromkeys(name for table in figures.values() for name in table))
    rows = [(against, *(_shown(table.get(name)) for name in names)) for against, table in figures.items()]
    bounds = (*("" if name not in record.bounds else f"{record.bounds[name]:g}" for name in names),)
    print_table(("compared", *(name.replace("_", " ") for name in names)), [*rows, ("bound", *bounds)])
    if record.kept:
        print_line(f"kept in float: {', '.join(record.kept)}")
    smaller = f", {done.source_bytes / done.bytes:.1f} times smaller" if record.precision != "float32" else ""
    print_line(f"{done.out}: {record.network}, {record.precision}, {done.bytes / 1e6:.1f} MB{smaller}")


def _shown(value: float | None) -> str:
    """Six decimals: four would round 0.99999 to one."""
    return "" if value is None else f"{value:.6f}"
