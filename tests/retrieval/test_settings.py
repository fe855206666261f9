"""TOML tables become settings classes, or an error that says where and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from retr.retrieval.errors import BadInput, NotFound, RetrError
from retr.retrieval.settings import load_toml, settings_from


@dataclass(frozen=True, slots=True)
class Inner:
    """A nested table."""

    depth: int = 1


@dataclass(frozen=True, slots=True)
class Everything:
    """One field of every type that settings use."""

    name: str
    rate: float = 0.5
    count: int = 3
    quick: bool = False
    mode: Literal["dense", "lexical", 7] = "dense"
    limit: int | None = None
    out: Path = Path()
    fields: tuple[str, ...] = ()
    pair: tuple[int, float] = (1, 2.0)
    layers: list[int] = field(default_factory=list)
    either: int | str = 0
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    free: Any = None
    derived: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise BadInput(f"count must not be negative; got {self.count}.")


def build(**table: Any) -> Everything:
    return settings_from(Everything, {"name": "x", **table}, "recipe.toml [train]")


def test_every_type_is_read() -> None:
    made = build(
        rate=1, quick=True, mode="lexical", limit=5, out="a/b", fields=["t", "u"], pair=[3, 4], layers=[1],
        either="text", inner={"depth": 2}, many=[{"depth": 3}, {}], weights={"a": 1}, free={"k": [1]},
    )  # fmt: skip
    assert made == Everything(
        "x", 1.0, 3, True, "lexical", 5, Path("a/b"), ("t", "u"), (3, 4.0), [1],
        "text", Inner(2), (Inner(3), Inner()), {"a": 1.0}, {"k": [1]},
    )  # fmt: skip
    assert isinstance(made.rate, float)
    assert isinstance(made.pair[1], float)


def test_what_is_left_out_keeps_its_default() -> None:
    assert build() == Everything("x")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"count": True}, r"recipe.toml \[train\]: count: expected a whole number, got bool True"),
        ({"count": 1.0}, "count: expected a whole number, got float 1.0"),
        ({"rate": "fast"}, "rate: expected a number, got str 'fast'"),
        ({"rate": True}, "rate: expected a number, got bool True"),
        ({"quick": 1}, "quick: expected true or false, got int 1"),
        ({"name": 5}, "name: expected a string, got int 5"),
        ({"mode": "dens"}, "mode: expected one of 'dense', 'lexical', 7, got str 'dens'"),
        ({"limit": "5"}, "limit: expected a whole number, got str '5'"),
        ({"fields": "title"}, "fields: expected an array of a string, got str 'title'"),
        ({"fields": ["a", 1]}, r"fields\[1\]: expected a string, got int 1"),
        ({"pair": [1]}, "pair: expected 2 values, got 1"),
        ({"either": 1.5}, "either: expected a whole number or a string, got float 1.5"),
        ({"inner": 3}, "inner: expected a table, got int 3"),
        ({"inner": {"depth": "x"}}, "inner: depth: expected a whole number"),
        ({"many": [{"depth": None}]}, r"many\[0\]: depth"),
        ({"weights": {"a": "b"}}, "weights.a: expected a number"),
        ({"weights": [1]}, "weights: expected a table, got list"),
        ({"count": -1}, r"recipe.toml \[train\]: count must not be negative; got -1"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(table: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        build(**table)


def test_an_unknown_key_names_the_near_one() -> None:
    with pytest.raises(NotFound, match=r"setting of recipe.toml \[train\] named 'contu'\. Did you mean 'count'"):
        build(contu=3)


def test_a_nested_unknown_key_says_in_which_table() -> None:
    with pytest.raises(NotFound, match=r"\[train\]: inner named 'dept'\. Did you mean 'depth'"):
        build(inner={"dept": 3})


def test_a_field_that_cannot_be_given_is_unknown() -> None:
    with pytest.raises(NotFound, match="derived"):
        build(derived=3)


def test_a_missing_key_says_what_it_should_be() -> None:
    with pytest.raises(BadInput, match=r"r: name is missing\. Give it a string"):
        settings_from(Everything, {}, "r")


def test_errors_are_one_line() -> None:
    with pytest.raises(RetrError) as caught:
        build(name=["line\n" * 50])
    assert "\n" not in str(caught.value)


def test_a_toml_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[train]\nname = "é"\n', encoding="utf-8")
    assert load_toml(path) == {"train": {"name": "é"}}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file .*gone\.toml"):
        load_toml(tmp_path / "gone.toml")


def test_a_folder_is_no_toml_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        load_toml(tmp_path)


@pytest.mark.parametrize(("content", "says"), [(b"a = \n", "line 1"), (b"a = '\xff'", "not UTF-8 at byte 5")])
def test_a_broken_file_says_where(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=says):
        load_toml(path)
