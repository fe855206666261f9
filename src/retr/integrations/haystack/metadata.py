"""What Haystack asks of a store beyond its protocol: by filter, and about the metadata."""

import json
from collections.abc import Iterator
from typing import Any

from retr.integrations.haystack.asynchronous import in_thread
from retr.integrations.haystack.documents import NOT_EMBEDDED
from retr.integrations.haystack.filters import HaystackFilter, to_filter
from retr.integrations.shelf import Shelf
from retr.retrieval.records import Document

TYPES = {bool: "boolean", int: "int", float: "float"}
"""A value's type to Haystack's word for it; every other is a keyword."""


class MetadataMethods:
    """To be mixed into a store that has a shelf."""

    shelf: Shelf

    def count_documents_by_filter(self, filters: HaystackFilter) -> int:
        """How many documents pass."""
        return self.shelf.collection.count(to_filter(filters, self.shelf))

    def delete_all_documents(self, recreate_index: bool = False) -> None:
        """Delete every document; the index stays. With `recreate_index`, erase them from its files as well."""
        self.shelf.remove(self.shelf.collection.ids())
        if recreate_index:
            self.shelf.compact()

    def delete_by_filter(self, filters: HaystackFilter) -> int:
        """Delete the documents that pass; gives how many."""
        return self.shelf.remove(self.shelf.collection.ids(to_filter(filters, self.shelf)))

    def update_by_filter(self, filters: HaystackFilter, meta: dict[str, Any]) -> int:
        """Set these metadata in the documents that pass; gives how many. Nothing is encoded anew."""
        changed = [
            Document(each.id, each.text, each.title, {**each.metadata, **meta}, each.source)
            for each in self._documents(filters)
        ]
        self.shelf.rewrite(changed)
        return len(changed)

    def count_unique_metadata_by_filter(self, filters: HaystackFilter, metadata_fields: list[str]) -> dict[str, int]:
        """How many different values each field has among the documents that pass."""
        documents = list(self._documents(filters))
        return {key: len(_distinct(documents, key)) for key in map(_key, metadata_fields)}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Every field with its type: keyword, int, float or boolean; where they differ, the last one's."""
        found: dict[str, str] = {}
        for document in self._documents(None):
            for name, value in document.metadata.items():
                if value is not None and name != NOT_EMBEDDED:
                    found[name] = TYPES.get(type(value), "keyword")
        return {name: {"type": kind} for name, kind in found.items()}

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """The least and the greatest value of a field; None for both where it has none, or texts and numbers."""
        values = [value for value in self._values(_key(metadata_field)) if isinstance(value, int | float | str)]
        if not values or len({isinstance(value, str) for value in values}) > 1:
            return {"min": None, "max": None}
        return {"min": min(values), "max": max(values)}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: HaystackFilter | None = None,
    ) -> tuple[list[Any], int]:
        """Some of a field's different values, in the order of their texts, and how many there are.

        `search_term` keeps those in whose text it stands, in capitals or not.
        """
        term = (search_term or "").lower()
        values = _distinct(self._documents(filters), _key(metadata_field)).values()
        kept = sorted((value for value in values if term in str(value).lower()), key=lambda v: (str(v), str(type(v))))
        return kept[from_ : from_ + size], len(kept)

    def _documents(self, filters: HaystackFilter | None) -> Iterator[Document]:
        collection = self.shelf.collection
        yield from collection.get(collection.ids(to_filter(filters, self.shelf)))

    def _values(self, key: str) -> Iterator[Any]:
        return (each.metadata[key] for each in self._documents(None) if each.metadata.get(key) is not None)

    count_documents_by_filter_async = in_thread(count_documents_by_filter)
    delete_all_documents_async = in_thread(delete_all_documents)
    delete_by_filter_async = in_thread(delete_by_filter)
    update_by_filter_async = in_thread(update_by_filter)
    count_unique_metadata_by_filter_async = in_thread(count_unique_metadata_by_filter)
    get_metadata_fields_info_async = in_thread(get_metadata_fields_info)
    get_metadata_field_min_max_async = in_thread(get_metadata_field_min_max)
    get_metadata_field_unique_values_async = in_thread(get_metadata_field_unique_values)


def _key(field: str) -> str:
    return field.removeprefix("meta.")


def _distinct(documents: Any, key: str) -> dict[tuple[str, str], Any]:
    """Values by their type and JSON, so that 1, 1.0, "1" and true are four."""
    found: dict[tuple[str, str], Any] = {}
    for document in documents:
        value = document.metadata.get(key)
        if value is not None:
            found.setdefault((type(value).__name__, json.dumps(value, sort_keys=True)), value)
    return found
