"""Parts are written the same each time, say what they hold, and fail aloud."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.dense import kinds
from retr.index.dense.ann import ANN
from retr.index.dense.kinds import Effort
from retr.index.dense.parts import DensePart, write_part
from retr.index.dense.settings import DenseSettings
from retr.index.disk.fsio import Disk
from retr.retrieval.errors import Damaged, Mismatch

from .conftest import DIM, KINDS, ROWS, STORAGES, Build, all_vectors, clustered, reopened, write

APPROXIMATE = [kind for kind in KINDS if kind != "flat"]


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_part_holds_what_was_written(parts: Build, kind: str, storage: str) -> None:
    part = parts(kind, storage)
    values = all_vectors(part)
    assert values.shape == (len(part), part.dim) == (ROWS, DIM)
    np.testing.assert_array_equal(values, all_vectors(parts("flat", storage)))
    np.testing.assert_array_equal(part.vectors(np.array([2_999, 0, 5])), values[[2_999, 0, 5]])
    if storage == "float32":
        np.testing.assert_array_equal(values, clustered())


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_the_same_bytes(tmp_path: Path, kind: str) -> None:
    settings = DenseSettings(kind=kind)  # type: ignore[arg-type]
    facts = [write(tmp_path / name, clustered(), settings, seed=4) for name in "ab"]
    assert facts[0] == facts[1]
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "b").iterdir())
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_facts_say_what_was_built(tmp_path: Path) -> None:
    facts = write(tmp_path, clustered(), DenseSettings(kind="ivf-pq", storage="int8"))
    assert (facts["kind"], facts["storage"], facts["rows"], facts["dim"]) == ("ivf-pq", "int8", ROWS, DIM)
    assert facts["factory"] == "IVF54,PQ8x4fs"
    assert facts["queries"] == 200
    assert facts["recall"] >= 0.99
    assert "asked" not in facts


@pytest.mark.parametrize("kind", APPROXIMATE)
def test_too_few_rows_to_train_are_flat(tmp_path: Path, kind: str) -> None:
    settings = DenseSettings(kind=kind)  # type: ignore[arg-type]
    facts = write(tmp_path, clustered(1_000), settings)
    assert (facts["kind"], facts["asked"], facts["why"]) == ("flat", kind, "fewer than 1024 rows")
    assert not (tmp_path / ANN).exists()
    assert write(tmp_path, clustered(1_024), settings)["kind"] == kind


def test_auto_is_flat_while_small(tmp_path: Path) -> None:
    facts = write(tmp_path, clustered(), DenseSettings())
    assert (facts["kind"], facts["asked"]) == ("flat", "auto")


def test_auto_codes_more_rows_than_that(tmp_path: Path) -> None:
    facts = write(tmp_path, clustered(9_000, 64), DenseSettings())
    assert (facts["kind"], facts["asked"]) == ("pq", "auto")
    assert facts["recall"] >= 0.99


def test_auto_takes_finer_codes_where_coarse_ones_miss_the_recall(tmp_path: Path) -> None:
    settings = DenseSettings(recall=0.98, refine=8)
    facts = write(tmp_path, clustered(9_000, 64), settings)
    assert (facts["kind"], facts["factory"], facts["part"]) == ("pq", "IVF1,PQ32x4fs", 2)
    assert re.fullmatch(r"pq reached a recall of 0\.\d+ with 80 candidates and 4 numbers to a code", facts["why"])
    [part, plain] = DensePart.open(tmp_path, 9_000, 64, facts), DensePart.open(tmp_path, 9_000, 64, facts | {"part": 4})
    effort = Effort(80, 1)
    assert part.planner.price(effort) == pytest.approx(plain.planner.price(effort) + 9_000 * 0.05)
    assert part.search(clustered(9_000, 64)[5:6], 10).plan.effort == effort


def test_auto_is_flat_where_codes_cannot_tell_the_vectors_apart(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).normal(size=(9_000, DIM)).astype(np.float32)
    facts = write(tmp_path, np.repeat(clustered(3), 3_000, axis=0) + noise * np.float32(1e-4), DenseSettings())
    assert facts["kind"] == "flat"
    assert "recall of" in facts["why"]
    assert not (tmp_path / ANN).exists()


def test_auto_scans_all_codes_where_lists_do_not_pay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "LISTS_ABOVE", 8_999)
    unclustered = np.random.default_rng(6).normal(size=(9_000, DIM)).astype(np.float32)
    facts = write(tmp_path, unclustered, DenseSettings(recall=0.9))
    assert (facts["kind"], facts["factory"]) == ("pq", "IVF1,PQ8x4fs")
    assert re.fullmatch(r"ivf-pq would search \d+ of 94 lists, which costs more than .*", facts["why"])


def test_auto_searches_lists_where_they_pay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "LISTS_ABOVE", 8_999)
    assert write(tmp_path, clustered(9_000), DenseSettings())["kind"] == "ivf-pq"


@pytest.mark.parametrize(("kind", "built"), [("pq", "flat"), ("ivf-pq", "ivf-sq8")])
def test_a_dim_that_no_code_divides_gets_another_kind(tmp_path: Path, kind: str, built: str) -> None:
    facts = write(tmp_path, clustered(2_000, 37), DenseSettings(kind=kind))  # type: ignore[arg-type]
    assert (facts["kind"], facts["asked"]) == (built, kind)
    assert "37 numbers" in facts["why"]


@pytest.mark.parametrize("dim", [30, 27, 35])
def test_codes_of_other_sizes_are_used_where_four_does_not_divide(tmp_path: Path, dim: int) -> None:
    part = reopened(tmp_path, clustered(2_000, dim), DenseSettings(kind="pq"))
    found = part.search(clustered(4, dim, seed=8), 10)
    assert found.plan.effort is not None
    assert (found.rows >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_can_be_written_and_searched(tmp_path: Path, kind: str) -> None:
    names, facts = write_part(Disk(), tmp_path, [], DIM, DenseSettings(kind=kind))  # type: ignore[arg-type]
    part = DensePart.open(tmp_path, 0, DIM, facts)
    assert part.search(clustered(2), 3).rows.tolist() == [[-1] * 3] * 2
    assert names == ["dense.npy"]


def test_one_row_is_found(tmp_path: Path) -> None:
    assert reopened(tmp_path, clustered(1), DenseSettings()).search(clustered(1), 2).rows.tolist() == [[0, -1]]


def test_a_folder_of_format_1_opens_without_facts(tmp_path: Path) -> None:
    values = clustered(20)
    np.save(tmp_path / "dense.npy", values)
    part = DensePart.open(tmp_path, 20, DIM, {})
    np.testing.assert_array_equal(all_vectors(part), values)
    assert part.search(values[3:4], 1).rows.tolist() == [[3]]


@pytest.mark.parametrize("kind", ["flat", "pq", "hnsw"])
def test_removed_files_stay_readable_while_a_part_is_open(tmp_path: Path, kind: str) -> None:
    part = reopened(tmp_path, clustered(), DenseSettings(kind=kind))  # type: ignore[arg-type]
    for path in tmp_path.iterdir():
        path.unlink()
    assert part.search(clustered()[9:10], 1).rows.tolist() == [[9]]


def test_opening_a_part_does_not_import_faiss(tmp_path: Path) -> None:
    facts = write(tmp_path, clustered(), DenseSettings(kind="pq"))
    code = (
        "import sys; from pathlib import Path; from retr.index.dense.parts import DensePart\n"
        f"DensePart.open(Path({str(tmp_path)!r}), {ROWS}, {DIM}, {facts!r})\n"
        "sys.exit('faiss' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@pytest.mark.parametrize(
    "change", [{"kind": "magic"}, {"storage": "float8"}, {"rows": 5}, {"dim": 5}, {"refine": None}, {"deep": {}}]
)
def test_facts_that_do_not_fit_are_damage(tmp_path: Path, change: dict[str, Any]) -> None:
    facts = write(tmp_path, clustered(), DenseSettings(kind="pq"))
    with pytest.raises(Damaged, match="retr check"):
        DensePart.open(tmp_path, ROWS, DIM, facts | change)


def test_an_index_of_other_vectors_is_damage(tmp_path: Path) -> None:
    facts = write(tmp_path / "a", clustered(), DenseSettings(kind="pq"))
    write(tmp_path / "b", clustered(2_000), DenseSettings(kind="pq"))
    (tmp_path / "b" / ANN).replace(tmp_path / "a" / ANN)
    part = DensePart.open(tmp_path / "a", ROWS, DIM, facts)
    with pytest.raises(Damaged, match="2000 vectors of 32 numbers, not 3000"):
        part.search(clustered(1), 1)


@pytest.mark.parametrize("content", [b"", b"IwPf and then nothing", b"no index at all"])
def test_a_file_that_is_no_index_is_damage(tmp_path: Path, content: bytes) -> None:
    facts = write(tmp_path, clustered(), DenseSettings(kind="pq"))
    (tmp_path / ANN).write_bytes(content)
    with pytest.raises(Damaged, match="retr check"):
        DensePart.open(tmp_path, ROWS, DIM, facts).search(clustered(1), 1)


def test_queries_of_another_dim_are_refused(parts: Build) -> None:
    with pytest.raises(Mismatch, match="vectors of 32 numbers; the queries have 8"):
        parts("pq").search(clustered(1, 8), 1)


class FullDisk(Disk):
    """No file may grow beyond so many bytes."""

    def __init__(self, most: int) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.most = most

    def __enter__(self) -> "FullDisk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.most, self.before[1]))
        return self

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.mark.parametrize(
    ("kind", "storage", "most"),
    [("flat", "float32", 100_000), ("flat", "int8", 5_000), ("flat", "int8", 64), ("hnsw", "binary", 60_000)],
    ids=["vectors", "codes", "header", "index"],
)
def test_a_full_disk_is_an_os_error(tmp_path: Path, kind: str, storage: str, most: int) -> None:
    settings = DenseSettings(kind=kind, storage=storage)  # type: ignore[arg-type]
    with FullDisk(most) as disk, pytest.raises(OSError, match="File too large"):
        write_part(disk, tmp_path, [clustered()], DIM, settings)
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= most
