"""Folders of static embeddings: sentence-transformers' StaticEmbedding, model2vec's, and what `retr distill` writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.reading.folder import inside, read_json
from retr.encoders.reading.safetensors_file import Array, floats, read_safetensors, weight_files
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged, Mismatch, NotFound
from retr.retrieval.protocols import Similarity

MODULE = "StaticEmbedding"
"""The type of the first module of such a folder, after its package."""

MODEL_TYPE = "model2vec"
"""What the config.json of a model2vec folder says."""

SIMILARITIES: dict[str, Similarity] = {"cosine": "cosine", "dot": "dot", "dot_score": "dot"}


@dataclass(frozen=True, slots=True, eq=False)
class StaticFolder:
    """What a folder holds: table float32 [rows, dim] with the words' weights in it, the files that it came from.

    `place` holds the tokenizer. `skips_unknown` as model2vec does: a word that is not in the vocabulary counts nothing.
    """

    table: Floats
    precision: str
    place: Path
    files: tuple[Path, ...]
    skips_unknown: bool
    similarity: Similarity
    query_prompt: str
    document_prompt: str


def read_static(path: Path) -> StaticFolder:
    """The table and the settings of a folder. Damaged, BadInput, Mismatch or NotFound for what is none."""
    place = _place(path)
    files = weight_files(place)
    if not files:
        raise NotFound(f"{place} has no model.safetensors, so it holds no static embeddings. Save the model as that.")
    tensors = read_safetensors(files)
    table = _table(place, tensors)
    if not np.isfinite(table).all():
        raise Damaged(f"{files[0]} holds NaN or infinite numbers. Get the folder again.")
    settings = read_json(path / "config_sentence_transformers.json", missing={})
    prompts = settings.get("prompts") or {}
    return StaticFolder(
        table=table,
        precision=_precision(tensors),
        place=place,
        files=tuple(files),
        skips_unknown="embeddings" in tensors,
        similarity=_similarity(path, settings),
        query_prompt=prompts.get("query") or "",
        document_prompt=next((prompts[name] for name in ("document", "passage", "corpus") if prompts.get(name)), ""),
    )


def _place(path: Path) -> Path:
    """Where table and tokenizer are; BadInput for modules that static embeddings do not have."""
    if not (path / "modules.json").is_file():
        return path
    modules = read_json(path / "modules.json")
    try:
        kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
        place = inside(path, str(modules[0]["path"]))
    except (TypeError, KeyError, IndexError):
        raise Damaged(f"{path / 'modules.json'} is not a list of modules. Get the folder again.") from None
    if kinds[0] != MODULE or any(kind != "Normalize" for kind in kinds[1:]):
        raise BadInput(f"{path} has the modules {', '.join(kinds)}; accepted are {MODULE} and after it Normalize.")
    return place


def _table(place: Path, tensors: Mapping[str, Array]) -> Floats:
    """One row a token, [rows, dim]: model2vec's mapping and weights are worked in."""
    stored = tensors.get("embedding.weight", tensors.get("embeddings"))
    if stored is None:
        found = ", ".join(sorted(tensors)) or "nothing"
        raise BadInput(f"{place} holds {found}; static embeddings are in 'embedding.weight' or 'embeddings'.")
    if stored.ndim != 2 or not stored.size:
        raise Damaged(f"{place} has a table of the shape {list(stored.shape)}, not [rows, dim]. Get the folder again.")
    table = floats(stored)
    mapping, weights = tensors.get("mapping"), tensors.get("weights")
    if mapping is not None:
        rows = np.asarray(mapping, np.int64).ravel()
        if rows.min(initial=0) < 0 or rows.max(initial=0) >= len(table):
            raise Damaged(f"{place} has a mapping to rows beyond its {len(table)}. Get the folder again.")
        table = table[rows]
    if weights is not None:
        if weights.size != len(table):
            raise Mismatch(f"{place} has {weights.size} weights for {len(table)} rows. Get the folder again.")
        table = table * floats(weights).reshape(-1, 1)
    return np.ascontiguousarray(table, np.float32)


def _precision(tensors: Mapping[str, Array]) -> str:
    dtype = tensors.get("embedding.weight", tensors.get("embeddings", np.empty(0))).dtype
    return "bfloat16" if dtype == np.uint16 else str(dtype)


def _similarity(path: Path, settings: Mapping[str, Any]) -> Similarity:
    name = settings.get("similarity_fn_name") or "cosine"
    if name not in SIMILARITIES:
        raise BadInput(f"{path} compares by {name!r}; accepted are {', '.join(SIMILARITIES)}.")
    return SIMILARITIES[name]
