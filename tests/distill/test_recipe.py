"""Recipes: what stands in them reaches the method, and what is wrong is named with its file."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from retr.distill import METHODS
from retr.distill.recipe import Method, read_recipe
from retr.distill.static.settings import StaticSettings
from retr.retrieval.errors import RetrError
from retr.retrieval.kinds import resolve

GUIDES = [Path(__file__).parents[2] / "docs" / name for name in ("distilling.md", "static.md")]
RECIPES = [
    text
    for page in GUIDES
    for text in re.findall(r"^```toml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if "method" in tomllib.loads(text)
]
GOOD = 'method = "static"\nteacher = "t"\nout = "o"\n'


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_table_is_one(name: str) -> None:
    assert isinstance(resolve(name, METHODS, "method"), Method)


def test_a_recipe_is_read_and_flags_stand_above_it(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(GOOD + 'seed = 4\ncorpus = ["a.txt", "b"]\n[static]\ndim = 64\n')
    plan = read_recipe(path)
    assert plan.settings == StaticSettings(dim=64)
    assert (plan.recipe.out, plan.recipe.seed, plan.recipe.corpus) == (Path("o"), 4, ("a.txt", "b"))
    other = read_recipe(path, out=Path("p"), seed=0).recipe
    assert (other.out, other.seed) == (Path("p"), 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "method is missing"),
        ('method = "statik"', "Did you mean 'static'"),
        ('method = "json:loads"', "is no method"),
        ('method = "static"\nout = "o"', "teacher is missing"),
        (GOOD + 'techer = "x"', "Did you mean 'teacher'"),
        (GOOD + "seed = -1", "seed is -1"),
        (GOOD + "corpus = 3", "corpus: expected"),
        (GOOD + "static = 3", r"\[static\]: expected a table"),
        (GOOD + "[static]\ndims = 3", "Did you mean 'dim'"),
        (GOOD + "[static]\ndim = -3", "dim is -3"),
        (GOOD + '[static]\nstorage = "int4"', "'int8'"),
        (GOOD + "[dse]\na = 1", "'dse'"),
    ],
)
def test_a_wrong_recipe_is_named_with_its_file(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(RetrError, match=says) as caught:
        read_recipe(path)
    assert "r.toml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_recipe_runs(make_bi: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    sentences = "".join(
        f"The {word} fish swims in cold water. A stone falls.\n\n" for word in "abcdefghijklmnopqrstu" * 9
    )
    (tmp_path / "c.txt").write_text(sentences)
    path.write_text(
        f'method = "static"\nteacher = "bi={make_bi()}"\nout = "{tmp_path / "o"}"\ncorpus = "{tmp_path / "c.txt"}"\n'
        "[static]\ndim = 4\nheld_out = 20\n"
    )
    seen = set()
    told = read_recipe(path).run(lambda unit, done, total: seen.add(unit))
    assert told["figures"]["dim"] == 4
    assert seen == {"documents", "words", "passages", "fitting steps", "held-out passages"}


def test_the_guides_hold_recipes() -> None:
    assert {tomllib.loads(text)["method"] for text in RECIPES} == {"static", "margin-mse", "dse"}


@pytest.mark.parametrize("text", RECIPES, ids=lambda text: tomllib.loads(text)["method"])
def test_every_recipe_of_the_guides_is_sound(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = tomllib.loads(text).get("model")
    if model:
        Path(model).mkdir(parents=True)
    Path("r.toml").write_text(text)
    assert read_recipe(Path("r.toml")).recipe.method == tomllib.loads(text)["method"]
