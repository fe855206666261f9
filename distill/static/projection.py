"""Principal components: the directions in which vectors differ most (Pearson, 1901; Hotelling, 1933)."""

from dataclasses import dataclass

import numpy as np

from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """mean [dim before], basis [dim before, dim after] of orthonormal columns, `kept` the share of variance in them."""

    mean: Floats
    basis: Floats
    kept: float

    def __call__(self, vectors: Floats) -> Floats:
        """Vectors less the mean, in the new directions: [n, dim before] to [n, dim after]."""
        return np.asarray((vectors - self.mean) @ self.basis, np.float32)


def principal(vectors: Floats, dim: int) -> Projection:
    """The first `dim` directions of vectors [n, dim before]; 0 keeps all of them.

    The sign of a direction is such that its largest number is positive, so that it does not depend on the machine.
    BadInput for more directions than there are.
    """
    if dim > vectors.shape[1]:
        raise BadInput(f"dim is {dim}, but the teacher's vectors have {vectors.shape[1]} numbers. Give at most that.")
    wide = vectors.astype(np.float64)
    mean = wide.mean(axis=0)
    covariance = (wide - mean).T @ (wide - mean)
    values, directions = np.linalg.eigh(covariance)
    order = np.argsort(-values, kind="stable")[: dim or None]
    basis = directions[:, order]
    basis = basis * np.where(basis[np.abs(basis).argmax(axis=0), np.arange(basis.shape[1])] < 0, -1.0, 1.0)
    kept = float(values[order].sum() / max(values.sum(), np.finfo(float).tiny))
    return Projection(mean.astype(np.float32), basis.astype(np.float32), kept)
