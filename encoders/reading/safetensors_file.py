"""Safetensors files without torch: a JSON head, then every tensor's bytes (github.com/huggingface/safetensors)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged, NotFound

Array = NDArray[Any]
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "I8": "i1"}
WRITTEN = {"float32": "F32", "float16": "F16", "int8": "I8"}
MAX_HEAD_BYTES = 100_000_000


def weight_files(folder: Path) -> list[Path]:
    """model.safetensors, or the files that model.safetensors.index.json names; an empty list where there are none."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        return []
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError):
        raise Damaged(f"{index} is not an index of safetensors files. Get the folder again.") from None
    files = [folder / Path(str(name)).name for name in names]
    for file in files:
        if not file.is_file():
            raise NotFound(f"{index} names {file.name!r}, which is missing. Get the folder again.")
    return files


def read_safetensors(files: list[Path]) -> dict[str, Array]:
    """Tensors by name, mapped into memory; half precision becomes float32 when it is used (see `floats`)."""
    found: dict[str, Array] = {}
    for file in files:
        found |= _read_file(file)
    return found


def floats(tensor: Array) -> Floats:
    """The tensor in float32. bfloat16 is held as uint16: the upper half of a float32's bits."""
    if tensor.dtype == np.uint16:
        return (tensor.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(tensor, dtype=np.float32)


def write_safetensors(path: Path, tensors: Mapping[str, Array]) -> None:
    """The tensors in their own types, end to end after a head that is padded to 8 bytes, as the format asks."""
    head: dict[str, Any] = {}
    end = 0
    for name, values in tensors.items():
        head[name] = {"dtype": WRITTEN[str(values.dtype)], "shape": list(values.shape)}
        head[name]["data_offsets"] = [end, end := end + values.nbytes]
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            np.ascontiguousarray(values).tofile(file)


def _read_file(path: Path) -> dict[str, Array]:
    size = path.stat().st_size
    if size < 8:
        raise Damaged(f"{path} has {size} bytes; that is no safetensors file. Get it again.")
    data = np.memmap(path, dtype=np.uint8, mode="r")
    start = 8 + int(data[:8].view("<u8")[0])
    if start > min(size, MAX_HEAD_BYTES):
        raise Damaged(f"{path} is not a safetensors file, or is cut off. Get it again.")
    try:
        head = json.loads(bytes(data[8:start]))
        return {name: _tensor(data[start:], entry) for name, entry in head.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Damaged(f"{path} is not a readable safetensors file ({reason}). Get it again.") from None


def _tensor(data: Array, entry: dict[str, Any]) -> Array:
    first, last = entry["data_offsets"]
    dtype = np.dtype(DTYPES[entry["dtype"]])
    if not 0 <= first <= last <= len(data) or last - first != dtype.itemsize * int(
        np.prod(entry["shape"], dtype=np.int64)
    ):
        raise ValueError(f"bytes {first} to {last} do not fit the shape {entry['shape']} and {len(data)} bytes of data")
    return np.frombuffer(data[first:last], dtype).reshape(entry["shape"])
