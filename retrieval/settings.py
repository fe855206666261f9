"""Tables of a TOML file to frozen settings classes, checked; field, TOML key and flag are the same word."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from retr.retrieval.errors import BadInput, NotFound, RetrError, unknown

Settings = TypeVar("Settings")

_WORDS = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


def load_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; NotFound without the file, BadInput with the line where it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"There is no file {str(path)!r}. Check the path.") from None
    except IsADirectoryError:
        raise BadInput(f"{str(path)!r} is a folder; a TOML file is needed.") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 at byte {error.start}; TOML files are UTF-8. Save it so.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path}: not TOML: {error}. Correct that place.") from None


def settings_from(cls: type[Settings], table: Mapping[str, Any], where: str) -> Settings:
    """Build the dataclass `cls` from a table; `where` (a file, a `[table]`) leads every error.

    Unknown keys, missing keys and values of another type are errors. A whole number stands for a float, a string for
    a Path, an array for a tuple or list, a table for a nested dataclass; nothing else is converted.
    """
    if not isinstance(table, Mapping):
        raise BadInput(f"{where}: expected a table, got {_shown(table)}. Write it as key = value lines.")
    hints = get_type_hints(cls)
    known = [field for field in fields(cls) if field.init]  # type: ignore[arg-type]  # cls is a dataclass by contract.
    names = [field.name for field in known]
    for key in table:
        if key not in names:
            raise unknown(f"setting of {where}", key, names)
    for field in known:
        if field.name not in table and field.default is MISSING and field.default_factory is MISSING:
            raise BadInput(f"{where}: {field.name} is missing. Give it {_describe(hints[field.name])}.")
    values = {key: _convert(value, hints[key], f"{where}: {key}") for key, value in table.items()}
    try:
        return cls(**values)
    except RetrError as error:
        raise type(error)(f"{where}: {error}") from None


def _convert(value: Any, hint: Any, where: str) -> Any:
    """The value as `hint` has it, or BadInput."""
    origin = get_origin(hint)
    if hint is Any:
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        return settings_from(hint, value, where)
    if origin in (Union, UnionType):
        return _convert_union(value, hint, where)
    if origin is Literal:
        return _convert_literal(value, hint, where)
    if (origin or hint) in (tuple, list):
        return _convert_array(value, hint, where)
    if isinstance(origin or hint, type) and issubclass(origin or hint, Mapping):
        return _convert_table(value, hint, where)
    return _convert_scalar(value, hint, where)


def _convert_scalar(value: Any, hint: Any, where: str) -> Any:
    if type(value) is hint:
        return value
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    raise _wrong(value, hint, where)


def _convert_literal(value: Any, hint: Any, where: str) -> Any:
    if any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
        return value
    raise _wrong(value, hint, where)


def _convert_union(value: Any, hint: Any, where: str) -> Any:
    choices = [choice for choice in get_args(hint) if choice is not NoneType]
    if len(choices) == 1:
        return _convert(value, choices[0], where)  # TOML has no null: leaving the key out is how None is written.
    for choice in choices:
        try:
            return _convert(value, choice, where)
        except RetrError:
            continue
    raise _wrong(value, hint, where)


def _convert_array(value: Any, hint: Any, where: str) -> Any:
    if not isinstance(value, list | tuple):
        raise _wrong(value, hint, where)
    whole = get_origin(hint) or hint
    parts = get_args(hint)
    if whole is tuple and parts and parts[-1] is not Ellipsis:
        if len(value) != len(parts):
            raise BadInput(f"{where}: expected {len(parts)} values, got {len(value)}.")
        return tuple(
            _convert(item, part, f"{where}[{at}]") for at, (item, part) in enumerate(zip(value, parts, strict=True))
        )
    each = parts[0] if parts else Any
    return whole(_convert(item, each, f"{where}[{at}]") for at, item in enumerate(value))


def _convert_table(value: Any, hint: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _wrong(value, hint, where)
    each = get_args(hint)[1] if len(get_args(hint)) == 2 else Any
    return {key: _convert(item, each, f"{where}.{key}") for key, item in value.items()}


def _wrong(value: Any, hint: Any, where: str) -> BadInput:
    return BadInput(f"{where}: expected {_describe(hint)}, got {_shown(value)}. Correct the value.")


def _describe(hint: Any) -> str:
    """A type in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint]
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in parts)
    if origin in (Union, UnionType):
        return " or ".join(_describe(part) for part in parts if part is not NoneType)
    if (origin or hint) in (tuple, list):
        return "an array" + (f" of {_describe(parts[0])}" if parts and parts[0] is not Any else "")
    return "a table"


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
