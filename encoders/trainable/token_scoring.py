"""How a late student's tokens become scores: modules that are called as `(queries, documents, numbers)`."""

from dataclasses import asdict
from pathlib import Path

import torch

from retr.encoders.late.scoring import ScoringSettings
from retr.encoders.late.xpool import PARTS
from retr.encoders.trainable.maxsim import NUMBERS_A_CHUNK, TokenTensors, every_maxsim
from retr.encoders.trainable.parts import read_parts, write_parts
from retr.encoders.trainable.sentence_folder import write_record
from retr.encoders.trainable.transport import every_transport
from retr.encoders.trainable.xpool import XPool


class Scoring(torch.nn.Module):
    """Texts' tokens to scores [queries, documents]; each text needs a token that counts."""

    def __init__(self, settings: ScoringSettings, mean: bool, pooling: XPool | None) -> None:
        super().__init__()
        self.settings = settings
        self.mean = mean
        self.pooling = pooling

    def forward(self, queries: TokenTensors, documents: TokenTensors, numbers: int = NUMBERS_A_CHUNK) -> torch.Tensor:
        """At least in float32, and with about `numbers` numbers of pairs in memory at once."""
        if self.pooling is not None:
            found: torch.Tensor = self.pooling(queries, documents, numbers)
            return found
        if self.settings.name == "ot":
            return every_transport(queries, documents, self.settings.transport, numbers=numbers)
        return every_maxsim(queries, documents, mean=self.mean, numbers=numbers)


def open_scoring(folder: Path, settings: ScoringSettings, dim: int, *, mean: bool, dropout: float) -> Scoring:
    """The scoring, with a folder's weights where it has some, else as X-Pool begins."""
    if settings.name != "xpool":
        return Scoring(settings, mean, None)
    pooling = XPool(dim, dropout)
    if (folder / PARTS).is_file():
        read_parts(folder / PARTS, pooling)
    return Scoring(settings, mean, pooling)


def write_scoring(folder: Path, scoring: Scoring) -> None:
    """What retr.json says of a late model, and X-Pool's weights beside it."""
    told = {} if scoring.settings == ScoringSettings() else {"scoring": asdict(scoring.settings)}
    tables = {"late": {"kind": "late", **told}}
    if scoring.pooling is None:
        write_record(folder, tables)
    else:
        write_parts(folder / PARTS, scoring.pooling.state_dict(), tables)
