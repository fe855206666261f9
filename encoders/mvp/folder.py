"""Folders that an MVP reranker is loaded from: those that training wrote, and the published checkpoints."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from retr.encoders.mvp.settings import MVPSettings
from retr.encoders.rankers.settings import told_settings
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
from retr.retrieval.errors import BadInput

RECORD = "retr.json"
FAMILIES = ("t5", "mt5")
"""`model_type` of the encoder-decoders that MVP stands on."""

PUBLISHED = {r"^encoder\.encoder\.": "encoder.", r"^(encoder\.block\.\d+)\.module\.": r"\1."}
"""What the published checkpoints' names become, in this order: theirs hold the levels of two wrappers."""


def named(name: str) -> str:
    """transformers' name of a weight for the published one; its own stays."""
    for pattern, ours in PUBLISHED.items():
        name = re.sub(pattern, ours, name)
    return name


def is_published(names: Iterable[str]) -> bool:
    """Whether a file with weights of these names has the published checkpoints' layout."""
    return any(name.startswith("encoder.encoder.block.") for name in names)


def check_family(folder: Path) -> None:
    """BadInput for a folder of another architecture than T5's."""
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in FAMILIES:
        raise BadInput(f"{folder} is a model of type {kind!r}; MVP needs one of {', '.join(FAMILIES)}. Take a T5.")


def read_table(folder: Path, kind: str = "mvp") -> Mapping[str, Any]:
    """The table `mvp` of the folder's retr.json; of a published checkpoint, which has none, what it was trained with.

    BadInput for a T5 of which neither tells that it is an MVP: its scores would mean nothing.
    """
    told = read_json(folder / RECORD, missing={}).get(kind)
    if isinstance(told, dict):
        return told
    check_family(folder)
    if not is_published(read_safetensors(weight_files(folder))):
        raise BadInput(
            f"{folder} is no MVP reranker: its retr.json has no table 'mvp', and its weights have not the published "
            "layout. Train it first, with kind mvp."
        )
    return asdict(MVPSettings())


def read_settings(folder: Path, table: Mapping[str, Any]) -> MVPSettings:
    """The settings in that table."""
    return told_settings(MVPSettings, table, folder, "mvp")
