"""The student's scores of each row's candidates, be it a bi-encoder or one that reads both texts together."""

from itertools import chain
from typing import Literal

import torch
from torch import Tensor

from retr.encoders.objectives.similarity import Similarity, row_by_row
from retr.encoders.trainable.student import ScoresOnly, Student
from retr.encoders.training.batches import Batch

Scored = Literal["auto", "vectors", "scores"]
"""Whether a student is asked for vectors (bi) or for scores (cross, uni, poly); auto: for vectors if it has them."""


def gives_scores(student: Student, how: Scored) -> bool:
    """Whether its scores are what it is asked for."""
    return how == "scores" or (how == "auto" and isinstance(student, ScoresOnly))


def scores_by_student(student: Student, batch: Batch, how: Scored, similarity: Similarity) -> list[Tensor]:
    """For each row float [positive and its negatives]. A text that stands in several rows is encoded once."""
    candidates = batch.candidates
    if gives_scores(student, how):
        return scored(student, batch)
    widths = [len(texts) for texts in candidates]
    rows = [row for row, width in enumerate(widths) for _ in range(width)]
    queries = student.encode_queries(batch.queries)[rows]
    known = {text: row for row, text in enumerate(dict.fromkeys(chain.from_iterable(candidates)))}
    documents = student.encode_documents(list(known))[[known[text] for texts in candidates for text in texts]]
    return list(torch.split(row_by_row(queries, documents, similarity), widths))


def scored(student: Student, batch: Batch) -> list[Tensor]:
    """For each row the scores that the student gives its candidates, at least in float32.

    Under mixed precision a softmax over bfloat16 would give a loss in steps of a hundredth.
    """
    found = student.score(batch.queries, batch.candidates)
    return [scores.to(torch.promote_types(scores.dtype, torch.float32)) for scores in found]
