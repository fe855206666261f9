"""A scorer as Haystack's ranker."""

from dataclasses import replace
from typing import Any

from haystack import component, default_from_dict, default_to_dict
from haystack.dataclasses import Document as HaystackDocument

from retr import opening
from retr.retrieval.protocols import Scorer
from retr.retrieval.records import Hit
from retr.retrieval.rerank import rerank


@component
class RetrRanker:
    """Documents ordered by a scorer; `model` is given as `--rerank` takes it, such as `cross=FOLDER`."""

    def __init__(self, model: str, top_k: int = 10) -> None:
        self.model = model
        self.top_k = top_k
        self._scorer: Scorer | None = None

    def to_dict(self) -> dict[str, Any]:
        """What it was made with."""
        return default_to_dict(self, model=self.model, top_k=self.top_k)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "RetrRanker":
        """What `to_dict` told of."""
        made: RetrRanker = default_from_dict(cls, data)
        return made

    def warm_up(self) -> None:
        """Load the model."""
        if self._scorer is None:
            self._scorer = opening.load_scorer(self.model)

    @component.output_types(documents=list[HaystackDocument])
    def run(self, query: str, documents: list[HaystackDocument], top_k: int | None = None) -> dict[str, Any]:
        """Copies of the best documents, best first, with the scorer's scores."""
        self.warm_up()
        assert self._scorer is not None
        hits = [Hit(str(place), 0.0, text=document.content or "") for place, document in enumerate(documents)]
        best = rerank(query, hits, self._scorer)[: self.top_k if top_k is None else top_k]
        return {"documents": [replace(documents[int(hit.id)], score=hit.score) for hit in best]}
