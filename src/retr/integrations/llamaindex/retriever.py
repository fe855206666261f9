"""An index folder as LlamaIndex's retriever: the passages that answer, best first."""

import asyncio
from pathlib import Path

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle

from retr import opening
from retr.index.settings import SearchSettings
from retr.integrations.llamaindex.nodes import scored
from retr.integrations.shelf import Shelf


class RetrRetriever(BaseRetriever):
    """`path` is an index made by `retr index` or by any adapter that encodes.

    `search` has mode and filter; `rerank` is a scorer as `--rerank` takes it. With `whole`, documents come in full,
    one hit each; without, the passage that matched.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        similarity_top_k: int = 4,
        search: SearchSettings | None = None,
        rerank: str | None = None,
        whole: bool = False,
    ) -> None:
        super().__init__()
        self._shelf = Shelf(path, create=False)
        self._k = similarity_top_k
        self._search = search or SearchSettings()
        self._scorer = None if rerank is None else opening.load_scorer(rerank)
        self._whole = whole

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._shelf.by_text(
            query_bundle.query_str, self._k, settings=self._search, rerank=self._scorer, whole=self._whole
        )
        return scored(hits)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)
