"""Qdrant's client in its local mode: no server, exact search in numpy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stores.protocol import Floats, Options, Rows, Setting, batches


class Qdrant:
    """One collection."""

    sweep: Sequence[Setting] = [{}]
    filters = True

    def build(self, folder: Path, rows: Rows) -> None:
        """Upload in batches."""
        from qdrant_client import QdrantClient, models

        client = QdrantClient(path=str(folder))
        params = models.VectorParams(size=rows.vectors.shape[1], distance=models.Distance.DOT)
        client.create_collection("docs", vectors_config=params)
        for start, stop in batches(len(rows), 5000):
            pairs = zip(rows.buckets[start:stop].tolist(), rows.sets[start:stop], strict=True)
            payload = [{"bucket": bucket, "set": name} for bucket, name in pairs]
            client.upload_collection(
                "docs", vectors=rows.vectors[start:stop], ids=range(start, stop), payload=payload, batch_size=1000
            )
        client.close()

    def open(self, folder: Path) -> None:
        """The collection on disk."""
        from qdrant_client import QdrantClient

        self.client = QdrantClient(path=str(folder))

    def tune(self, setting: Setting) -> None:
        """Nothing to choose."""

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Ids."""
        return [point.id for point in self.client.query_points("docs", query=query, limit=k).points]

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Ids."""
        from qdrant_client import models

        condition = models.FieldCondition(key="bucket", range=models.Range(gte=low, lt=high))
        wanted = models.Filter(must=[condition])
        return [p.id for p in self.client.query_points("docs", query=query, limit=k, query_filter=wanted).points]

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """Ids are rows."""
        return list(ids)


def store(options: Options) -> Qdrant:
    """No options."""
    return Qdrant()
