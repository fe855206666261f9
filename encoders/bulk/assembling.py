"""A finished folder of vectors to one file, read and written a shard at a time."""

from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.bulk.folder import written
from retr.encoders.bulk.reading import Block, EncodedFolder
from retr.encoders.bulk.writing import npy_head
from retr.retrieval.errors import BadInput, NotFound

KINDS = (".npy", ".parquet")


def ids_path(out: Path) -> Path:
    """Where the ids of a `.npy` file lie: `vectors.npy` has `vectors.ids.parquet` beside it."""
    return out.with_suffix(".ids.parquet")


def check_file(out: Path) -> None:
    """What would make `assemble` fail, said before the work: NotFound or BadInput."""
    if out.is_dir():
        raise BadInput(f"{str(out)!r} is a folder; give the name of a file that is new or may be replaced.")
    if not out.absolute().parent.is_dir():
        raise NotFound(f"There is no folder {str(out.parent)!r} for {out.name!r}. Make it first.")


def assemble(folder: EncodedFolder, out: Path) -> None:
    """Write all vectors into one `.npy` file with a file of ids beside it, or into one Parquet file.

    `.npy` holds [texts, dim]; Parquet the columns `id`, `text` (where the folder keeps texts) and `vector`, a list of
    fixed size. The file gets its name when it is whole.
    """
    if out.suffix == ".npy":
        _write_npy(folder, out)
    elif out.suffix == ".parquet":
        _write_parquet(folder, out, vectors=True)
    else:
        raise BadInput(f"{str(out)!r} is no kind of file for vectors. Kinds: {', '.join(KINDS)}.")


def _write_npy(folder: EncodedFolder, out: Path) -> None:
    _write_parquet(folder, ids_path(out), vectors=False)
    with written(out) as file:
        file.write(npy_head((len(folder), folder.dim), folder.manifest.dtype))
        for block in folder.blocks():
            file.write(np.ascontiguousarray(block.values).data)


def _write_parquet(folder: EncodedFolder, out: Path, *, vectors: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = pa.float32() if folder.manifest.dtype == "float32" else pa.float16()
    columns = [pa.field("id", pa.string()), *([pa.field("vector", pa.list_(kind, folder.dim))] if vectors else [])]
    blocks = folder.blocks(check=vectors)
    first = next(blocks, None)
    if first is not None and first.texts is not None:
        columns.insert(1, pa.field("text", pa.string()))
    schema = pa.schema(columns)
    with written(out) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while first is not None:
            writer.write_table(pa.table(_columns(first, schema), schema))
            first = next(blocks, None)


def _columns(block: Block, schema: Any) -> dict[str, Any]:
    import pyarrow as pa

    columns: dict[str, Any] = {"id": block.ids, "text": block.texts}
    if "vector" in schema.names:
        field = schema.field("vector").type
        columns["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(block.values.ravel()), field.list_size)
    return {name: columns[name] for name in schema.names}
