"""How a late model's tokens become a score: MaxSim, optimal transport, or X-Pool, as the query looks at them."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from retr.encoders.late.maxsim import maxsim
from retr.encoders.late.xpool import PARTS, XPool, read_xpool
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.hashes import hashes
from retr.retrieval.embeddings import Floats, TokenVectors
from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.rerank import TokenScoring
from retr.retrieval.settings import settings_from
from retr.retrieval.transport import Transport, TransportSettings

Name = Literal["maxsim", "ot", "xpool"]
SCORINGS: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, slots=True)
class ScoringSettings:
    """Which scoring a model learned with, and the settings of transport, which it may be asked for without."""

    name: Name = "maxsim"
    transport: TransportSettings = field(default_factory=TransportSettings)

    def __post_init__(self) -> None:
        if self.name not in SCORINGS:
            raise BadInput(f"scoring is {', '.join(SCORINGS)}; got {self.name!r}.")


@dataclass(frozen=True, slots=True)
class MaxSim:
    """A `TokenScoring`; with `mean` divided by the number of the query's tokens."""

    mean: bool = False

    def score_tokens(self, query: Floats, documents: TokenVectors) -> Floats:
        """float32 [documents]."""
        return maxsim(query, list(documents), mean=self.mean)


@dataclass(frozen=True, slots=True, eq=False)
class Scorings:
    """What a folder's tokens can be scored by. `pooling` is there where the model has learned one."""

    settings: ScoringSettings
    mean: bool
    pooling: XPool | None
    identity: Mapping[str, Any]

    def named(self, name: str = "") -> TokenScoring:
        """The scoring of a name, or without one that which the model learned with.

        NotFound for a name that is none; BadInput for X-Pool where the model has no weights of it.
        """
        name = name or self.settings.name
        if name not in SCORINGS:
            raise unknown("scoring", name, SCORINGS)
        if name == "xpool":
            if self.pooling is None:
                raise BadInput("This model has not learned X-Pool's weights. Train one with scoring = 'xpool'.")
            return self.pooling
        return Transport(self.settings.transport) if name == "ot" else MaxSim(self.mean)


def read_scorings(folder: Path, mean: bool) -> Scorings:
    """The scorings of a late model's folder; one that says nothing of it is scored by MaxSim."""
    settings = read_scoring(folder)
    pooling = read_xpool(folder / PARTS) if settings.name == "xpool" else None
    identity: dict[str, Any] = {} if settings == ScoringSettings() else {"scoring": asdict(settings)}
    if pooling is not None:
        identity["xpool"] = hashes(folder, [folder / PARTS])
    return Scorings(settings, mean, pooling, identity)


def read_scoring(folder: Path) -> ScoringSettings:
    """What retr.json says of it."""
    table = read_json(folder / "retr.json", missing={}).get("late") or {}
    return settings_from(ScoringSettings, table.get("scoring") or {}, f"{folder / 'retr.json'}: late.scoring")


def copy_scoring(folder: Path, out: Path) -> None:
    """Write what a folder says of its scoring, and the weights of it, into another; nothing where it is MaxSim."""
    settings = read_scoring(folder)
    if settings != ScoringSettings():
        text = json.dumps({"late": {"kind": "late", "scoring": asdict(settings)}}, indent=2)
        (out / "retr.json").write_text(text + "\n", encoding="utf-8")
    if settings.name == "xpool":
        shutil.copyfile(folder / PARTS, out / PARTS)


def joined(texts: list[Floats], dim: int) -> TokenVectors:
    """Texts' tokens [tokens, dim] end to end."""
    values = np.concatenate([np.empty((0, dim), np.float32), *texts])
    return TokenVectors(values, np.cumsum([0, *map(len, texts)]).astype(np.int64))
