"""InfoNCE: the positive against hard negatives and the other rows' texts, false negatives left out."""

from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from retr.encoders.objectives.checks import positive
from retr.encoders.objectives.gathering import gathered, gathered_lists, rank
from retr.encoders.objectives.similarity import Similarity, every_pair
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class InfoNCE:
    """-log of the positive's share of exp(similarity / temperature) over candidates (van den Oord et al. 2018, eq. 4).

    Candidates of a query are its positive, its hard negatives and, with `in_batch`, all those of the other rows; with
    `gather`, of every process. A candidate is left out where it is the query's own positive over
    again (same id or text), belongs to another row of the same query, or scores above its positive less
    `false_negative_margin` (NV-Retriever, Moreira et al. 2024, section 4, TopK-MarginPos, within the batch).
    `both` directions add the loss of each positive finding its query, and halve the sum (Radford et al. 2021).
    """

    temperature: float = 0.05
    similarity: Similarity = "cosine"
    in_batch: bool = True
    directions: Literal["query", "both"] = "query"
    false_negative_margin: float | None = None
    mask_same: bool = True
    gather: bool = True

    def __post_init__(self) -> None:
        """Refuse a temperature that is not above zero."""
        positive(temperature=self.temperature)

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The mean over this process's rows."""
        negatives = list(chain.from_iterable(batch.negatives))
        if not self.in_batch and not negatives:
            raise BadInput("infonce with in_batch = false needs negatives, and the data has none. Name their column.")
        documents = student.encode_documents([*batch.positives, *negatives])
        return self.of_vectors(student.encode_queries(batch.queries), documents, batch)

    def of_vectors(self, queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
        """The loss of [rows, dim] queries and [rows + negatives, dim] documents: positives first, then row by row."""
        rows = len(batch)
        first, rest = documents[:rows], documents[rows:]
        if self.gather:
            first, rest = gathered(first), gathered(rest)
        loss = self.of_similarities(every_pair(queries, torch.cat([first, rest]), self.similarity), batch)
        return loss if self.directions == "query" else (loss + self._backwards(queries, documents, batch)) / 2

    def of_similarities(self, similarities: Tensor, batch: Batch) -> Tensor:
        """The loss of queries finding their positives, of [rows, candidates]: all positives, then all negatives."""
        pool = _Pool.of(batch, share=self.gather)
        target = torch.arange(pool.start, pool.start + len(batch), device=similarities.device)
        hidden = pool.hidden(batch, in_batch=self.in_batch, same=self.mask_same).to(similarities.device)
        hidden = hidden | self._too_near(similarities, target)
        return cross_entropy((similarities / self.temperature).masked_fill(hidden, -torch.inf), target)

    def _too_near(self, similarities: Tensor, target: Tensor) -> Tensor:
        if self.false_negative_margin is None:
            return torch.zeros_like(similarities, dtype=torch.bool)
        own = similarities.gather(1, target[:, None])
        near = similarities > own - self.false_negative_margin
        return near.scatter(1, target[:, None], False)

    def _backwards(self, queries: Tensor, documents: Tensor, batch: Batch) -> Tensor:
        """Each positive against all queries."""
        pool = _Pool.of(batch, share=self.gather)
        rows = len(batch)
        all_queries = gathered(queries) if self.gather else queries
        similarities = every_pair(documents[:rows], all_queries, self.similarity)
        target = torch.arange(pool.start, pool.start + rows, device=queries.device)
        hidden = pool.hidden_queries(batch, in_batch=self.in_batch, same=self.mask_same).to(queries.device)
        hidden = hidden | self._too_near(similarities, target)
        return cross_entropy((similarities / self.temperature).masked_fill(hidden, -torch.inf), target)


@dataclass(frozen=True, slots=True)
class _Pool:
    """Who is who among the candidates: all positives, then all negatives, of every process."""

    questions: list[str]
    """The query that each positive belongs to."""
    positives: list[str]
    negatives: list[str]
    owners: list[int]
    """The row, counted over all processes, of each positive and then of each negative."""
    start: int
    """Where this process's rows begin."""

    @classmethod
    def of(cls, batch: Batch, *, share: bool) -> "_Pool":
        names = batch.candidate_ids
        mine = [(question, row[0], row[1:]) for question, row in zip(batch.question_ids, names, strict=True)]
        everyone = gathered_lists(mine) if share else [mine]
        rows = list(chain.from_iterable(everyone))
        return cls(
            questions=[question for question, _, _ in rows],
            positives=[first for _, first, _ in rows],
            negatives=list(chain.from_iterable(rest for _, _, rest in rows)),
            owners=[*range(len(rows)), *(at for at, (_, _, rest) in enumerate(rows) for _ in rest)],
            start=sum(len(part) for part in everyone[: rank()]) if share else 0,
        )

    def hidden(self, batch: Batch, *, in_batch: bool, same: bool) -> Tensor:
        """bool [rows, positives + negatives]: what does not count against a query. Its own positive always counts."""
        known = self._known() if same else {}
        everything = [*self.positives, *self.negatives]
        found = torch.tensor([[name in known.get(query, ()) for name in everything] for query in batch.question_ids])
        return self._of_others(found, in_batch)

    def hidden_queries(self, batch: Batch, *, in_batch: bool, same: bool) -> Tensor:
        """bool [rows, queries]: which queries do not count against a row's positive. Its own query always counts."""
        known = self._known() if same else {}
        mine = [names[0] for names in batch.candidate_ids]
        found = torch.tensor([[name in known.get(query, ()) for query in self.questions] for name in mine])
        return self._of_others(found, in_batch)

    def _known(self) -> dict[str, set[str]]:
        """The positives of each query, in whichever rows they stand."""
        known: dict[str, set[str]] = {}
        for question, document in zip(self.questions, self.positives, strict=True):
            known.setdefault(question, set()).add(document)
        return known

    def _of_others(self, found: Tensor, in_batch: bool) -> Tensor:
        """Hide the other rows' too where they are not wanted; show each row its own."""
        rows, columns = found.shape
        here = torch.arange(self.start, self.start + rows)
        if not in_batch:
            found |= torch.tensor(self.owners[:columns])[None, :] != here[:, None]
        found[torch.arange(rows), here] = False
        return found
