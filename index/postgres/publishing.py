"""A collection takes the name of another: one row of the catalogue changes, and all readers see it at once."""

from retr.index.postgres.connecting import Connection
from retr.index.postgres.reading import Entry, entry_of
from retr.index.postgres.schema import Tables
from retr.retrieval.errors import BadInput


def published(connection: Connection, entry: Entry, old: str, new: str) -> int:
    """Give the collection called `old` the name `new`; gives its generation, which is above both."""
    if old == new:
        raise BadInput(f"The collection is called {new!r} already. Build the next one under another name.")
    replaced = entry_of(connection, new, lock=True)
    generation = max(entry.facts.generation, 0 if replaced is None else replaced.facts.generation) + 1
    if replaced is not None:
        if replaced.before is not None:
            connection.execute(Tables(replaced.before).dropped())
        connection.execute("DELETE FROM retr.collections WHERE name = %s", [new])
    connection.execute(
        "UPDATE retr.collections SET name = %s, before = %s, generation = %s WHERE name = %s",
        [new, None if replaced is None else replaced.home, generation, old],
    )
    return generation
