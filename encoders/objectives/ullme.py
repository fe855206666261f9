"""NT-Xent over queries, positives and negatives together, as ULLME trains its vectors (Man et al. 2024)."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from retr.encoders.objectives.checks import positive
from retr.encoders.objectives.gathering import gathered, gathered_lists, processes, rank
from retr.encoders.objectives.generating import project
from retr.encoders.objectives.similarity import every_pair
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch

TINY = 1e-12


@dataclass(frozen=True, slots=True)
class NTXent:
    """The mean over pairs (a, p) of logsumexp({s(a, p)} and all s(a, n)) - s(a, p) (ULLME, arXiv 2408.03402, sec. 3).

    A row's query and positive have one label, as have all rows of one query or positive; each negative has its own,
    unless it is the positive of some row. Every query and every positive is an anchor, what shares its label is its
    p, all else its n: other queries too. s is minus the distance of unit vectors, or their cosine, over `temperature`.
    `margin` leaves out easy pairs by their cosine (Wang et al. 2019, Multi-Similarity, eq. 5 and 6): a p that is more
    than that above the nearest n, an n that is more than that below the furthest p. Vectors are taken behind the
    student's training head, where it has one.
    """

    temperature: float = 0.05
    similarity: Literal["distance", "cosine"] = "distance"
    margin: float | None = 0.25
    gather: bool = True

    def __post_init__(self) -> None:
        """Refuse a temperature that is not above zero."""
        positive(temperature=self.temperature)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over the pairs of this process's anchors."""
        negatives = [text for row in batch.negatives for text in row]
        documents = student.encode_documents([*batch.positives, *negatives])
        return self.of_vectors(
            project(student, student.encode_queries(batch.queries)), project(student, documents), batch
        )

    def of_vectors(self, queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
        """The loss of [rows, dim] queries and [rows + negatives, dim] documents: positives first, then row by row."""
        rows = len(batch)
        own = torch.cat([queries, documents])
        share = self.gather and processes() > 1
        everything = gathered(own) if share else own
        names = gathered_lists(_names(batch)) if share else [_names(batch)]
        labels = torch.tensor(_labels([name for part in names for name in part]), device=own.device)
        first = sum(len(part) for part in names[: rank()]) if share else 0
        anchors = torch.arange(first, first + 2 * rows, device=own.device)
        return self.of_labels(everything, labels, anchors)

    def of_labels(self, vectors: Tensor, labels: Tensor, anchors: Tensor) -> Tensor:
        """The loss of the `anchors` (numbers of rows) among [all, dim] vectors of labels [all]; 0 without a pair."""
        cosines = every_pair(vectors[anchors], vectors, "cosine")
        scores = self._scores(vectors, anchors, cosines) / self.temperature
        same = labels[anchors][:, None] == labels[None, :]
        others = ~same
        pairs = same & (torch.arange(len(vectors), device=vectors.device)[None, :] != anchors[:, None])
        if self.margin is not None:
            pairs, others = self._informative(cosines.detach(), pairs, others)
        rest = scores.masked_fill(~others, -torch.inf).logsumexp(1, keepdim=True)
        losses = torch.logaddexp(scores, rest) - scores
        count = pairs.sum()
        return losses.masked_fill(~pairs, 0.0).sum() / count.clamp(min=1)

    def _scores(self, vectors: Tensor, anchors: Tensor, cosines: Tensor) -> Tensor:
        if self.similarity == "cosine":
            return cosines
        unit = normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=1)
        squares = (unit[anchors][:, None] - unit[None]).square().sum(-1)
        return -(squares + TINY).sqrt()

    def _informative(self, cosines: Tensor, pairs: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        assert self.margin is not None
        nearest = cosines.masked_fill(~others, -torch.inf).amax(1, keepdim=True)
        furthest = cosines.masked_fill(~pairs, torch.inf).amin(1, keepdim=True)
        return pairs & (cosines < nearest + self.margin), others & (cosines > furthest - self.margin)


Name = tuple[str, str]
"""A kind of text (query or document) and its id."""


def _names(batch: Batch) -> list[list[Name]]:
    """For each vector what it is called: queries and positives by both of their row's names, negatives by their own."""
    rows = list(zip(batch.question_ids, batch.candidate_ids, strict=True))
    pairs: list[list[Name]] = [[("query", question), ("document", ids[0])] for question, ids in rows]
    return [*pairs, *pairs, *([("document", name)] for _, ids in rows for name in ids[1:])]


def _labels(names: list[list[Name]]) -> list[int]:
    """A number for each vector, the same for those that names join; a negative joins only what is some positive.

    Equal negatives get equal numbers, which is the same: they are no anchors.
    """
    parents: dict[Name, Name] = {}

    def top(name: Name) -> Name:
        while parents.setdefault(name, name) != name:
            name = parents[name]
        return name

    for group in names:
        for name in group[1:]:
            parents[top(name)] = top(group[0])
    numbers: dict[Name, int] = {}
    return [numbers.setdefault(top(group[0]), len(numbers)) for group in names]
