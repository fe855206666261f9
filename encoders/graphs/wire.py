"""ONNX files without the onnx package: the few protobuf messages that a graph needs, written and read.

Field numbers are those of onnx.proto (ONNX IR version 9). Only what the graphs here use is covered.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.retrieval.errors import Damaged

Array = NDArray[Any]

IR_VERSION = 9
OPSETS = {"": 18, "com.microsoft": 1}

TYPES: dict[str, int] = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "float16": 10}
NAMES = {number: name for name, number in TYPES.items()}
FLOAT, INT64, FLOAT16, UINT8 = (TYPES[name] for name in ("float32", "int64", "float16", "uint8"))


def varint(value: int) -> bytes:
    """Base-128 little-endian; a negative number as 64-bit two's complement."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(field: int, value: int) -> bytes:
    """One integer field."""
    return varint(field << 3) + varint(value)


def head(field: int, size: int) -> bytes:
    """What stands before the `size` bytes of a length-delimited field."""
    return varint(field << 3 | 2) + varint(size)


def chunk(field: int, value: bytes | str) -> bytes:
    """One length-delimited field: text, bytes, or a message within the message."""
    data = value.encode() if isinstance(value, str) else value
    return head(field, len(data)) + data


def tensor_head(name: str, values: Array) -> bytes:
    """A TensorProto without its data."""
    dims = b"".join(number(1, size) for size in values.shape)
    return dims + number(2, TYPES[values.dtype.name]) + chunk(8, name)


def tensor(name: str, values: Array) -> bytes:
    """A TensorProto with raw little-endian data."""
    return tensor_head(name, values) + chunk(9, np.ascontiguousarray(values).tobytes())


def outside_tensor(name: str, values: Array) -> bytes:
    """A TensorProto whose data is handed to the session apart from the file, so that no size limit is met."""
    return outside_head(name, values, {"location": "memory"})


def outside_head(name: str, values: Array, place: Mapping[str, str]) -> bytes:
    """A TensorProto whose data lies in another file: `place` is its location, offset and length."""
    entries = b"".join(chunk(13, chunk(1, key) + chunk(2, value)) for key, value in place.items())
    return tensor_head(name, values) + entries + number(14, 1)


def attribute(name: str, value: int | float | Sequence[int]) -> bytes:
    """An AttributeProto: a float, an integer or a list of integers."""
    if isinstance(value, float):
        return chunk(1, name) + varint(2 << 3 | 5) + struct.pack("<f", value) + number(20, 1)
    if isinstance(value, int):
        return chunk(1, name) + number(3, value) + number(20, 2)
    return chunk(1, name) + b"".join(number(8, item) for item in value) + number(20, 7)


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]) -> bytes:
    """A NodeProto; `kind` is an operator, with its domain before a colon where it is not ONNX's own."""
    domain, _, operator = kind.rpartition(":")
    body = b"".join(chunk(1, name) for name in inputs) + b"".join(chunk(2, name) for name in outputs)
    body += chunk(3, outputs[0]) + chunk(4, operator)
    body += b"".join(chunk(5, attribute(name, value)) for name, value in attributes.items())
    return body + (chunk(7, domain) if domain else b"")


def value_info(name: str, type: int, shape: Sequence[int | str]) -> bytes:
    """A ValueInfoProto: an input or output; a dimension given as text is free."""
    dims = b"".join(chunk(1, chunk(2, size) if isinstance(size, str) else number(1, size)) for size in shape)
    return chunk(1, name) + chunk(2, chunk(1, number(1, type) + chunk(2, dims)))


