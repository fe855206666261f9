"""A recipe: the TOML file that says what is distilled from which teacher, by which method, into which folder."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retr.distill import METHODS
from retr.retrieval.errors import BadInput, NotFound, RetrError
from retr.retrieval.kinds import resolve
from retr.retrieval.records import Document
from retr.retrieval.settings import load_toml, settings_from

Report = Callable[[str, int, int], None]
"""What is counted, how many are done, of how many."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a method is told that reads documents: `corpus` is one source or several, anything that `retr index` reads.

    Paths are taken from the folder in which the command runs. What a method alone knows stands in a table of its name.
    """

    method: str
    teacher: str
    out: Path
    seed: int = 0
    corpus: str | tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise BadInput(f"seed is {self.seed}; give a whole number of at least 0.")

    def documents(self, report: Report) -> Iterator[Document] | None:
        """The corpus, counted as it is read; None without one. The sources are looked up at once."""
        from retr.retrieval.corpus import read_documents

        sources = [self.corpus] if isinstance(self.corpus, str) else list(self.corpus)
        return _counted(read_documents(sources), report) if sources else None


@dataclass(frozen=True, slots=True)
class Method:
    """A method of distillation: the class of its settings, and what makes the student and says what came of it.

    `recipe` is the class of what stands outside of the method's own table: at least method, out and seed.
    """

    settings: type[Any]
    run: Callable[[Any, Any, Report], Mapping[str, Any]]
    recipe: type[Any] = Recipe


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe that was read and found sound, with its method and that method's settings."""

    recipe: Any
    method: Method
    settings: Any

    def run(self, report: Report = lambda unit, done, total: None) -> Mapping[str, Any]:
        """Make the student; what its retr.json says."""
        return self.method.run(self.recipe, self.settings, report)


def read_recipe(path: Path, *, out: Path | None = None, seed: int | None = None) -> Plan:
    """The plan in a TOML file; `out` and `seed` stand above what it says. BadInput or NotFound for one that is none."""
    tables = load_toml(path)
    name = tables.get("method")
    if not isinstance(name, str):
        raise BadInput(f"{path}: method is missing or no string. Known: {', '.join(METHODS)}.")
    method = _method(path, name)
    settings = settings_from(method.settings, tables.pop(name, {}), f"{path}: [{name}]")
    recipe = settings_from(method.recipe, tables, str(path))
    recipe = replace(recipe, out=out or recipe.out, seed=recipe.seed if seed is None else seed)
    return Plan(recipe, method, settings)


def _method(path: Path, name: str) -> Method:
    try:
        method = resolve(name, METHODS, "method")
    except RetrError as error:
        raise type(error)(f"{path}: {error}") from None
    if not isinstance(method, Method):
        raise NotFound(f"{path}: {name!r} is no method of distillation. Known: {', '.join(METHODS)}.")
    return method


def _counted(documents: Iterator[Document], report: Report) -> Iterator[Document]:
    for number, document in enumerate(documents, start=1):
        yield document
        report("documents", number, number)
