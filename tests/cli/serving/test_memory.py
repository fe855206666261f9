"""The server's heaps: shared where glibc can be asked for it, and nothing breaks elsewhere."""

import ctypes
import platform

import pytest

from retr.cli.serving.memory import share_heaps


def test_heaps_are_shared_where_there_is_glibc() -> None:
    assert share_heaps() == (platform.libc_ver()[0] == "glibc")


def test_a_libc_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert share_heaps() is False
