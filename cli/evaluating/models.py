"""The model that scores given texts: an encoder by similarity, or a scorer that reads both together."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retr.cli.evaluating.asked import Asked
    from retr.retrieval.protocols import Encoder, Scorer, Similarity


def model_of(asked: "Asked") -> "tuple[Encoder | None, Scorer | None, Similarity | None]":
    """One of encoder and scorer, loaded now, and the similarity that was asked for."""
    from retr.encoders import DEFAULT_MODEL, load_encoder, load_scorer
    from retr.retrieval.errors import BadInput

    similarity = similarity_of(asked)
    if asked.rerank is None:
        return load_encoder(asked.encoder or DEFAULT_MODEL), None, similarity
    if asked.encoder is not None or similarity is not None:
        raise BadInput("--rerank scores the texts by itself, so --encoder and --similarity have no meaning with it.")
    return None, load_scorer(asked.rerank), None


def similarity_of(asked: "Asked") -> "Similarity | None":
    """The similarity asked for, checked."""
    from retr.retrieval.errors import unknown

    if asked.similarity is None:
        return None
    if asked.similarity == "cosine":
        return "cosine"
    if asked.similarity == "dot":
        return "dot"
    raise unknown("similarity", asked.similarity, ("cosine", "dot"))


def name_of(asked: "Asked") -> str:
    """What stands for the model in a table."""
    from retr.encoders import DEFAULT_MODEL

    return asked.rerank or asked.encoder or DEFAULT_MODEL
