"""The address of a collection in PostgreSQL: what libpq reads of it, and the name that is ours."""

import re
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from retr.retrieval.errors import BadInput

DEFAULT_NAME = "default"
_MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Address:
    """`server` is for libpq and may hold a password; `shown` never does."""

    server: str
    collection: str
    told: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Of postgresql://user:password@host:port/database?collection=name&option=value; BadInput for another form."""
        try:
            parts = urlsplit(text)
            options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:  # Its own words may hold the password.
            raise BadInput(f"The address of the store cannot be read. {_FORM}") from None
        if parts.scheme not in ("postgresql", "postgres"):
            raise BadInput(f"The address has the scheme {parts.scheme!r}. {_FORM}")
        if "@" in parts.path or not _HOSTS.fullmatch(parts.netloc.rpartition("@")[2]):
            raise BadInput(f"The address has an @, / or : where it means something else; write %40, %2F, %3A. {_FORM}")
        names = [value for name, value in options if name == "collection"]
        rest = [(name, value) for name, value in options if name != "collection"]
        user, _, host = parts.netloc.rpartition("@")
        bare = f"{user.partition(':')[0]}@{host}" if user else host
        asked = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
        told = [f"{urlencode([one], quote_via=quote, safe='/')}&" for one in rest if one[0] not in _SECRET]
        server = f"postgresql://{parts.netloc}{parts.path}{asked}"
        shown = f"postgresql://{bare}{parts.path}?{''.join(told)}"
        return cls(server, check_name(names[-1] if names else DEFAULT_NAME), shown)

    @property
    def shown(self) -> str:
        """The address without secrets."""
        return f"{self.told}collection={quote(self.collection)}"

    def named(self, collection: str) -> "Address":
        """Another collection of the same server."""
        return replace(self, collection=collection)


_HOST = r"(?:\[[^\]]*\]|[^:,\[\]]*)(?::\d*)?"
_HOSTS = re.compile(f"{_HOST}(?:,{_HOST})*")
"""Hosts with their ports. Anything else after a colon may be a part of a password that was not coded."""

_SECRET = ("password", "sslpassword")
_FORM = "Give it as postgresql://user@host/database?collection=name."


def check_name(name: str) -> str:
    """The name of a collection itself, or BadInput."""
    if not name or len(name.encode()) > _MAX_NAME or "\x00" in name:
        raise BadInput(f"A collection needs a name of 1 to {_MAX_NAME} bytes; got {name[:40]!r}. {_FORM}")
    return name
