"""A late model's settings and projection as sentence-transformers' MultiVectorEncoder reads them; no torch needed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retr.encoders.late.settings import LateTexts, TokenPooling
from retr.encoders.reading.safetensors_file import write_safetensors
from retr.retrieval.embeddings import Floats

MULTI = "sentence_transformers.multi_vector_encoder.modules"
TYPES = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "MultiVectorMask": f"{MULTI}.multi_vector_mask.MultiVectorMask",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
    "HierarchicalTokenPooling": f"{MULTI}.token_pooling.HierarchicalTokenPooling",
}
TOKENS = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A linear layer as a checkpoint holds it: weight [outputs, inputs], bias [outputs] or None."""

    weight: Floats
    bias: Floats | None
    activation: str


@dataclass(frozen=True, slots=True, eq=False)
class LateModel:
    """All of a late model but its transformer. `normalised`: vectors get unit length; `mean`: as a score is taken."""

    texts: LateTexts
    dense: Sequence[Projection]
    normalised: bool = True
    pooling: TokenPooling | None = None
    mean: bool = False


def write_late(folder: Path, model: LateModel, tokenizer: Any) -> None:
    """modules.json and the modules' files; the tokenizer is written where it had to learn prefixes."""
    kinds = ["Transformer", *("Dense" for _ in model.dense), "MultiVectorMask"]
    kinds += [*(["Normalize"] if model.normalised else []), *(["HierarchicalTokenPooling"] if model.pooling else [])]
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds[1:], start=1))]
    places = {kind: folder / path for kind, path in zip(kinds, paths, strict=True)}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": TYPES[kind]}
        for number, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    _write(folder / "modules.json", modules)
    _write(folder / "sentence_bert_config.json", _told(model.texts))
    prompts = {"query": model.texts.query_prompt, "document": model.texts.document_prompt}
    similarity = "meanmaxsim" if model.mean else "maxsim"
    top = {"model_type": "MultiVectorEncoder", "prompts": prompts, "similarity_fn_name": similarity}
    _write(folder / "config_sentence_transformers.json", top)
    for number, layer in enumerate(model.dense, start=1):
        _write_dense(folder / f"{number}_Dense", layer)
    skipped = {"skiplist_words": list(model.texts.skipped), "skiplist_tasks": list(model.texts.skip_tasks)}
    _write(places["MultiVectorMask"] / "config.json", {**skipped, "keep_only_token_ids": None})
    if model.normalised:
        _write(places["Normalize"] / "config.json", TOKENS)
    if model.pooling:
        _write(places["HierarchicalTokenPooling"] / "config.json", _pooling(model.pooling))
    if model.texts.prefixes:
        plain = type(tokenizer).from_str(tokenizer.to_str())
        plain.no_truncation()
        plain.save(str(folder / "tokenizer.json"))


def _told(texts: LateTexts) -> dict[str, Any]:
    told: dict[str, Any] = {"max_seq_length": texts.max_tokens, "do_lower_case": texts.lowercase}
    if texts.document_tokens:
        told["document_length"] = texts.longest("document")
    expansion = texts.expansion
    if expansion is not None:
        names = ("strategy", "attend", "token", "length")
        told["query_expansion"] = {name: getattr(expansion, name) for name in names}
    if texts.query_tokens and (expansion is None or expansion.strategy == "min"):
        told["query_length"] = texts.longest("query")
    return told


def _pooling(pooling: TokenPooling) -> dict[str, Any]:
    return {
        "pool_factor": pooling.factor,
        "num_protected_tokens": pooling.protected,
        "normalize_embeddings": pooling.normalise,
        "tasks": list(pooling.tasks),
    }


def _write_dense(folder: Path, layer: Projection) -> None:
    outputs, inputs = layer.weight.shape
    sizes = {"in_features": inputs, "out_features": outputs, "bias": layer.bias is not None}
    _write(folder / "config.json", {**sizes, "activation_function": layer.activation, **TOKENS})
    bias = {} if layer.bias is None else {"linear.bias": layer.bias}
    write_safetensors(folder / "model.safetensors", {"linear.weight": layer.weight, **bias})


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
