"""An index folder as LangChain's BaseRetriever: the passages that answer, best first."""

from pathlib import Path
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import run_in_executor
from pydantic import PrivateAttr

from retr import opening
from retr.index.settings import Mode, SearchSettings
from retr.integrations.langchain.documents import from_hit
from retr.integrations.langchain.filters import LangChainFilter, to_filter
from retr.integrations.shelf import Shelf
from retr.retrieval.protocols import Scorer


class RetrRetriever(BaseRetriever):
    """`path` is an index made by `retr index` or by any adapter.

    `rerank` is a scorer as `--rerank` takes it. With `whole`, documents come in full, one hit each; without, the
    passage that matched. A document's metadata gain its `score`, `title`, `source` and `page`.
    """

    path: Path
    k: int = 4
    mode: Mode = "hybrid"
    where: str | None = None
    rerank: str | None = None
    whole: bool = False

    _shelf: Shelf = PrivateAttr()
    _scorer: Scorer | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Open the index; NotFound when there is none."""
        super().model_post_init(context)
        self._shelf = Shelf(self.path, create=False)
        self._scorer = None if self.rerank is None else opening.load_scorer(self.rerank)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: LangChainFilter = None,
    ) -> list[LangChainDocument]:
        """`k` and `filter` are for this call alone."""
        where = self.where if filter is None else to_filter(filter, self._shelf)
        settings = SearchSettings(mode=self.mode, where=where)
        wanted = self.k if k is None else k
        hits = self._shelf.by_text(query, wanted, settings=settings, rerank=self._scorer, whole=self.whole)
        found = [from_hit(hit) for hit in hits]
        for document, hit in zip(found, hits, strict=True):
            document.metadata["score"] = hit.score
        return found

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **asked: Any
    ) -> list[LangChainDocument]:
        """As above, in a thread."""
        manager = run_manager.get_sync()
        return await run_in_executor(None, self._get_relevant_documents, query, run_manager=manager, **asked)
