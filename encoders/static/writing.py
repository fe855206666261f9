"""Static embeddings to a folder: sentence-transformers and model2vec read the same one."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from retr.encoders.graphs.quantising import quantised_table
from retr.encoders.reading.safetensors_file import Array, write_safetensors
from retr.encoders.reading.weights import Table
from retr.encoders.static.reading import MODEL_TYPE, MODULE
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import unknown

Storage = Literal["float32", "float16", "int8"]
STORAGES: tuple[Storage, ...] = ("float32", "float16", "int8")


@dataclass(frozen=True, slots=True, eq=False)
class StaticModel:
    """A table float32 [rows, dim], one row a token of the `tokenizers.Tokenizer`, zeros where it counts nothing."""

    table: Floats
    tokenizer: Any


def write_static(folder: Path, model: StaticModel, storage: Storage = "float32") -> list[Path]:
    """Write the model into an existing folder; the files written.

    float32 and float16 are sentence-transformers' StaticEmbedding. int8 has one scale a row, as model2vec's `weights`;
    model2vec reads it, sentence-transformers does not.
    """
    if storage not in STORAGES:
        raise unknown("storage of static embeddings", storage, STORAGES)
    tensors: dict[str, Array]
    if storage == "int8":
        packed = quantised_table(Table(model.table))
        assert packed.scale is not None
        tensors = {"embeddings": packed.values, "weights": packed.scale[:, 0]}
    else:
        tensors = {"embedding.weight": model.table.astype(storage)}
    write_safetensors(folder / "model.safetensors", tensors)
    model.tokenizer.save(str(folder / "tokenizer.json"))
    described: dict[str, Any] = {
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": f"sentence_transformers.models.{MODULE}"},
            {"idx": 1, "name": "1", "path": "1_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
        "config_sentence_transformers.json": {"prompts": {}, "similarity_fn_name": "cosine"},
        "config.json": {"model_type": MODEL_TYPE, "normalize": True, "hidden_dim": int(model.table.shape[1])},
    }
    for name, content in described.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return [folder / name for name in ("model.safetensors", "tokenizer.json", *described)]
