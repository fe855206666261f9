"""A Poly-Encoder as a scorer. Vectors of candidates are kept, so that a text that comes again is not read again."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from retr.encoders.trained import Answer, TrainedScorer, load_trained

if TYPE_CHECKING:
    import torch

    from retr.encoders.on_torch.compute import Placement

KEPT = 20_000
"""Candidates whose vectors are kept; 30 MB of 384 numbers each."""


def load(source: str, device: str = "") -> TrainedScorer:
    """The scorer of a folder; its scores are comparable between calls."""
    return load_trained(source, "poly", device, _make)


class Kept:
    """The newest texts' vectors, by text; threads may share it."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._vectors: OrderedDict[str, torch.Tensor] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Texts kept."""
        return len(self._vectors)

    def found(self, texts: Sequence[str]) -> dict[str, "torch.Tensor"]:
        """What is kept of these texts, which now are the newest."""
        with self._lock:
            for text in texts:
                if text in self._vectors:
                    self._vectors.move_to_end(text)
            return {text: self._vectors[text] for text in texts if text in self._vectors}

    def keep(self, vectors: dict[str, "torch.Tensor"]) -> None:
        """Add vectors; the oldest go."""
        with self._lock:
            self._vectors |= vectors
            while len(self._vectors) > self._most:
                self._vectors.popitem(last=False)


def _make(path: Path, placement: "Placement") -> tuple[Answer, bool]:
    import torch

    from retr.encoders.trainable.poly import open_poly

    student = open_poly(path)
    student.module.eval().requires_grad_(False).to(placement.device, placement.dtype)
    kept = Kept()

    def answer(query: str, texts: Sequence[str]) -> torch.Tensor:
        vectors = kept.found(texts)
        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        if new:
            read = dict(zip(new, student.read_candidates(new).clone(), strict=True))
            kept.keep(read)
            vectors |= read
        candidates = torch.stack([vectors[text] for text in texts])
        return student.score_vectors(student.read_contexts([query]), [candidates])[0]

    return answer, True
