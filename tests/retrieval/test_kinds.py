"""Names from tables, and `module:attribute` of the user's own."""

from pathlib import Path

import pytest

from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.kinds import Spec, resolve

TABLE = {"join": "os.path:join", "gone": "os.path:no_such_thing"}


def test_a_name_of_the_table_is_imported() -> None:
    import os.path

    assert resolve("join", TABLE, "thing") is os.path.join


def test_a_class_of_the_users_own_needs_no_table() -> None:
    assert resolve("pathlib:Path", {}, "thing") is Path


def test_an_unknown_name_names_the_near_one() -> None:
    with pytest.raises(NotFound, match=r"No thing named 'jion'\. Did you mean 'join'"):
        resolve("jion", TABLE, "thing")


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match=r"No module 'no_such_package\.part'"):
        resolve("no_such_package.part:Class", {}, "encoder")


def test_an_attribute_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match=r"'os\.path' has no 'no_such_thing'"):
        resolve("gone", TABLE, "thing")


def test_a_defect_inside_the_users_module_keeps_its_own_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_module_of_a_user.py").write_text("import a_package_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_missing"):
        resolve("broken_module_of_a_user:Class", {}, "encoder")


@pytest.mark.parametrize(
    ("text", "kind", "source"),
    [
        ("bi=folder", "bi", "folder"),
        ("folder", "bi", "folder"),
        ("my.module:Class=some=thing", "my.module:Class", "some=thing"),
        (" bi = a folder ", "bi", "a folder"),
    ],
)
def test_a_spec_is_kind_and_source(text: str, kind: str, source: str) -> None:
    assert Spec.parse(text, default_kind="bi") == Spec(kind, source)


@pytest.mark.parametrize("text", ["", "=folder", "bi=", " = "])
def test_half_a_spec_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="KIND=SOURCE"):
        Spec.parse(text, default_kind="bi")


def test_a_spec_is_written_as_it_is_read() -> None:
    assert Spec.parse(str(Spec("bi", "x")), default_kind="cross") == Spec("bi", "x")
