"""retr.json: what `retr export` says of the folder it wrote, and what a load believes of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from retr.encoders.reading.folder import inside, read_json
from retr.encoders.reading.hashes import hashes
from retr.retrieval.errors import Damaged, NotFound, RetrError
from retr.retrieval.settings import settings_from

RECORD = "retr.json"
FORMAT = 1

Precision = Literal["float32", "float16", "int8"]
Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Record:
    """One export: which file is the network, how it was made, and what was measured.

    `files` is the sha256 of the network, of the file with its data, if any, and of the float weights beside it, by
    path in the folder. `built` is who wrote the network: retr, from its weights, or torch.onnx. `figures` has one
    table for each comparison, `bounds` what they had to reach.
    """

    kind: str
    precision: Precision
    network: str
    built: Literal["retr", "torch"]
    files: Mapping[str, str]
    kept: tuple[str, ...] = ()
    batch_independent: bool = False
    texts: Mapping[str, Any] = field(default_factory=dict)
    bounds: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write it into the folder's retr.json, beside what else stands there."""
        tables = {**read_json(folder / RECORD, missing={}), "export": asdict(self)}
        text = json.dumps(tables, indent=2, ensure_ascii=False)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def read_record(folder: Path, kind: str) -> Record | None:
    """What retr.json says of the folder; None where there is no such file, or it tells of no export.

    Damaged where it makes no sense, is of another kind, or where a file is not the one that was measured.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    table = read_json(path).get("export")
    if table is None:
        return None
    record = _checked(path, table)
    if record.kind != kind:
        raise Damaged(f"{folder} was exported as {record.kind!r}, not as {kind!r}. Load it as {record.kind}={folder}.")
    if record.network not in record.files:
        raise Damaged(f"{path} has no sha256 of its network {record.network!r}. Export the model again.")
    _check_files(folder, record)
    return record


def _check_files(folder: Path, record: Record) -> None:
    """The files are there, and are those that were measured."""
    files = {name: inside(folder, name) for name in record.files}
    for name, file in files.items():
        if not file.is_file():
            raise NotFound(f"{folder / RECORD} names {name!r}, which is missing. Export the model again.")
    for name, found in hashes(folder, list(files.values())).items():
        if found != record.files[name]:
            raise Damaged(
                f"{folder / name} has sha256 {found[:12]}…, but {record.files[name][:12]}… was exported and measured. "
                "Export the model again, or remove retr.json to use the folder without its figures."
            )


def _checked(path: Path, table: Any) -> Record:
    found = table.get("format") if isinstance(table, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise Damaged(f"{path} has the format {found}; this retr reads up to {FORMAT}. Install a newer retr.")
    try:
        record = settings_from(Record, table, f"{path}: export")
    except RetrError as error:
        raise Damaged(f"{error} It is not as `retr export` wrote it: export the model again.") from None
    if found != FORMAT or not all(isinstance(value, str) for value in record.files.values()):
        raise Damaged(f"{path} has the format {found!r} or files that are no hashes. Export the model again.")
    return record
