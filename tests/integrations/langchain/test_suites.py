"""LangChain's own suites, `langchain-tests`, over our classes."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_tests", reason="LangChain's suites need the package langchain-tests")

from langchain_core.embeddings import Embeddings
from langchain_core.indexing.base import DocumentIndex
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite
from langchain_tests.unit_tests import EmbeddingsUnitTests

import retr
from retr.integrations.langchain import RetrDocumentIndex, RetrEmbeddings, RetrRetriever, RetrVectorStore

EMBEDDER: dict[str, Any] = {"model": "models_of_users:load_letters=letters"}


class TestVectorStore(VectorStoreIntegrationTests):
    """The store with LangChain's own stand-in for an embedder."""

    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> VectorStore:
        return RetrVectorStore(self.get_embeddings(), tmp_path / "index")


class TestEmbeddings(EmbeddingsIntegrationTests):
    """An encoder of the user's own as Embeddings."""

    @pytest.fixture(autouse=True)
    def _models(self, users: Any) -> None:
        """`models_of_users` can be imported."""

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return RetrEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return EMBEDDER


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    """What can be said of it before it embeds."""

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return RetrEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return EMBEDDER


class TestRetriever(RetrieversIntegrationTests):
    """The retriever over an index that was made without LangChain."""

    @pytest.fixture(autouse=True)
    def _index(self, tmp_path: Path) -> None:
        self.path = tmp_path / "index"
        texts = ["a red fish", "a red stone", "a red cat", "a blue fish"]
        retr.create(self.path, encoder=None).add(retr.Document(f"d{n}", text) for n, text in enumerate(texts))

    @property
    def retriever_constructor(self) -> type[RetrRetriever]:
        return RetrRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"path": self.path, "mode": "lexical"}

    @property
    def retriever_query_example(self) -> str:
        return "what is red, and what is a fish"


def document_index(folder: Path) -> RetrDocumentIndex:
    return RetrDocumentIndex(store=RetrVectorStore(VectorStoreIntegrationTests.get_embeddings(), folder))


class TestDocumentIndex(DocumentIndexerTestSuite):
    """The document index, which is beta in LangChain."""

    @pytest.fixture
    def index(self, tmp_path: Path) -> DocumentIndex:
        return document_index(tmp_path / "index")


class TestDocumentIndexAsync(AsyncDocumentIndexTestSuite):
    """The same, awaited."""

    @pytest.fixture
    def index(self, tmp_path: Path) -> DocumentIndex:
        return document_index(tmp_path / "index")
