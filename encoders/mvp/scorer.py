"""MVP as a scorer: all candidates of a query in one call. Scores say how a text stands in that list, nothing more."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from retr.encoders.mvp.folder import read_settings, read_table
from retr.encoders.mvp.ranker import is_servable, open_folder
from retr.encoders.trained import Answer, Makers, TrainedScorer, load_trained

if TYPE_CHECKING:
    from retr.encoders.on_torch.compute import Placement


def load(source: str, device: str = "") -> TrainedScorer:
    """The scorer of a folder; never `comparable`: leaving candidates out changes the scores of the others."""
    return load_trained(source, device, Makers("mvp", open_folder, _by_torch, read_table, is_servable))


def _by_torch(path: Path, placement: "Placement") -> tuple[Answer, bool]:
    import torch

    from retr.encoders.trainable.mvp import open_mvp

    student = open_mvp(path, read_settings(path, read_table(path)))
    student.module.eval().requires_grad_(False).to(placement.device, placement.dtype)
    for name, part in student.module.named_modules():
        if name.endswith(".wo"):  # where a T5's numbers grow too large for float16
            part.float()

    def answer(query: str, texts: Sequence[str]) -> torch.Tensor:
        return student.score([query], [texts])[0]

    return answer, False
