"""Anything of retr's to a model for MTEB: a spec, a collection's folder, or an object."""

from pathlib import Path

from retr.encoders import ENCODERS, SCORERS, load_encoder, load_scorer
from retr.index.disk.manifest import holds_index
from retr.integrations.mteb.collection import MtebCollection
from retr.integrations.mteb.encoder import MtebEncoder
from retr.integrations.mteb.reranker import MtebReranker
from retr.retrieval.errors import BadInput
from retr.retrieval.kinds import Spec
from retr.retrieval.protocols import Encoder, Scorer

MtebModel = MtebEncoder | MtebReranker | MtebCollection


def to_mteb(model: str | Path | Encoder | Scorer) -> MtebModel:
    """An encoder, a scorer, `KIND=SOURCE` of either, a model's folder or name, or the folder of a collection.

    A collection's folder stands for its encoder and settings, as with `MtebCollection.like`. BadInput for an object
    that is neither encoder nor scorer.
    """
    if isinstance(model, str | Path):
        if holds_index(Path(model)):
            return MtebCollection.like(model)
        model = _load(str(model))
    if isinstance(model, Encoder):
        return MtebEncoder(model)
    if isinstance(model, Scorer):
        return MtebReranker(model)
    raise BadInput(
        f"{type(model).__name__} is neither an encoder (encode_queries, encode_documents, dim, similarity, "
        "fingerprint) nor a scorer (score, comparable, fingerprint). Give it what is missing."
    )


def _load(spec: str) -> Encoder | Scorer:
    kind = Spec.parse(spec, default_kind="bi").kind
    return load_scorer(spec) if kind in SCORERS and kind not in ENCODERS else load_encoder(spec)
