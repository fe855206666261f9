"""What an export is asked for, and how near to its original it must come."""

from dataclasses import dataclass, fields, replace
from typing import Any

from retr.encoders.reading.record import Figures, Precision
from retr.retrieval.errors import BadInput, unknown

PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")

NETWORKS: dict[Precision, str] = {
    "float32": "onnx/model.onnx",
    "float16": "onnx/model_fp16.onnx",
    "int8": "onnx/model_int8.onnx",
}
"""Precision to the network's file in the folder."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least or, for errors, the most that each figure may be.

    Cosines are between a text's two vectors; `overlap` is the share of the ten best of each text (of all pairs, for
    scores) that stay so; `rank_correlation` is Spearman's; `score_error` is the largest change of a score over the
    scores' standard deviation; `batch_error` is the largest change of a number when a text shares a padded batch.
    """

    mean_cosine: float
    worst_cosine: float
    overlap: float
    rank_correlation: float
    score_error: float
    batch_error: float

    def broken(self, figures: Figures) -> list[str]:
        """What is out of bounds, in words; a figure that is not a number is."""
        found = []
        for field in fields(self):
            if field.name not in figures:
                continue
            value, bound = figures[field.name], getattr(self, field.name)
            error = field.name.endswith("_error")
            if not (value <= bound if error else value >= bound):
                found.append(f"{field.name} is {value:.8g}, {'over' if error else 'under'} {bound:g}")
        return found


BOUNDS: dict[Precision, Bounds] = {
    "float32": Bounds(0.999999, 0.99999, 0.99, 0.9999, 1e-3, 1e-4),
    "float16": Bounds(0.9999, 0.999, 0.95, 0.999, 0.02, 1e-3),
    "int8": Bounds(0.998, 0.995, 0.85, 0.99, 0.25, 1e-3),
}
"""What is asked of each precision, unless the user asks for something else."""


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How to export. `weights`: also copy the float weights, so that sentence-transformers loads the folder.

    `torch`: also compare with torch, where it is installed.
    """

    precision: Precision = "float32"
    weights: bool = True
    torch: bool = True
    force: bool = False
    mean_cosine: float | None = None
    worst_cosine: float | None = None
    overlap: float | None = None
    rank_correlation: float | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        for name, value in self._asked().items():
            if not -1 <= value <= 1:
                raise BadInput(f"{name} is {value:g}; give a number from -1 to 1, such as 0.995.")

    @property
    def bounds(self) -> Bounds:
        """What the precision must reach, with what the user asked for in place."""
        return replace(BOUNDS[self.precision], **self._asked())

    def _asked(self) -> dict[str, Any]:
        names = ("mean_cosine", "worst_cosine", "overlap", "rank_correlation")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}
