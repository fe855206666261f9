"""A Uni-Encoder as a scorer: a query and all of its candidates in one pass, or the query read once (one_way)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retr.encoders.rankers.opening import open_uni_folder
from retr.encoders.trained import Answer, Makers, TrainedScorer, load_trained

if TYPE_CHECKING:
    from retr.encoders.on_torch.compute import Placement


def load(source: str, device: str = "") -> TrainedScorer:
    """The scorer of a folder. With the mask arrow scores are not `comparable`: each depends on the others' texts."""
    return load_trained(source, device, Makers("uni", open_uni_folder, _by_torch))


def _by_torch(path: Path, placement: "Placement") -> tuple[Answer, bool]:
    import torch

    from retr.encoders.trainable.uni import open_uni

    student = open_uni(path)
    student.module.eval().requires_grad_(False).to(placement.device, placement.dtype)

    def together(query: str, texts: Sequence[str]) -> torch.Tensor:
        return student.score([query], [texts])[0]

    def after(query: str, texts: Sequence[str]) -> torch.Tensor:
        return student.score_after(student.read(query), texts)

    if not student.settings.comparable:
        return together, False
    with torch.inference_mode():
        student.read("")  # the model's attention is exchanged now, before threads use it
    return after, True
