"""The picture is a PNG with something in it, and what cannot be drawn is said before anything is measured."""

import sys
from pathlib import Path

import numpy as np
import pytest

from retr.index.dense.settings import Kind
from retr.index.tuning.candidates import Candidate
from retr.index.tuning.plotting import draw
from retr.index.tuning.points import Build, Point, Speed
from retr.index.tuning.running import Tuning
from retr.index.tuning.sampling import Questions
from retr.index.tuning.settings import KINDS, TuneSettings
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.plotting import check_plot


def point(kind: Kind, ms: float, recall: float) -> Point:
    values = np.full(5, recall)
    return Point(Candidate(kind, "float32"), Build(1.0, 10, 10), Speed(ms, ms, ms, 1.0), values, values)


def tuning_of(*points: Point) -> Tuning:
    return Tuning(TuneSettings(), 32, 100, 90, 5, Questions(np.ones((5, 32), np.float32), ("",) * 5), "held out",
                  (point("flat", 2.0, 1.0), *points), point("flat", 2.0, 1.0), ())  # fmt: skip


def pixels(path: Path) -> np.ndarray:
    image = pytest.importorskip("matplotlib.image")
    return np.asarray(image.imread(path))[:, :, :3]


@pytest.fixture(autouse=True)
def _has_matplotlib() -> None:
    pytest.importorskip("matplotlib")


def test_every_kind_is_drawn_in_a_png_of_the_size_told_of(tmp_path: Path) -> None:
    path = tmp_path / "tune.png"
    draw(tuning_of(*(point(kind, 0.1 * n, 0.9 + n / 100) for n, kind in enumerate(KINDS, start=1))), path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    image = pixels(path)
    assert image.shape[:2] == (1_000, 1_600)
    assert 0.01 < np.mean((image < 0.98).any(axis=2)) < 0.5


def test_a_point_more_is_seen(tmp_path: Path) -> None:
    draw(tuning_of(point("pq", 0.5, 0.96)), tmp_path / "one.png")
    draw(tuning_of(point("pq", 0.5, 0.96), point("hnsw", 0.4, 0.94)), tmp_path / "two.png")
    blue = np.array([0x56, 0xB4, 0xE9]) / 255  # hnsw's colour, from the table of colours
    images = [pixels(tmp_path / name) for name in ("one.png", "two.png")]
    close = [np.count_nonzero(np.abs(image - blue).max(axis=2) < 0.15) for image in images]
    assert 2 * close[0] < close[1]


def test_a_lone_exact_point_can_be_drawn(tmp_path: Path) -> None:
    draw(tuning_of(), tmp_path / "one.png")
    assert pixels(tmp_path / "one.png").std() > 0


@pytest.mark.parametrize(
    ("name", "kind", "part"),
    [("tune.jpg", BadInput, "ends with .png"), ("gone/tune.png", NotFound, "folder is not there"),
     ("folder.png", NotFound, "a folder itself")],
)  # fmt: skip
def test_a_plot_that_cannot_be_written_is_refused_early(
    tmp_path: Path, name: str, kind: type[Exception], part: str
) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(kind, match=part):
        check_plot(tmp_path / name)


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(NotFound, match=r"needs the package 'matplotlib'.*pip install 'retr\[plot\]'"):
        check_plot(tmp_path / "tune.png")
