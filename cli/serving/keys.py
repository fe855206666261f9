"""API keys: who may read and who may write. Held as hashes, compared in constant time, never logged."""

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retr.retrieval.errors import BadInput, NotFound

Scope = Literal["read", "write"]
VARIABLE = "RETR_SERVE_KEYS"
SHORTEST = 16


@dataclass(frozen=True, slots=True)
class Keys:
    """SHA-256 of each key, and what it may do; `write` includes `read`. Without any, `default` holds for all."""

    scopes: Mapping[bytes, Scope]
    default: Scope | None = None

    @property
    def wanted(self) -> bool:
        """Whether callers must give a key."""
        return bool(self.scopes)

    def scope_of(self, key: str | None) -> Scope | None:
        """What the holder of a key may do; None for a wrong or missing one. Every key is compared, whichever fits."""
        if not self.scopes:
            return self.default
        given = _hashed((key or "").encode("utf-8", "surrogateescape"))
        found: Scope | None = None
        for known, scope in self.scopes.items():
            if hmac.compare_digest(known, given):
                found = scope
        return found


def read_keys(path: Path | None, *, environment: Mapping[str, str] = os.environ, default: Scope = "read") -> Keys:
    """The keys of a file and of RETR_SERVE_KEYS. `default` is what callers may do where there are none.

    A file has lines `read KEY` or `write KEY`, and comments after #; the variable has `read:KEY,write:KEY`.
    """
    pairs: list[tuple[str, str, str]] = []
    if path is not None:
        pairs += _of_file(path)
    text = environment.get(VARIABLE, "")
    pairs += [
        (f"{VARIABLE}, key {number}", *_split(part, ":", f"{VARIABLE}, key {number}"))
        for number, part in enumerate((part for part in text.split(",") if part.strip()), start=1)
    ]
    return Keys(_checked(pairs), default)


def _of_file(path: Path) -> list[tuple[str, str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise NotFound(f"There is no file of keys {str(path)!r}. Make one with lines such as `read KEY`.") from None
    except UnicodeDecodeError:
        raise BadInput(f"The file of keys {str(path)!r} is not UTF-8. Save it so.") from None
    found = []
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].strip()
        if words:
            where = f"{path}, line {number}"
            found.append((where, *_split(words, None, where)))
    if not found:
        raise BadInput(f"The file of keys {str(path)!r} holds no key. Write lines such as `read KEY` into it.")
    return found


def _split(text: str, separator: str | None, where: str) -> tuple[str, str]:
    parts = [part.strip() for part in text.split(separator, 1)]
    if len(parts) != 2:  # the text may be a key: it is not shown
        raise BadInput(f"{where}: a scope and a key are needed, such as read{separator or ' '}KEY. Correct it.")
    return parts[0], parts[1]


def _checked(pairs: Iterable[tuple[str, str, str]]) -> dict[bytes, Scope]:
    found: dict[bytes, Scope] = {}
    for where, scope, key in pairs:
        if scope not in ("read", "write"):
            raise BadInput(f"{where}: the first word is no scope; known: read, write. Correct it.")
        if len(key) < SHORTEST or len(key.split()) != 1:
            raise BadInput(
                f"{where}: a key has at least {SHORTEST} characters and no spaces; this one has {len(key)}. "
                "`openssl rand -hex 24` makes one."
            )
        known: Scope = "write" if scope == "write" else "read"
        if found.setdefault(_hashed(key.encode()), known) != known:
            raise BadInput(f"{where}: the same key stands twice, with different scopes. Take one out.")
    return found


def _hashed(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
