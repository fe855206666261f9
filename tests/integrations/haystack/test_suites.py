"""Haystack's own suites, `haystack.testing`, over our document store, with vectors that come with the documents."""

from pathlib import Path

import pytest

pytest.importorskip("haystack", reason="the adapter needs the package haystack-ai")

from haystack.dataclasses import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing import document_store as sync
from haystack.testing import document_store_async as awaited

from retr.integrations.haystack import RetrDocumentStore


class TestDocumentStore(
    sync.DocumentStoreBaseExtendedTests,
    sync.CountDocumentsByFilterTest,
    sync.CountUniqueMetadataByFilterTest,
    sync.GetMetadataFieldsInfoTest,
    sync.GetMetadataFieldMinMaxTest,
    sync.GetMetadataFieldUniqueValuesTest,
):
    """Every class of the suite."""

    @pytest.fixture
    def document_store(self, tmp_path: Path) -> RetrDocumentStore:
        return RetrDocumentStore(str(tmp_path / "index"), embedding_dim=768)

    def test_write_documents(self, document_store: RetrDocumentStore) -> None:
        """Without a policy it is FAIL; the suite leaves this to the store."""
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document], DuplicatePolicy.NONE)
        assert document_store.filter_documents() == [document]


class TestDocumentStoreAsync(
    awaited.CountDocumentsAsyncTest,
    awaited.WriteDocumentsAsyncTest,
    awaited.DeleteDocumentsAsyncTest,
    awaited.FilterDocumentsAsyncTest,
    awaited.DeleteAllAsyncTest,
    awaited.DeleteByFilterAsyncTest,
    awaited.UpdateByFilterAsyncTest,
    awaited.CountDocumentsByFilterAsyncTest,
    awaited.CountUniqueMetadataByFilterAsyncTest,
    awaited.GetMetadataFieldsInfoAsyncTest,
    awaited.GetMetadataFieldMinMaxAsyncTest,
    awaited.GetMetadataFieldUniqueValuesAsyncTest,
):
    """Every class of the suite, awaited."""

    @pytest.fixture
    def document_store(self, tmp_path: Path) -> RetrDocumentStore:
        return RetrDocumentStore(str(tmp_path / "index"), embedding_dim=768)

    @pytest.mark.asyncio
    async def test_write_documents_async(self, document_store: RetrDocumentStore) -> None:
        """As above."""
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document], DuplicatePolicy.NONE)
        assert document_store.filter_documents() == [document]
