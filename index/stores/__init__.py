"""Collections that a database keeps: what stands above a `VectorStore`, and the table of those there are."""

from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.kinds import resolve
from retr.retrieval.store import VectorStore


class Unreachable(NotFound):
    """The server of a store does not answer."""


class Forbidden(BadInput):
    """The server of a store does not let its user do this, or only reads."""


STORES: dict[str, str] = {
    "postgres": "retr.index.postgres:connect",
    "postgresql": "retr.index.postgres:connect",
    "sharded": "retr.index.sharded:connect",
}
"""The scheme of an address to what opens it: a function of the address."""


def is_store(address: object) -> bool:
    """Whether it is the address of a store, such as postgresql://host/db, and not the path of a folder."""
    return isinstance(address, str) and "://" in address


def connect(address: str) -> VectorStore:
    """The store at an address. NotFound for an unknown scheme, or a server that does not answer."""
    store: VectorStore = resolve(address.partition("://")[0], STORES, "kind of store")(address)
    return store
