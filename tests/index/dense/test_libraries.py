"""FAISS's OpenBLAS has the processor's kernels, also where it is older than it, and threads of its OpenMP sleep."""

import os
from pathlib import Path

import pytest

from retr.index.dense import libraries
from retr.index.dense.engine import faiss

AVX2 = {"sse2", "avx2", "fma"}
AVX512 = AVX2 | {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
ONE_CORE = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: a new one\nflags\t\t: {flags}\n"


@pytest.mark.parametrize(
    ("vendor", "flags", "core"),
    [
        ("GenuineIntel", AVX512, "SkylakeX"),
        ("GenuineIntel", AVX512 - {"avx512vl"}, "Haswell"),
        ("GenuineIntel", AVX2, "Haswell"),
        ("GenuineIntel", {"sse2", "avx"}, None),
        ("AuthenticAMD", AVX512, "Zen"),
        ("AuthenticAMD", AVX2, "Zen"),
        ("AuthenticAMD", AVX2 - {"fma"}, None),
        ("CentaurHauls", AVX512, None),
        ("", set(), None),
    ],
)
def test_the_kernels_go_by_what_a_processor_can_do(vendor: str, flags: set[str], core: str | None) -> None:
    assert libraries.core_for(vendor, flags) == core


def test_kernels_and_waiting_are_told_while_a_library_is_loaded_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(libraries.CORETYPE, raising=False)
    monkeypatch.delenv(libraries.WAITING, raising=False)
    cpuinfo = tmp_path / "cpuinfo"
    cores = [ONE_CORE.format(flags=" ".join(flags)) for flags in (sorted(AVX512), ["sse2"])]
    cpuinfo.write_text("\n".join(cores))
    with pytest.raises(ImportError), libraries.told(cpuinfo):
        assert (os.environ[libraries.CORETYPE], os.environ[libraries.WAITING]) == ("SkylakeX", "passive")
        raise ImportError
    assert not {libraries.CORETYPE, libraries.WAITING} & set(os.environ)
    with libraries.told(tmp_path / "none"):
        assert libraries.CORETYPE not in os.environ


def test_what_the_user_has_named_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(ONE_CORE.format(flags=" ".join(AVX2)))
    named = {libraries.CORETYPE: "Sandybridge", libraries.WAITING: "active"}
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    with libraries.told(cpuinfo):
        assert named.items() <= os.environ.items()
    assert named.items() <= os.environ.items()


def test_faiss_has_taken_them_here() -> None:
    wanted = libraries.core_for(*libraries._processor(libraries.CPUINFO))
    faiss()
    taken = libraries.loaded_core()
    if wanted is None or taken is None or libraries.CORETYPE in os.environ:
        pytest.skip("another system or processor, another build of FAISS, or kernels named by the user")
    assert taken == wanted
