"""What every plot starts with: whether a PNG can be written at a path, and matplotlib's figure without a window."""

from pathlib import Path
from typing import Any

from retr.retrieval.errors import BadInput, NotFound, missing_package


def check_plot(path: Path) -> None:
    """Whether a plot could be written there, said before the work begins: BadInput or NotFound otherwise."""
    if path.suffix.lower() != ".png":
        raise BadInput(f"--plot writes a PNG; got {str(path)!r}. Give a name that ends with .png.")
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise NotFound(f"The plot {str(path)!r} cannot be written: its folder is not there, or it is a folder itself.")
    figure_class()


def figure_class() -> Any:
    """matplotlib's `Figure`; NotFound without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_package("matplotlib", needed_for="A plot", extra="plot") from None
    return Figure
