"""A collection spread over several stores. Nothing heavy is imported here."""

from retr.retrieval.store import VectorStore


def connect(address: str) -> VectorStore:
    """The collection at sharded://FILE, a file with the address of a store a line. NotFound without the file."""
    from retr.index.sharded.servers import read_servers
    from retr.index.sharded.store import ShardedStore

    return ShardedStore(address, read_servers(address))
