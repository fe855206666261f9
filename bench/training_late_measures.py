"""Where the right document of each query stands among all, by one vector a text or by tokens: for training_late.py."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 16
Values = dict[str, dict[str, float]]
Scores = NDArray[np.float32]


def by_vectors(student: Any, queries: Sequence[str], documents: Sequence[str]) -> Scores:
    """float32 [queries, documents] of a student with one vector a text."""
    import torch

    student.module.eval()
    with torch.no_grad():
        found: Scores = (student.encode_queries(queries) @ student.encode_documents(documents).T).numpy()
    return found


def by_tokens(student: Any, queries: Sequence[str], documents: Sequence[str], *, depth: int = 0) -> Scores:
    """float32 [queries, documents] by MaxSim; the best `depth` of each query are put in the order of its own scoring.

    These then stand above all others, whose scores are MaxSim's.
    """
    import torch

    from retr.encoders.trainable.maxsim import every_maxsim

    student.module.eval()
    with torch.no_grad():
        asked, held = student.read(queries, "query"), student.read(documents, "document")
        parts = [every_maxsim(asked.rows(slice(at, at + AT_ONCE)), held) for at in range(0, len(asked), AT_ONCE)]
        scores = torch.cat(parts)
        for row in range(len(queries)) if depth else ():
            best = scores[row].topk(min(depth, len(documents))).indices
            own = student.every_score(asked.rows([row]), held.rows(best.tolist()))[0]
            scores[row, best] = scores[row].max() + 1 + own - own.min()
        return np.asarray(scores.numpy())


def places(scores: Scores, right: Sequence[int]) -> NDArray[np.int64]:
    """Of each query the place, from 1, of the document that is right; of equals it is the last."""
    own = scores[np.arange(len(right)), right]
    return np.asarray((scores >= own[:, None]).sum(axis=1))


def values_of(ids: Sequence[str], found: Sequence[int]) -> Values:
    """What places are worth, a query at a time."""
    worth: Mapping[str, Any] = {
        "ndcg@10": lambda place: 1 / math.log2(place + 1) if place <= 10 else 0.0,
        "mrr": lambda place: 1 / place,
        "r@1": lambda place: float(place == 1),
        "r@10": lambda place: float(place <= 10),
    }
    return {
        metric: {id: each(int(place)) for id, place in zip(ids, found, strict=True)} for metric, each in worth.items()
    }
