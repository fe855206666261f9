"""Chroma's persistent client with vectors given and its default graph (M 16, ef_construction 100)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stores.protocol import Floats, Options, Rows, Setting, batches


class Chroma:
    """One collection."""

    sweep: Sequence[Setting] = [{"ef_search": ef} for ef in (16, 32, 48, 64, 100, 150, 200, 300, 500)]
    filters = True

    def build(self, folder: Path, rows: Rows) -> None:
        """Add in the largest batches that the client takes."""
        import chromadb

        client = chromadb.PersistentClient(path=str(folder))
        hnsw = {"space": "ip", "ef_search": 100}
        collection = client.create_collection("docs", embedding_function=None, configuration={"hnsw": hnsw})
        for start, stop in batches(len(rows), client.get_max_batch_size()):
            pairs = zip(rows.buckets[start:stop].tolist(), rows.sets[start:stop], strict=True)
            collection.add(
                ids=[f"s{row}" for row in range(start, stop)],
                embeddings=rows.vectors[start:stop],
                metadatas=[{"bucket": bucket, "set": name} for bucket, name in pairs],
            )

    def open(self, folder: Path) -> None:
        """The collection on disk."""
        import chromadb

        self.folder = folder
        self.collection = chromadb.PersistentClient(path=str(folder)).get_collection("docs", embedding_function=None)

    def tune(self, setting: Setting) -> None:
        """Change the collection's ef, and load it anew: the graph in memory keeps the old one."""
        from chromadb.api.shared_system_client import SharedSystemClient

        self.collection.modify(configuration={"hnsw": {"ef_search": setting["ef_search"]}})
        SharedSystemClient.clear_system_cache()
        self.open(self.folder)

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Ids."""
        return list(self.collection.query(query_embeddings=query[None], n_results=k, include=[])["ids"][0])

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Ids."""
        where: Any = {"$and": [{"bucket": {"$gte": low}}, {"bucket": {"$lt": high}}]}
        found = self.collection.query(query_embeddings=query[None], n_results=k, where=where, include=[])
        return list(found["ids"][0])

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """`s12` is row 12."""
        return [int(id[1:]) for id in ids]


def store(options: Options) -> Chroma:
    """No options."""
    return Chroma()
