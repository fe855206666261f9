"""Models that read text. Listing them imports nothing heavy; loading one imports what it needs."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from retr.encoders.models import DEFAULT_MODEL, MODELS, Model
from retr.retrieval.errors import BadInput
from retr.retrieval.kinds import Spec, resolve
from retr.retrieval.protocols import Encoder, Scorer

ENCODERS = {
    "bi": "retr.encoders.bi:load",
    "static": "retr.encoders.static.encoder:load",
    "dse": "retr.encoders.distilled.encoder:load",
    "late": "retr.encoders.late.encoder:load",
    "llm": "retr.encoders.llm.encoder:load",
    "lexsem": "retr.encoders.lexsem.encoder:load",
    "smith": "retr.encoders.smith.encoder:load",
    "filip": "retr.encoders.images.encoder:load",
}
"""Kind to a callable `source -> Encoder`."""

READS_IMAGES = ("filip",)
"""Kinds of encoders that read images as well."""

SCORERS = {
    "cross": "retr.encoders.cross:load",
    "uni": "retr.encoders.uni:load",
    "poly": "retr.encoders.poly:load",
    "dse": "retr.encoders.distilled.scorer:load",
    "late": "retr.encoders.late.scorer:load",
    "mvp": "retr.encoders.mvp.scorer:load",
    "ql": "retr.encoders.llm.ql:load",
}
"""Kind to a callable `source -> Scorer`."""

__all__ = ["DEFAULT_MODEL", "ENCODERS", "MODELS", "SCORERS", "Model", "load_encoder", "load_scorer", "reads_images"]


def load_encoder(spec: str = DEFAULT_MODEL, *, device: str = "") -> Encoder:
    """The encoder of `KIND=SOURCE`, of `module:attribute=SOURCE`, or of a folder or name, which tells its kind.

    `device` is cpu, cuda, cuda:N, mps or auto, with a precision where wanted (`cuda+bfloat16`). Empty: RETR_DEVICE
    for the kinds that can move, else the CPU.
    """
    parsed = _parse(spec, ENCODERS, "bi")
    encoder: Encoder = _load(resolve(parsed.kind, ENCODERS, "encoder"), parsed, device)
    return encoder


def load_scorer(spec: str, *, device: str = "") -> Scorer:
    """The scorer of `KIND=SOURCE`, of `module:attribute=SOURCE`, or of a folder, on a device as an encoder."""
    parsed = _parse(spec, SCORERS, "cross")
    scorer: Scorer = _load(resolve(parsed.kind, SCORERS, "scorer"), parsed, device)
    return scorer


def reads_images(spec: str) -> bool:
    """Whether the encoder that a spec names reads images, told by its kind; nothing is loaded."""
    kind = _parse(spec, ENCODERS, "bi").kind
    return kind in READS_IMAGES or (
        kind not in ENCODERS and hasattr(resolve(kind, ENCODERS, "encoder"), "encode_images")
    )


def _load(loader: Callable[..., Any], spec: Spec, device: str) -> Any:
    if not device:
        return loader(spec.source)
    if "device" in signature(loader).parameters:
        return loader(spec.source, device=device)
    if device in ("cpu", "auto"):
        return loader(spec.source)
    raise BadInput(f"The kind {spec.kind} runs on the CPU alone; got the device {device!r}. Leave it out, or use cpu.")


def _parse(spec: str, known: Mapping[str, str], default: str) -> Spec:
    """The spec with its kind; where none is written, the one that the source is of."""
    parsed = Spec.parse(spec, default_kind=default)
    if parsed.kind not in known and parsed.kind in {**ENCODERS, **SCORERS}:
        right, wrong = ("--rerank", "--encoder") if known is ENCODERS else ("--encoder", "--rerank")
        raise BadInput(f"The kind {parsed.kind} goes with {right}, not with {wrong}. Give {right} {parsed}.")
    if "=" in spec:
        return parsed
    from retr.encoders.reading.kinds import kind_of

    return Spec(kind_of(parsed.source, known, default), parsed.source)
