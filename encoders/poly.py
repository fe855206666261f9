"""A Poly-Encoder as a scorer. Vectors of candidates are kept, so that a text that comes again is not read again."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retr.encoders.rankers.kept import Kept
from retr.encoders.rankers.opening import CANDIDATES, open_poly_folder
from retr.encoders.trained import Answer, Makers, TrainedScorer, load_trained

if TYPE_CHECKING:
    from retr.encoders.on_torch.compute import Placement


def load(source: str, device: str = "") -> TrainedScorer:
    """The scorer of a folder; its scores are comparable between calls."""
    return load_trained(source, device, Makers("poly", open_poly_folder, _by_torch))


def _by_torch(path: Path, placement: "Placement") -> tuple[Answer, bool]:
    import torch

    from retr.encoders.trainable.poly import open_poly

    student = open_poly(path)
    student.module.eval().requires_grad_(False).to(placement.device, placement.dtype)
    kept: Kept[torch.Tensor] = Kept(CANDIDATES)

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
