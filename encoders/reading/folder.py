"""What a sentence-transformers (or plain transformers) folder says about its model, in its old and its new keys."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.reading.safetensors_file import floats, read_safetensors, weight_files
from retr.encoders.reading.weights import Linear
from retr.encoders.running.pooling import ATTENTION, POOLINGS
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged, NotFound
from retr.retrieval.protocols import Similarity

ONNX_FILES = ("onnx/model.onnx", "model.onnx")
LEARNED = "AttentionPooling"
"""The module of retr's own, of the type `retr.AttentionPooling`; sentence-transformers has none like it."""

LARGEST_JSON = 64 << 20

LEGACY_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}

DENSE_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "torch.nn.modules.activation.Tanh": np.tanh,
    "torch.nn.modules.linear.Identity": lambda x: x,
    "torch.nn.modules.activation.ReLU": lambda x: np.maximum(x, np.float32(0)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """One linear layer after pooling, with its activation by torch's name."""

    linear: Linear
    activation: str

    def __call__(self, vectors: Floats) -> Floats:
        """[texts, inputs] to [texts, outputs]."""
        wide = vectors @ self.linear.weight + self.linear.bias
        return np.asarray(DENSE_ACTIVATIONS[self.activation](wide), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class ModelFolder:
    """A folder with its settings read: which poolings, what follows on them, prompts, and how long texts may be."""

    path: Path
    config: Mapping[str, Any]
    poolings: tuple[str, ...]
    include_prompt: bool
    dense: tuple[Dense, ...]
    head_files: tuple[Path, ...]
    normalised: bool
    similarity: Similarity
    query_prompt: str
    document_prompt: str
    max_tokens: int
    lowercase: bool
    attention: Floats | None = None
    """What the pooling `attention` weighs states by, [dim]; that pooling then stands alone."""


def read_folder(path: Path) -> ModelFolder:
    """The settings of a bi-encoder's folder. Without modules.json: mean pooling, as sentence-transformers does."""
    if not (path / "config.json").is_file():
        names = sorted(item.name for item in path.iterdir())[:8]
        raise NotFound(
            f"{path} has no config.json, so it is no model folder; it holds {', '.join(names) or 'nothing'}."
        )
    config = read_json(path / "config.json")
    settings = read_json(path / "config_sentence_transformers.json", missing={})
    modules = modules_of(path)
    pooling: dict[str, Any] = next((read_json(item / "config.json") for kind, item in modules if kind == "Pooling"), {})
    dense_folders = [item for kind, item in modules if kind == "Dense"]
    learned = next((item for kind, item in modules if kind == LEARNED), None)
    if learned is not None:
        pooling = read_json(learned / "config.json")
    similarity = _similarity(path, settings)
    prompts = settings.get("prompts") or {}
    text_settings = read_json(path / "sentence_bert_config.json", missing={})
    return ModelFolder(
        path=path,
        config=config,
        poolings=_poolings(path, pooling) if learned is None else (ATTENTION,),
        include_prompt=bool(pooling.get("include_prompt", True)),
        dense=tuple(read_dense(item) for item in dense_folders),
        head_files=tuple(file for item in (*filter(None, [learned]), *dense_folders) for file in weight_files(item)),
        normalised=similarity == "cosine" or any(kind == "Normalize" for kind, _ in modules),
        similarity=similarity,
        query_prompt=prompts.get("query") or "",
        document_prompt=next((prompts[name] for name in ("document", "passage", "corpus") if prompts.get(name)), ""),
        max_tokens=max_tokens(path, config, text_settings.get("max_seq_length")),
        lowercase=bool(text_settings.get("do_lower_case", False)),
        attention=None if learned is None else _attention(learned),
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Around the loading of a model folder: what cannot be read, or says what makes no sense, is one line."""
    try:
        yield
    except OSError as error:
        raise NotFound(f"{path} cannot be read ({error.strerror or error}). Check the folder and its rights.") from None
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Damaged(
            f"{path} has settings that make no sense ({type(error).__name__}: {reason}). Get it again."
        ) from None


def read_json(path: Path, *, missing: dict[str, Any] | None = None) -> Any:
    """The content of a JSON file, or `missing` where it is given and the file is not there."""
    if not path.is_file():
        if missing is not None:
            return missing
        raise NotFound(f"{path} is missing. Get the folder again.")
    if path.stat().st_size > LARGEST_JSON:
        raise Damaged(f"{path} has {path.stat().st_size} bytes, too many for a model's settings. Get the folder again.")
    try:
        content = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise Damaged(f"{path} is not JSON ({' '.join(str(error).split())}). Get the folder again.") from None
    if path.name != "modules.json" and not isinstance(content, dict):
        raise Damaged(f"{path} holds {type(content).__name__}, not an object. Get the folder again.")
    return content


def max_tokens(path: Path, config: Mapping[str, Any], asked: int | None) -> int:
    """The most tokens of a text: what the folder asks for, at most the tokenizer's and the positions' number."""
    positions = int(config.get("max_position_embeddings") or 512)
    tokenizer = read_json(path / "tokenizer_config.json", missing={})
    most = min(positions, int(min(tokenizer.get("model_max_length") or positions, 1 << 30)))
    return min(int(asked), positions) if asked else most


def onnx_file(path: Path) -> Path | None:
    """The folder's ONNX file, if it has one."""
    return next((path / name for name in ONNX_FILES if (path / name).is_file()), None)


def inside(root: Path, name: str) -> Path:
    """`root / name`, which must not lead out of `root`. Links are not followed: the hub's cache is made of them."""
    found = Path(os.path.abspath(root / name))
    if not found.is_relative_to(os.path.abspath(root)):
        raise BadInput(f"{root} points outside of itself, to {name!r}. Do not use this folder.")
    return found


def modules_of(path: Path) -> list[tuple[str, Path]]:
    """(kind, folder) of each module, where the kind is the last part of its type; an unknown one is an error."""
    if not (path / "modules.json").is_file():
        return [("Transformer", path)]
    known = ("Transformer", "Pooling", "Dense", "Normalize")
    found = []
    try:
        for entry in read_json(path / "modules.json"):
            package, _, kind = str(entry["type"]).rpartition(".")
            ours = package == "retr" and kind == LEARNED
            if not ours and (kind not in known or not package.startswith("sentence_transformers.")):
                raise BadInput(f"{path} has a module {entry['type']!r}; accepted are {', '.join(known)}.")
            found.append((kind, inside(path, str(entry["path"]))))
    except (TypeError, KeyError):
        raise Damaged(f"{path / 'modules.json'} is not a list of modules. Get the folder again.") from None
    if not found or found[0][0] != "Transformer":
        raise BadInput(f"{path} starts with {found[0][0] if found else 'no module'}, not with a Transformer.")
    return found


def _poolings(path: Path, pooling: Mapping[str, Any]) -> tuple[str, ...]:
    modes = pooling.get("pooling_mode") or [name for key, name in LEGACY_POOLINGS.items() if pooling.get(key)]
    modes = (modes,) if isinstance(modes, str) else tuple(modes) or ("mean",)
    for mode in modes:
        if mode not in POOLINGS:
            raise BadInput(f"{path} pools by {mode!r}; accepted are {', '.join(POOLINGS)}.")
    return modes


def _similarity(path: Path, settings: Mapping[str, Any]) -> Similarity:
    name = settings.get("similarity_fn_name") or "cosine"
    if name == "cosine":
        return "cosine"
    if name in ("dot", "dot_score"):
        return "dot"
    raise BadInput(f"{path} compares by {name!r}; accepted are cosine and dot.")


def _attention(folder: Path) -> Floats:
    tensors = read_safetensors(weight_files(folder))
    if "query" not in tensors:
        raise NotFound(f"{folder} has no model.safetensors with 'query'. Get the folder again.")
    query = floats(tensors["query"])
    if query.ndim != 1 or not np.isfinite(query).all():
        raise Damaged(f"{folder} has a query of the shape {list(query.shape)}, or not finite. Get the folder again.")
    return query


def read_dense(folder: Path) -> Dense:
    """The layer of a module folder of sentence-transformers; BadInput for an activation that is not known."""
    config = read_json(folder / "config.json")
    tensors = read_safetensors(weight_files(folder))
    activation = config.get("activation_function") or "torch.nn.modules.activation.Tanh"
    if activation not in DENSE_ACTIVATIONS or config.get("use_residual"):
        raise BadInput(f"{folder} is a Dense module with {activation}; accepted are {', '.join(DENSE_ACTIVATIONS)}.")
    if "linear.weight" not in tensors:
        raise NotFound(f"{folder} has no model.safetensors with 'linear.weight'. Save the model as safetensors.")
    weight = np.ascontiguousarray(floats(tensors["linear.weight"]).T)
    bias = floats(tensors["linear.bias"]) if "linear.bias" in tensors else np.zeros(weight.shape[1], np.float32)
    return Dense(Linear(weight, bias), activation)
