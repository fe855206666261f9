"""A scorer as LangChain's document compressor: documents in, the best of them out."""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor
from langchain_core.documents import Document as LangChainDocument
from pydantic import ConfigDict, PrivateAttr

from retr import opening
from retr.retrieval.protocols import Scorer
from retr.retrieval.records import Hit
from retr.retrieval.rerank import rerank


class RetrReranker(BaseDocumentCompressor):
    """`model` is a scorer as `--rerank` takes it, or an object; `top_n` None keeps all documents, reordered."""

    model: str | Scorer
    top_n: int | None = 3

    model_config = ConfigDict(arbitrary_types_allowed=True)
    _scorer: Scorer = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Load the scorer."""
        self._scorer = opening.load_scorer(self.model) if isinstance(self.model, str) else self.model

    def compress_documents(
        self, documents: Sequence[LangChainDocument], query: str, callbacks: Callbacks | None = None
    ) -> list[LangChainDocument]:
        """The best documents, best first, copied, with the metadata `relevance_score`."""
        hits = [Hit(str(place), 0.0, text=document.page_content) for place, document in enumerate(documents)]
        found = []
        for hit in rerank(query, hits, self._scorer)[: self.top_n]:
            document = documents[int(hit.id)]
            metadata = {**document.metadata, "relevance_score": hit.score}
            found.append(document.model_copy(update={"metadata": metadata}))
        return found
