"""Candidates of students that give scores: the other rows' positives too, less those that are no negatives."""

from dataclasses import replace

from retr.encoders.training.batches import Batch


def with_others(batch: Batch) -> Batch:
    """The batch whose rows have the other rows' positives after their own negatives (Uni-Encoder's training).

    Left out is what is a positive of the same query in any row, by id or else by text, and what the row has already.
    The batch has ids then, and no scores.
    """
    names = batch.candidate_ids
    known: dict[str, set[str]] = {}
    for question, row in zip(batch.question_ids, names, strict=True):
        known.setdefault(question, set()).add(row[0])
    positives = dict(zip([row[0] for row in names], batch.positives, strict=True))
    negatives, ids = [], []
    for question, row, texts in zip(batch.question_ids, names, batch.candidates, strict=True):
        here = {*row, *known[question]}
        others = [name for name in positives if name not in here]
        negatives.append((*texts[1:], *(positives[name] for name in others)))
        ids.append((*row, *others))
    return replace(batch, negatives=tuple(negatives), ids=tuple(ids), scores=None)
