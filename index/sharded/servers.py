"""The file that names the stores of a sharded collection, and which of them holds a document."""

import hashlib
from pathlib import Path

from retr.retrieval.errors import BadInput, NotFound

SCHEME = "sharded"
MOST = 1_024


def read_servers(address: str) -> list[str]:
    """The addresses of the stores, in order: a line each, empty ones and comments (#) left out.

    They stand in a file, not in the address, since they may hold passwords and their order must stay.
    """
    path = Path(address.partition("://")[2])
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        what = f"The file of stores {str(path)!r} cannot be read ({type(error).__name__})."
        raise NotFound(f"{what} Write the address of a store in each of its lines.") from None
    found = [line for line in lines if line and not line.startswith("#")]
    if not 1 <= len(found) <= MOST:
        raise BadInput(f"{str(path)!r} names {len(found)} stores; 1 to {MOST} are accepted. Write one address a line.")
    for number, one in enumerate(found, start=1):
        if "://" not in one or one.startswith(f"{SCHEME}://"):
            raise BadInput(f"Store {number} of {str(path)!r} is no address such as postgresql://host/db?collection=c.")
    if len(set(found)) < len(found):
        raise BadInput(f"{str(path)!r} names a store twice. Give each of them a server or a collection of its own.")
    return found


def shard_of(id: str, count: int) -> int:
    """The shard that holds the document with this id: the same for ever, whatever the machine."""
    return int.from_bytes(hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest()) % count
