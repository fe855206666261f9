"""What trials write: documents in groups that are always written together, each with the version of its group."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retr.index.collection import Collection
from retr.index.disk.fsio import Disk
from retr.index.writing.creation import GivenVectors
from retr.opening import load_encoder
from retr.retrieval.records import Document

SIZE, DIM = 3, 8
"""Documents of a group, and numbers of their vectors."""


class Torn(Exception):
    """A group that is there by half, or not as it was written."""


def made(folder: Path, disk: Disk) -> Collection:
    """A new index of given vectors."""
    return Collection.create(folder, encoder=GivenVectors(DIM), disk=disk)


def opened(folder: Path, disk: Disk | None = None) -> Collection:
    """The index that is there."""
    return Collection.open(folder, load=load_encoder, disk=disk)


def put(collection: Collection, group: int, version: int) -> None:
    """Write a group, or its next version."""
    word = f"word{group}"
    documents = [
        Document(
            f"{group}-{part}", f"{word} {word} part{part} v{version}", metadata={"group": group, "version": version}
        )
        for part in range(SIZE)
    ]
    collection.add(documents, vectors=_vectors(group, version))


def take_out(collection: Collection, group: int) -> None:
    """Remove a group."""
    collection.delete([f"{group}-{part}" for part in range(SIZE)])


def versions_in(collection: Collection) -> dict[int, int]:
    """The version of every group, read from texts, metadata and vectors. Torn when they do not agree."""
    found: dict[int, list[int]] = {}
    for document in collection.get(collection.ids()):
        group, version = int(document.metadata["group"]), int(document.metadata["version"])
        if not document.text.endswith(f"v{version}"):
            raise Torn(f"The text of {document.id!r} is not of version {version}.")
        found.setdefault(group, []).append(version)
    for group, versions in found.items():
        if len(versions) != SIZE or len(set(versions)) != 1:
            raise Torn(f"Group {group} is there by half: versions {versions}.")
    agreed = {group: versions[0] for group, versions in found.items()}
    _check_found(collection, agreed)
    return agreed


def _check_found(collection: Collection, versions: Mapping[int, int]) -> None:
    groups: Sequence[int] = sorted(versions)[-5:]
    for group in groups:
        wanted = {f"{group}-{part}" for part in range(SIZE)}
        by_words = {hit.id for hit in collection.search(f"word{group}", 10, mode="lexical")}
        own = _vectors(group, versions[group])[:1]
        by_vector = [hit.id for hit in collection.nearest(own, 1)[0]]
        if by_words != wanted or by_vector != [f"{group}-0"]:
            raise Torn(f"Group {group} is found as {sorted(by_words)} by its word, as {by_vector} by its vector.")


def _vectors(group: int, version: int) -> NDArray[np.float32]:
    return np.random.default_rng([group, version]).standard_normal((SIZE, DIM)).astype(np.float32)
