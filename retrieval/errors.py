"""What a user can act on: one base class, four kinds, and the helpers that word them.

RetrError
├── BadInput    the input or an argument is not acceptable
├── NotFound    a file, a name or an optional package is not there
├── Mismatch    two things that must agree do not (an index and its encoder, two dimensions)
└── Damaged     a file on disk is not what was written

A message says what is wrong, the value given, what is accepted, and what to do. The command line prints it as one
line and exits with 1; every other exception keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class RetrError(Exception):
    """Something that the user can put right."""


class BadInput(RetrError):
    """An argument or a piece of input is not acceptable."""


class NotFound(RetrError):
    """A file, a name or an optional package is not there."""


class Mismatch(RetrError):
    """Two things that must agree do not."""


class Damaged(RetrError):
    """A file on disk is not what was written."""


def unknown(what: str, name: str, known: Iterable[str]) -> NotFound:
    """The error for a name that is in no table, with the nearest known one."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return NotFound(f"No {what} named {name!r}.{hint} Known: {', '.join(names) or 'none'}.")


def missing_package(package: str, *, needed_for: str, extra: str) -> NotFound:
    """The error for an optional package that is not installed."""
    return NotFound(
        f"{needed_for} needs the package {package!r}, which is not installed. Run: pip install 'retr[{extra}]'"
    )
