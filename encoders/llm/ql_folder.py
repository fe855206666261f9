"""A decoder's folder as the kind `ql` takes it: where it is, its table, and all that its scores depend on."""

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retr.encoders.llm.folder import LlmFolder
from retr.encoders.llm.ql_settings import QlTable
from retr.encoders.reading import hub
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.hashes import hashes
from retr.retrieval.errors import NotFound, missing_package
from retr.retrieval.settings import settings_from


def folder_of(source: str) -> Path:
    """The folder, fetched where a hub's name is given; NotFound where there is none."""
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if not hub.is_hub_name(source):
        raise NotFound(f"No folder {source!r} of a decoder. Give a folder that transformers saved, or a hub name.")
    return hub.fetch(source)


def check_packages() -> None:
    """missing_package without torch or transformers."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise missing_package(package, needed_for="The scorer ql", extra="train")


def read_table(path: Path) -> QlTable:
    """The table `ql` of the folder's retr.json; of one without, the published instruction, all of it seen."""
    told = read_json(path / "retr.json", missing={}).get("ql")
    return settings_from(QlTable, told, f"{path}/retr.json: ql") if isinstance(told, dict) else QlTable()


def identity_of(folder: LlmFolder, table: QlTable, tokenizer: str, precision: str) -> dict[str, Any]:
    """What scores depend on."""
    return {
        "weights": hashes(folder.path, list(folder.weight_files)),
        "tokenizer": tokenizer,
        "precision": precision,
        "ql": asdict(table),
    }
