"""One segment's token vectors: written coded, opened through memory maps. The index says what it is to score."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.index.disk.fsio import Disk
from retr.index.late.codec import Codec
from retr.index.late.kernels.arrays import Kernels, Rows, Tokens
from retr.index.late.kernels.reference import numbers_of, similarities
from retr.index.late.lists import Lists, write_lists
from retr.index.late.planning import LISTED
from retr.index.late.query import PreparedQuery
from retr.index.late.storage import CODES, OFFSETS, RESIDUALS, open_tokens, write_tokens
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import Damaged

_AT_ONCE = 1 << 15
"""Tokens decoded at a time for an exact search."""


def write_part(
    disk: Disk,
    folder: Path,
    blocks: Iterable[TokenVectors],
    codec: Codec,
    *,
    lists_from: int = LISTED,
    unit: bool = True,
) -> tuple[list[str], dict[str, Any]]:
    """Write documents' tokens into an existing folder as they come; gives the files' names and what they hold.

    Lists are made for `lists_from` tokens and more. Nothing is synced. `unit` and errors as `write_tokens` has them.
    """
    return finish_part(disk, folder, codec, write_tokens(disk, folder, blocks, codec, unit=unit), lists_from)


def finish_part(
    disk: Disk, folder: Path, codec: Codec, sizes: tuple[int, int], lists_from: int
) -> tuple[list[str], dict[str, Any]]:
    """Lists beside written tokens, where those are many; gives the names of all files, and what they hold.

    `sizes` are documents and tokens.
    """
    documents, tokens = sizes
    names = [CODES, RESIDUALS, OFFSETS] if codec.coded else [RESIDUALS, OFFSETS]
    facts: dict[str, Any] = {"documents": documents, "tokens": tokens, "bits": codec.bits, "dim": codec.dim}
    if codec.coded and tokens >= lists_from:
        written = open_tokens(folder, documents, tokens, codec)
        facts["entries"], more = write_lists(disk, folder, written, len(codec.centroids))
        names = [*names, *more]
    return names, facts


class LatePart:
    """Documents' coded tokens. Documents count from 0. Safe to share between threads."""

    def __init__(self, tokens: Tokens, codec: Codec, kernels: Kernels, lists: Lists | None = None) -> None:
        self.tokens, self.codec, self._kernels, self.lists = tokens, codec, kernels, lists
        self._scored = Tokens(None, *_rest(tokens)) if codec.bits == 8 else tokens

    @classmethod
    def open(cls, folder: Path, codec: Codec, facts: Mapping[str, Any], kernels: Kernels) -> "LatePart":
        """Map what `write_part` wrote with this codec. Damaged where the files do not fit its facts."""
        try:
            documents, tokens, entries = int(facts["documents"]), int(facts["tokens"]), facts.get("entries")
            if (facts["bits"], facts["dim"]) != (codec.bits, codec.dim) or min(documents, tokens) < 0:
                raise Damaged(f"{str(folder)!r} was written with another codec. Run: retr check")
        except (KeyError, TypeError, ValueError) as error:
            raise Damaged(f"What is said of {str(folder)!r} cannot be read ({error!r}). Run: retr check") from None
        lists = None if entries is None else Lists.open(folder, int(entries), len(codec.centroids), documents)
        return cls(open_tokens(folder, documents, tokens, codec), codec, kernels, lists)

    def __len__(self) -> int:
        return len(self.tokens.offsets) - 1

    @property
    def token_count(self) -> int:
        """Tokens of all documents."""
        return int(self.tokens.offsets[-1])

    def scan(self, query: PreparedQuery, rows: Rows | None) -> NDArray[np.uint32]:
        """What some documents (None: all) reach by their tokens' centroids alone: [rows]."""
        return self._kernels.scan(len(query), self.tokens, query.table, rows)

    def scores(self, query: PreparedQuery, rows: Rows | None) -> Rows:
        """MaxSim of some documents (None: all), in whole numbers of the query's scale: int64 [rows]."""
        return self._kernels.scores(query.numbers, self._scored, query.bases, rows)

    def exact(self, query: PreparedQuery, rows: Rows | None) -> NDArray[np.float64]:
        """MaxSim of the query as it was given with the tokens as they are kept: float64 [rows]."""
        chosen = np.arange(len(self)) if rows is None else rows
        lengths = self.tokens.offsets[chosen + 1] - self.tokens.offsets[chosen]
        groups = np.flatnonzero(np.diff((np.cumsum(lengths) - lengths) // _AT_ONCE, prepend=-1))
        pieces = np.split(chosen, groups[1:]) if len(chosen) else []
        found = [self._kernels.floats(query.values, self.vectors(piece)) for piece in pieces]
        return np.concatenate([np.empty(0), *found])

    def vectors(self, rows: Rows) -> TokenVectors:
        """Some documents' tokens as they are kept, decoded, in the order given."""
        starts, ends = self.tokens.offsets[rows], self.tokens.offsets[rows + 1]
        offsets = np.concatenate([[0], np.cumsum(ends - starts)]).astype(np.int64)
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
        return TokenVectors(self.codec.decode(self.tokens, places), offsets)

    def matches(self, query: PreparedQuery, row: int) -> tuple[Rows, Floats]:
        """For each query token the place of the document token it matches best, and their similarity: [query tokens].

        Of equal ones the first. The similarities add up to what `scores` gives.
        """
        places = np.arange(*self.tokens.offsets[row : row + 2])
        found = similarities(numbers_of(self.tokens, places), query.numbers)  # [document tokens, query tokens]
        found += query.bases[0 if self._scored.codes is None else self._scored.centroids(places), : len(query)]
        best = found.argmax(axis=0)
        return best, (found[best, np.arange(len(best))] * query.scale).astype(np.float32)


def _rest(tokens: Tokens) -> tuple[Any, ...]:
    return tokens.residuals, tokens.offsets, tokens.levels, tokens.bits
