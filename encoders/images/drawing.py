"""A picture of an alignment: the image, and for each of some words how like it every patch is."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from retr.encoders.images.alignment import Alignment
from retr.retrieval.errors import BadInput
from retr.retrieval.plotting import check_plot, figure_class

if TYPE_CHECKING:
    from PIL.Image import Image

PANEL = 2.2
"""Inches of one panel."""


def draw_alignments(
    image: "Image", alignments: Sequence[tuple[str, Alignment]], words: Sequence[str], out: Path
) -> None:
    """A PNG: a row for each named alignment of one image, as the model sees it; the image, then a panel for each word.

    A panel is bright where a patch is like the word, from its own least to its own greatest; a frame stands around
    the patch that is most like it.
    """
    if not alignments or not words:
        raise BadInput(f"{len(alignments)} alignments and {len(words)} words were given; give at least one of each.")
    check_plot(out)
    pixels = np.asarray(image.convert("RGB"))
    rows, columns = len(alignments), len(words) + 1
    figure = figure_class()(figsize=(PANEL * columns, PANEL * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for row, (name, alignment) in enumerate(alignments):
        panels[row][0].imshow(pixels)
        panels[row][0].set_ylabel(name)
        for panel, word in zip(panels[row][1:], words, strict=True):
            heat = alignment.heat_of(word)
            panel.imshow(pixels)
            extent = (-0.5, pixels.shape[1] - 0.5, pixels.shape[0] - 0.5, -0.5)
            panel.imshow(heat, cmap="magma", alpha=0.75, extent=extent, interpolation="nearest")
            _frame(panel, int(heat.argmax()), alignment.grid, pixels.shape)
            panel.set_title(word, fontsize=9)
        for panel in panels[row]:
            panel.set_xticks([])
            panel.set_yticks([])
    figure.savefig(out, dpi=110)


def _frame(panel: object, patch: int, grid: tuple[int, int], shape: tuple[int, ...]) -> None:
    high, wide = shape[0] / grid[0], shape[1] / grid[1]
    top, left = (patch // grid[1]) * high - 0.5, (patch % grid[1]) * wide - 0.5
    xs = [left, left + wide, left + wide, left, left]
    ys = [top, top, top + high, top + high, top]
    panel.plot(xs, ys, color="cyan", linewidth=1.5)  # type: ignore[attr-defined]  # matplotlib's axes, if installed.