def model(nodes: Sequence[bytes], tensors: Sequence[bytes], inputs: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
    """A ModelProto: the whole file."""
    graph = [chunk(1, item) for item in nodes] + [chunk(2, "retr")] + [chunk(5, item) for item in tensors]
    graph += [chunk(11, item) for item in inputs] + [chunk(12, item) for item in outputs]
    opsets = [
        chunk(8, (chunk(1, domain) if domain else b"") + number(2, version)) for domain, version in OPSETS.items()
    ]
    return b"".join([number(1, IR_VERSION), chunk(2, "retr"), chunk(7, b"".join(graph)), *opsets])


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message, in order: (field number, integer or bytes)."""
    at, end = 0, len(data)
    while at < end:
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _read_varint(data, at)
            yield key >> 3, value
            continue
        if kind not in (1, 2, 5):
            raise Damaged(f"Not an ONNX file: protobuf wire type {kind} at byte {at}. Get the file again.")
        size, at = _read_varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
        if at + size > end:
            raise Damaged(f"The ONNX file ends {at + size - end} bytes early. Get the file again.")
        yield key >> 3, data[at : at + size]
        at += size


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Damaged(f"Not an ONNX file: a broken number at byte {at}. Get the file again.")


def _messages(data: memoryview, wanted: int) -> Iterator[memoryview]:
    for field, value in fields(data):
        if field == wanted and isinstance(value, memoryview):
            yield value


def read_metadata(data: memoryview) -> dict[str, str]:
    """What `metadata_props` says: the model's own settings, as text by name."""
    pairs = (dict(fields(entry)) for entry in _messages(data, 14))
    return {_text(pair.get(1, b"")): _text(pair.get(2, b"")) for pair in pairs}


def _text(value: Any) -> str:
    return bytes(value).decode("utf-8", "replace")


def read_tensors(data: bytes | memoryview, outside: Callable[[str], Array] | None = None) -> dict[str, Array]:
    """The initializers of an ONNX file by name; those of other types are left out.

    So are those that are kept outside of the file, unless `outside` gives a file's bytes [n] by the name of its place.
    """
    found: dict[str, Array] = {}
    for graph in _messages(memoryview(data), 7):
        for item in _messages(graph, 5):
            name, values = _read_tensor(item, outside)
            if values is not None:
                found[name] = values
    return found


def _outside(data: memoryview, outside: Callable[[str], Array]) -> memoryview | None:
    """The bytes of a tensor that lies in another file; None where it does not."""
    pairs = [dict(fields(entry)) for entry in _messages(data, 13)]
    place = {_text(pair.get(1, b"")): _text(pair.get(2, b"")) for pair in pairs}
    if "location" not in place:
        return None
    start, size = int(place.get("offset", 0)), int(place.get("length", 0))
    file = outside(place["location"])
    if start < 0 or size < 0 or start + size > len(file):
        raise Damaged(f"The file {place['location']!r} ends before byte {start + size}. Get the file again.")
    return file[start : start + size].data


def _read_tensor(data: memoryview, outside: Callable[[str], Array] | None) -> tuple[str, Array | None]:
    name, dims, type, raw = "", [], 0, None if outside is None else _outside(data, outside)
    for field, value in fields(data):
        if field == 1:
            dims += [value] if isinstance(value, int) else _packed(value)
        elif field == 2 and isinstance(value, int):
            type = value
        elif field == 8 and isinstance(value, memoryview):
            name = bytes(value).decode("utf-8", "replace")
        elif field == 9 and isinstance(value, memoryview):
            raw = value
    if raw is None or type not in NAMES:
        return name, None
    values = np.frombuffer(raw, dtype=NAMES[type])
    if values.size != int(np.prod(dims)):
        raise Damaged(f"The ONNX tensor {name!r} has shape {dims} but {values.size} values. Get the file again.")
    return name, values.reshape(dims)


def outside_locations(data: memoryview) -> Iterator[str]:
    """Where an ONNX file says that its tensors' data lies, in the main graph and in graphs inside of nodes."""
    for graph in _messages(data, 7):
        yield from _locations_in_graph(graph)


def _locations_in_graph(graph: memoryview) -> Iterator[str]:
    attributes = [item for body in _messages(graph, 1) for item in _messages(body, 5)]
    for inner in (inner for item in attributes for inner in _messages(item, 6)):
        yield from _locations_in_graph(inner)
    tensors = [*_messages(graph, 5), *(item for body in attributes for item in _messages(body, 5))]
    for entry in (entry for item in tensors for entry in _messages(item, 13)):
        pair = {
            field: bytes(value).decode("utf-8", "replace")
            for field, value in fields(entry)
            if isinstance(value, memoryview)
        }
        if pair.get(1) == "location":
            yield pair.get(2, "")


def _packed(data: memoryview) -> list[int]:
    out, at = [], 0
    while at < len(data):
        value, at = _read_varint(data, at)
        out.append(value)
    return out
