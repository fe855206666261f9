"""Models that read text. Listing them imports nothing heavy; loading one imports what it needs."""

from retr.encoders.models import DEFAULT_MODEL, MODELS, Model
from retr.retrieval.kinds import Spec, resolve
from retr.retrieval.protocols import Encoder, Scorer

ENCODERS = {"bi": "retr.encoders.bi:load"}
"""Kind to a callable `source -> Encoder`."""

SCORERS = {"cross": "retr.encoders.cross:load"}
"""Kind to a callable `source -> Scorer`."""

__all__ = ["DEFAULT_MODEL", "ENCODERS", "MODELS", "SCORERS", "Model", "load_encoder", "load_scorer"]


def load_encoder(spec: str = DEFAULT_MODEL) -> Encoder:
    """The encoder of `KIND=SOURCE`, of a folder or model name (kind `bi`), or of `module:attribute=SOURCE`."""
    parsed = Spec.parse(spec, default_kind="bi")
    encoder: Encoder = resolve(parsed.kind, ENCODERS, "encoder")(parsed.source)
    return encoder


def load_scorer(spec: str) -> Scorer:
    """The scorer of `KIND=SOURCE`, of a folder (kind `cross`), or of `module:attribute=SOURCE`."""
    parsed = Spec.parse(spec, default_kind="cross")
    scorer: Scorer = resolve(parsed.kind, SCORERS, "scorer")(parsed.source)
    return scorer
