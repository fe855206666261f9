"""The ids of the vectors in their order, and the texts where they are wanted, as one Parquet file."""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from retr.encoders.bulk.folder import UNFINISHED, sync_folder
from retr.encoders.bulk.sharding import Record

BATCH_ROWS = 8192


class IdsWriter:
    """Writes a row group a shard. The file gets its name, made from what it holds, in `finish`."""

    def __init__(self, folder: Path, *, texts: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._folder, self._texts = folder, texts
        self._path = folder / f"ids{UNFINISHED}"
        columns = [("id", pa.string()), *([("text", pa.string())] if texts else [])]
        self._schema = pa.schema(columns)
        self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def add(self, records: Sequence[Record]) -> None:
        """The next ids."""
        import pyarrow as pa

        columns = {"id": [record.id for record in records]}
        if self._texts:
            columns["text"] = [record.text for record in records]
        for column in columns.values():
            for value in column:
                self._digest.update(len(value).to_bytes(8, "little") + value.encode())
        self._writer.write_table(pa.table(columns, self._schema))

    def finish(self) -> str:
        """Make the file durable; gives its name."""
        self._writer.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        name = f"ids-{self._digest.hexdigest()[:32]}.parquet"
        os.replace(self._path, self._folder / name)
        sync_folder(self._folder)
        return name

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # On a full disk the writer cannot even end; what stopped the run is told.
            self._writer.close()
        self._path.unlink(missing_ok=True)


def read_ids(path: Path) -> Iterator[Any]:
    """The file's row groups as Arrow tables, a few thousand rows each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield pa.Table.from_batches([batch])
