"""A short name from a table, or `module:attribute` of the user's own, to the object itself.

A table is a plain dict `name -> "module:attribute"`, so listing what exists imports nothing heavy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from retr.retrieval.errors import BadInput, NotFound, unknown


@dataclass(frozen=True, slots=True)
class Spec:
    """`kind=source`, as given to `--encoder` and `--rerank`: which class, and what it loads."""

    kind: str
    source: str

    @classmethod
    def parse(cls, text: str, *, default_kind: str) -> "Spec":
        """`bi=folder`, `package.module:Class=folder`, or just `folder` for the default kind."""
        kind, equals, source = text.partition("=")
        kind, source = (kind, source) if equals else (default_kind, text)
        if not kind.strip() or not source.strip():
            raise BadInput(f"{text!r} is not of the form KIND=SOURCE, such as {default_kind}=path/to/model.")
        return cls(kind.strip(), source.strip())

    def __str__(self) -> str:
        return f"{self.kind}={self.source}"


def resolve(name: str, table: Mapping[str, str], what: str) -> Any:
    """The object that `name` stands for, imported now."""
    target = table.get(name, name)
    module, colon, attribute = target.partition(":")
    if not colon:
        raise unknown(what, name, table)
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise NotFound(f"No module {module!r} for the {what} {name!r}. Check the spelling and PYTHONPATH.") from None
    except AttributeError:
        raise NotFound(f"The module {module!r} has no {attribute!r}; the {what} {name!r} cannot be loaded.") from None
