"""A scorer as LlamaIndex's node postprocessor."""

from typing import Any

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import PrivateAttr

from retr import opening
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Scorer
from retr.retrieval.records import Hit
from retr.retrieval.rerank import rerank


class RetrReranker(BaseNodePostprocessor):
    """`model` is a scorer as `--rerank` takes it, such as `cross=FOLDER`; the best `top_n` nodes are kept."""

    model: str
    top_n: int = 3

    _scorer: Scorer = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Load the scorer."""
        super().model_post_init(context)
        self._scorer = opening.load_scorer(self.model)

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex serializes."""
        return "RetrReranker"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise BadInput("Reranking needs the query. Give query_bundle or query_str.")
        hits = [Hit(str(place), 0.0, text=_text(node)) for place, node in enumerate(nodes)]
        best = rerank(query_bundle.query_str, hits, self._scorer)[: self.top_n]
        return [NodeWithScore(node=nodes[int(hit.id)].node, score=hit.score) for hit in best]


def _text(node: NodeWithScore) -> str:
    return node.node.get_content(metadata_mode=MetadataMode.NONE)
