"""Batch: what one training step sees, as texts; the student tokenizes them itself."""

from collections.abc import Sized
from dataclasses import dataclass

from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of queries, each with its positive and perhaps negatives, a grade, or a teacher's scores.

    `negatives` is empty, or has one tuple for each query (of any lengths). `labels` grades the pairs (query,
    positive), such as a similarity in [0, 1]. `scores` has one tuple for each query: the positive's score first, then
    its negatives'. `query_ids` and `ids` (the positive's id first, then its negatives') say which texts are the same
    thing; empty, equal texts are. Everything of one row stands at one place in each field.
    """

    queries: tuple[str, ...]
    positives: tuple[str, ...]
    negatives: tuple[tuple[str, ...], ...] = ()
    labels: tuple[float, ...] | None = None
    scores: tuple[tuple[float, ...], ...] | None = None
    query_ids: tuple[str, ...] = ()
    ids: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        """Refuse rows that do not fit together."""
        rows = len(self.queries)
        per_row: dict[str, Sized | None] = {
            "positives": self.positives,
            "negatives": self.negatives,
            "labels": self.labels,
        }
        per_row |= {"scores": self.scores, "query_ids": self.query_ids, "ids": self.ids}
        for name, values in per_row.items():
            if (values or name == "positives") and len(values or ()) != rows:
                raise BadInput(f"A batch has {rows} queries and {len(values or ())} {name}; give one for each query.")
        widths = [len(candidates) for candidates in self.candidates]
        for name, lists in (("scores", self.scores), ("ids", self.ids)):
            if lists and [len(values) for values in lists] != widths:
                raise BadInput(
                    f"A batch's {name} need one value for each positive and negative of a row; counts differ."
                )

    def __len__(self) -> int:
        """How many rows."""
        return len(self.queries)

    @property
    def candidates(self) -> tuple[tuple[str, ...], ...]:
        """The positive of each row and then its negatives."""
        negatives = self.negatives or ((),) * len(self.positives)
        return tuple((positive, *others) for positive, others in zip(self.positives, negatives, strict=True))

    @property
    def candidate_ids(self) -> tuple[tuple[str, ...], ...]:
        """What tells candidates apart: their ids, or else their texts."""
        return self.ids or self.candidates

    @property
    def question_ids(self) -> tuple[str, ...]:
        """What tells queries apart: their ids, or else their texts."""
        return self.query_ids or self.queries
