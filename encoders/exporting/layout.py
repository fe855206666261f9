"""The files of an exported folder other than the network: those that sentence-transformers and transformers load."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from retr.encoders.reading.folder import LEGACY_POOLINGS, ModelFolder, modules_of, read_json
from retr.encoders.reading.record import RECORD
from retr.encoders.reading.safetensors_file import weight_files

LENGTHS = "sentence_bert_config.json"

COPIED = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "tokenizer.model",
    "LICENSE",
)
"""Copied as they are. Nothing that could be code is."""


def copy_model(source: Path, out: Path, *, weights: bool) -> list[Path]:
    """Copy configuration and tokenizer, and with `weights` the safetensors; which files hold weights."""
    for name in COPIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)
    if not weights:
        return []
    files = weight_files(source)
    index = source / "model.safetensors.index.json"
    for file in [*files, *([index] if len(files) > 1 and index.is_file() else [])]:
        shutil.copyfile(file, out / file.name)
    return [out / file.name for file in files]


def copy_settings(source: Path, out: Path, tables: Mapping[str, Any] | None = None) -> None:
    """The length and case that texts are read in, where the source tells them, and the tables of a new retr.json."""
    if (source / LENGTHS).is_file():
        shutil.copyfile(source / LENGTHS, out / LENGTHS)
    if tables:
        _write_json(out / RECORD, dict(tables))


def write_modules(folder: ModelFolder, out: Path) -> None:
    """modules.json and the modules' own files, in the words that every release of sentence-transformers reads."""
    kinds = ["Transformer", "Pooling", *("Dense" for _ in folder.dense)]
    kinds += ["Normalize"] if any(kind == "Normalize" for kind, _ in modules_of(folder.path)) else []
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": f"{number}_{kind}" if number else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(kinds)
    ]
    _write_json(out / "modules.json", modules)
    _write_json(out / LENGTHS, {"max_seq_length": folder.max_tokens, "do_lower_case": folder.lowercase})
    _write_json(out / "config_sentence_transformers.json", _prompts(folder))
    width = folder.dense[0].linear.weight.shape[0] if folder.dense else _width(folder)
    pooling = {key: name in folder.poolings for key, name in LEGACY_POOLINGS.items()}
    size = {"word_embedding_dimension": width // len(folder.poolings)}
    _write_json(out / "1_Pooling" / "config.json", {**size, **pooling, "include_prompt": folder.include_prompt})
    dense = [item for kind, item in modules_of(folder.path) if kind == "Dense"]
    for number, (layer, source) in enumerate(zip(folder.dense, dense, strict=True), start=2):
        inputs, outputs = layer.linear.weight.shape
        bias = bool(read_json(source / "config.json").get("bias", True))
        sizes = {"in_features": inputs, "out_features": outputs, "bias": bias}
        module = out / f"{number}_Dense"
        _write_json(module / "config.json", {**sizes, "activation_function": layer.activation})
        for file in weight_files(source):
            shutil.copyfile(file, module / file.name)


def _prompts(folder: ModelFolder) -> dict[str, Any]:
    """The original's settings for prompts and similarity, without its versions."""
    settings = read_json(folder.path / "config_sentence_transformers.json", missing={})
    names = ("prompts", "default_prompt_name", "similarity_fn_name")
    return {name: settings[name] for name in names if name in settings}


def _width(folder: ModelFolder) -> int:
    config = folder.config
    return int(config.get("hidden_size") or config.get("dim") or config.get("d_model") or 0) * len(folder.poolings)


def write_card(out: Path, lines: list[str], *, licence: str, name: str, task: str, library: str) -> None:
    """The model card: a head that hubs read, and what was measured. `library` is which one loads it."""
    head = ["---", *([f"license: {licence}"] if licence != "not stated" else []), f"pipeline_tag: {task}"]
    head += [f"library_name: {library}", "tags:", "- onnx", "- retr", "---", ""]
    (out / "README.md").write_text("\n".join([*head, f"# {name}", "", *lines, ""]), encoding="utf-8")


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
