"""What happened at which step: a CSV that a resumed run goes on with, and the curve drawn of it."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLUMNS = ("step", "epoch", "loss", "learning_rate", "rows_per_second", "validation")


class Log:
    """A CSV of the columns above; a cell without a number is empty."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, float]]:
        """What is written, the cells that hold a number."""
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return [{name: float(cell) for name, cell in row.items() if cell} for row in csv.DictReader(file)]

    def go_on_after(self, step: int) -> None:
        """Forget what was written after that step: it will happen again."""
        kept = [row for row in self.rows() if row.get("step", 0) <= step]
        unfinished = self.path.with_name(self.path.name + ".tmp")
        with unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(map(_cells, kept))
        os.replace(unfinished, self.path)

    def add(self, row: Mapping[str, float]) -> None:
        """One more line, written through at once."""
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(_cells(row))


def _cells(row: Mapping[str, float]) -> dict[str, Any]:
    whole = ("step", "epoch")
    return {name: int(value) if name in whole else repr(float(value)) for name, value in row.items()}


def draw_curve(log: Log, path: Path, metric: str) -> bool:
    """The loss, and the validation where there is one, over steps, as a PNG; False without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rows = log.rows()
    losses = [(row["step"], row["loss"]) for row in rows if "loss" in row]
    axes.plot([step for step, _ in losses], [loss for _, loss in losses], color="tab:blue", label="loss")
    axes.set(xlabel="step", ylabel="loss")
    measured = [(row["step"], row["validation"]) for row in rows if "validation" in row]
    if measured:
        other = axes.twinx()
        other.plot([step for step, _ in measured], [value for _, value in measured], "o-", color="tab:orange")
        other.set_ylabel(metric)
    figure.savefig(path, dpi=120)
    return True
