"""What MTEB writes beside a model's results: a name, a revision, and what kind of model it is."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from retr.retrieval.errors import missing_package

REVISION_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Facts:
    """A model for MTEB's tables. `identity` is all that its scores depend on: results are kept by name and revision."""

    name: str
    identity: Mapping[str, Any]
    kind: str
    dim: int | None = None
    max_tokens: int | None = None
    similarity: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        """Changes when, and only when, the scores may, so that MTEB's cache never gives another model's results."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:REVISION_DIGITS]

    def to_meta(self) -> Any:
        """As `mteb.ModelMeta`, with what retr cannot know, such as the training data, left open.

        NotFound when mteb is not installed.
        """
        try:
            meta = import_module("mteb.models.model_meta")
        except ModuleNotFoundError as error:
            if error.name != "mteb":
                raise
            raise missing_package("mteb", needed_for="A model for MTEB", extra="mteb") from None
        functions = {
            "cosine": meta.ScoringFunction.COSINE,
            "dot": meta.ScoringFunction.DOT_PRODUCT,
            "maxsim": meta.ScoringFunction.MAX_SIM,
        }
        known = {
            "name": f"retr/{self.name.replace('/', '__')}",
            "revision": self.revision,
            "embed_dim": self.dim,
            "max_tokens": self.max_tokens,
            "similarity_fn_name": functions.get(self.similarity or ""),
            "model_type": [self.kind],
            "experiment_kwargs": dict(self.settings) or None,
        }
        return meta.ModelMeta.create_empty(overwrites=known)


def name_of(model: Any) -> str:
    """The name that an encoder or scorer gives itself in `describe()`, else that of its class."""
    described: dict[str, Any] = getattr(model, "describe", dict)()
    return str(described.get("name") or type(model).__name__)
