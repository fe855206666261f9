"""Folders of decoders as embedders: retr's own, sentence-transformers', and bare ones of transformers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retr.encoders.llm.settings import LEARNED, LlmTable
from retr.encoders.reading.folder import Dense, max_tokens, read_folder, read_json
from retr.encoders.reading.safetensors_file import weight_files
from retr.retrieval.errors import BadInput, Damaged, NotFound, RetrError
from retr.retrieval.settings import settings_from

POOLING_FILE = "llm.safetensors"
"""The weights of learned pooling, beside the model's."""

ADAPTER, ADAPTER_FILE = "adapter_config.json", "adapter_model.safetensors"
"""What peft saves: low-rank updates beside the weights of a base model."""

DEFAULT_TOKENS = 512
"""Tokens of a text that are read where a folder does not say: decoders have positions for far more than is usual."""


@dataclass(frozen=True, slots=True, eq=False)
class LlmFolder:
    """A folder with its settings read. `base` is where the weights are: the folder, or its adapter's base model."""

    path: Path
    base: Path
    config: Mapping[str, Any]
    table: LlmTable
    lowercase: bool = False
    dense: tuple[Dense, ...] = ()
    head_files: tuple[Path, ...] = ()

    @property
    def has_adapter(self) -> bool:
        """Whether low-rank updates lie in the folder."""
        return (self.path / ADAPTER).is_file()

    @property
    def weight_files(self) -> tuple[Path, ...]:
        """Every file of numbers that the vectors depend on."""
        own = [self.path / name for name in (POOLING_FILE, ADAPTER_FILE) if (self.path / name).is_file()]
        return tuple(dict.fromkeys([*base_files(self.base), *own, *self.head_files]))


def read_llm(path: Path) -> LlmFolder:
    """The settings of a folder.

    Without retr's own, sentence-transformers' count; without those, a bidirectional model is pooled by its mean and a
    causal one by its last token. The direction is then what config.json says by `is_causal`.
    """
    base = _base(path)
    config = read_json(base / "config.json")
    found = read_json(path / "retr.json", missing={}).get("llm")
    if found is not None:
        table = _checked(path, found)
        if table.pooling in LEARNED and not (path / POOLING_FILE).is_file():
            raise NotFound(f"{path} pools by {table.pooling} and lacks {POOLING_FILE}. Get the folder again.")
        return LlmFolder(path, base, config, table)
    if not (path / "modules.json").is_file():
        return LlmFolder(path, base, config, _bare(path, base, config))
    told = read_folder(path)
    if told.attention is not None:
        raise BadInput(f"{path} pools by a query of the kind bi. Load it as bi={path}.")
    table = LlmTable(
        _direction(config),
        "+".join(told.poolings),
        told.normalised,
        told.similarity,
        told.query_prompt,
        told.document_prompt,
        told.include_prompt,
        told.max_tokens,
    )
    return LlmFolder(path, base, config, table, told.lowercase, told.dense, told.head_files)


def base_files(base: Path) -> list[Path]:
    """The safetensors of a model, less those of adapters and poolings."""
    return [file for file in weight_files(base) if file.name not in (POOLING_FILE, ADAPTER_FILE)]


def _base(path: Path) -> Path:
    """Where config.json and the weights are; the base of an adapter's folder must be a folder on this machine."""
    if (path / "config.json").is_file():
        return path
    if (path / ADAPTER).is_file():
        named = str(read_json(path / ADAPTER).get("base_model_name_or_path") or "")
        for base in (Path(named), path / named):
            if named and (base / "config.json").is_file():
                return base
        raise NotFound(
            f"{path} is an adapter of {named!r}, which is no folder here. Put that model's files beside it, or write "
            f"its folder into {ADAPTER} as base_model_name_or_path."
        )
    names = ", ".join(sorted(os.listdir(path))[:8])
    raise NotFound(f"{path} has no config.json, so it is no model folder; it holds {names or 'nothing'}.")


def _bare(path: Path, base: Path, config: Mapping[str, Any]) -> LlmTable:
    direction = _direction(config)
    pooling = "mean" if direction == "bidirectional" else "lasttoken"
    return LlmTable(direction, pooling, max_tokens=max_tokens(base, config, min(DEFAULT_TOKENS, _positions(config))))


def _positions(config: Mapping[str, Any]) -> int:
    return int(config.get("max_position_embeddings") or config.get("n_positions") or DEFAULT_TOKENS)


def _direction(config: Mapping[str, Any]) -> Any:
    return "bidirectional" if config.get("is_causal") is False else "causal"


def _checked(path: Path, table: Any) -> LlmTable:
    try:
        return settings_from(LlmTable, table, f"{path / 'retr.json'}: llm")
    except RetrError as error:
        raise Damaged(f"{error} It is not as training wrote it: get the folder again.") from None
