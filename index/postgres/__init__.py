"""A collection in PostgreSQL with pgvector. Nothing heavy is imported here."""

from retr.retrieval.errors import missing_package
from retr.retrieval.store import VectorStore


def connect(address: str) -> VectorStore:
    """The collection at postgresql://user@host/database?collection=name. NotFound where the server does not answer."""
    try:
        import psycopg  # noqa: F401  # only whether it is there
    except ImportError:
        raise missing_package("psycopg", needed_for="A collection in PostgreSQL", extra="postgres") from None
    from retr.index.postgres.store import PostgresStore

    return PostgresStore(address)
