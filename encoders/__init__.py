"""Models that read text. Listing them imports nothing heavy; loading one imports what it needs."""

from collections.abc import Mapping

from retr.encoders.models import DEFAULT_MODEL, MODELS, Model
from retr.retrieval.kinds import Spec, resolve
from retr.retrieval.protocols import Encoder, Scorer

ENCODERS = {"bi": "retr.encoders.bi:load", "static": "retr.encoders.static.encoder:load"}
"""Kind to a callable `source -> Encoder`."""

SCORERS = {"cross": "retr.encoders.cross:load"}
"""Kind to a callable `source -> Scorer`."""

__all__ = ["DEFAULT_MODEL", "ENCODERS", "MODELS", "SCORERS", "Model", "load_encoder", "load_scorer"]


def load_encoder(spec: str = DEFAULT_MODEL) -> Encoder:
    """The encoder of `KIND=SOURCE`, of `module:attribute=SOURCE`, or of a folder or name, which tells its kind."""
    parsed = _parse(spec, ENCODERS, "bi")
    encoder: Encoder = resolve(parsed.kind, ENCODERS, "encoder")(parsed.source)
    return encoder


def load_scorer(spec: str) -> Scorer:
    """The scorer of `KIND=SOURCE`, of `module:attribute=SOURCE`, or of a folder, which tells its kind."""
    parsed = _parse(spec, SCORERS, "cross")
    scorer: Scorer = resolve(parsed.kind, SCORERS, "scorer")(parsed.source)
    return scorer


def _parse(spec: str, known: Mapping[str, str], default: str) -> Spec:
    """The spec with its kind; where none is written, the one that the source is of."""
    parsed = Spec.parse(spec, default_kind=default)
    if "=" in spec:
        return parsed
    from retr.encoders.reading.kinds import kind_of

    return Spec(kind_of(parsed.source, known, default), parsed.source)
