"""zvec with its HNSW index, its own defaults (m 50, ef_construction 500), and an inverted index on the bucket."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stores.protocol import Floats, Options, Rows, Setting, batches


class Zvec:
    """One collection."""

    sweep: Sequence[Setting] = [{"ef": ef} for ef in (16, 32, 48, 64, 100, 150, 200, 300, 500)]
    filters = True

    def build(self, folder: Path, rows: Rows) -> None:
        """Insert in batches of 1,000 (its limit is 1,024), then build the index."""
        import zvec

        number = zvec.FieldSchema("bucket", zvec.DataType.INT32, index_param=zvec.InvertIndexParam(True))
        word = zvec.FieldSchema("set", zvec.DataType.STRING)
        graph = zvec.HnswIndexParam(metric_type=zvec.MetricType.IP)
        vector = zvec.VectorSchema("vector", zvec.DataType.VECTOR_FP32, rows.vectors.shape[1], index_param=graph)
        schema = zvec.CollectionSchema(name="docs", fields=[number, word], vectors=[vector])
        collection = zvec.create_and_open(path=str(folder / "docs"), schema=schema)
        for start, stop in batches(len(rows), 1000):
            values, pairs = rows.vectors[start:stop].tolist(), rows.buckets[start:stop].tolist()
            collection.insert(
                [
                    zvec.Doc(
                        id=f"s{start + at}",
                        vectors={"vector": values[at]},
                        fields={"bucket": pairs[at], "set": rows.sets[start + at]},
                    )
                    for at in range(stop - start)
                ]
            )
        collection.optimize()
        collection.flush()

    def open(self, folder: Path) -> None:
        """The collection on disk, with one thread a query."""
        import zvec

        zvec.init(log_level=zvec.LogLevel.ERROR, query_threads=1)
        self.collection = zvec.open(str(folder / "docs"), zvec.CollectionOption(read_only=True))
        self.tune({"ef": 100})

    def tune(self, setting: Setting) -> None:
        """Keep ef."""
        import zvec

        self.param = zvec.HnswQueryParam(ef=setting["ef"])

    def nearest(self, query: Floats, k: int) -> Sequence[Any]:
        """Ids."""
        return self._ask(query, k, None)

    def filtered(self, query: Floats, k: int, low: int, high: int) -> Sequence[Any]:
        """Ids."""
        return self._ask(query, k, f"bucket >= {low} and bucket < {high}")

    def _ask(self, query: Floats, k: int, wanted: str | None) -> Sequence[Any]:
        import zvec

        asked = zvec.Query("vector", vector=query, param=self.param)
        return [hit.id for hit in self.collection.query(asked, topk=k, filter=wanted, output_fields=[])]

    def rows_of(self, ids: Sequence[Any]) -> list[int]:
        """`s12` is row 12."""
        return [int(id[1:]) for id in ids]


def store(options: Options) -> Zvec:
    """No options."""
    return Zvec()
