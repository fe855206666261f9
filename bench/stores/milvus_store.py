"""Milvus Lite through pymilvus, with an HNSW index of its own defaults."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stores.protocol import Floats, Options, Rows, Setting, batches


class Milvus:
    """One collection."""

    sweep: Sequence[Setting] = [{"ef": ef} for ef in (16, 32, 64, 128, 256, 512)]
    filters = True

    def build(self, folder: Path, rows: Rows) -> None:
        """Insert in batches, index, flush."""
        from pymilvus import DataType, MilvusClient

        client = MilvusClient(str(folder / "docs.db"))
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("bucket", DataType.INT64)
        schema.add_field("set", DataType.VARCHAR, max_length=64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=rows.vectors.shape[1])
        index = client.prepare_index_params()
        index.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 200})
        client.create_collection("docs", schema=schema, index_params=index)
        for start, stop in batches(len(rows), 1000):
            client.insert("docs", [self._row(rows, row) for row in range(start, stop)])
        client.flush("docs")
        client.close()

    def _row(self, rows: Rows, row: int) -> dict[str, Any]:
        known = {"id": row, "bucket": int(rows.buckets[row]), "set": rows.sets[row]}
        return {**known, "vector": rows.vectors[row].tolist()}

    def open(self, folder: Path) -> None:
        """Open and load, as the client asks for."""
        from pymilvus import MilvusClient

        self.client = MilvusClient(str(folder / "docs.db"))
        self.client.load_collection("docs")
        self.tune({"ef": 64})

    def tune(self, setting: Setting) -> None:
        """Keep ef."""
        self.params: dict[str, Any] = {"metric_type": "IP", "params": {"ef": setting["ef"]}}

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Ids."""
        return self._ask(query, k, "")

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Ids."""
        return self._ask(query, k, f"bucket >= {low} and bucket < {high}")

    def _ask(self, query: Floats, k: int, wanted: str) -> Sequence[Any]:
        found = self.client.search("docs", data=[query.tolist()], limit=k, filter=wanted, search_params=self.params)
        return [hit["id"] for hit in found[0]]

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """Ids are rows."""
        return list(ids)


def store(options: Options) -> Milvus:
    """No options."""
    return Milvus()
