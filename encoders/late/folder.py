"""Folders of late-interaction models: sentence-transformers' MultiVectorEncoder, PyLate's, and Stanford's ColBERT."""

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.late.settings import Expansion, LateTexts, Task, TokenPooling
from retr.encoders.reading.folder import Dense, inside, max_tokens, read_dense, read_json
from retr.encoders.reading.safetensors_file import floats, read_safetensors, weight_files
from retr.encoders.reading.weights import Linear
from retr.retrieval.errors import BadInput, Damaged, NotFound
from retr.retrieval.settings import settings_from

IDENTITY = "torch.nn.modules.linear.Identity"
MODULES = {"Transformer": 0, "Dense": 1, "MultiVectorMask": 2, "Normalize": 2, "HierarchicalTokenPooling": 3}
"""Modules that are read, and their order."""

PACKAGES = ("sentence_transformers", "pylate")
PYLATE = (
    "query_prefix",
    "document_prefix",
    "query_length",
    "document_length",
    "query_expansion",
    "do_query_expansion",
    "attend_to_expansion_tokens",
    "skiplist_words",
)
"""Keys that PyLate writes into config_sentence_transformers.json; one of them is enough."""


@dataclass(frozen=True, slots=True, eq=False)
class LateFolder:
    """A folder with its settings read. `mean`: a score is divided by the query's tokens."""

    path: Path
    config: Mapping[str, Any]
    texts: LateTexts
    dense: tuple[Dense, ...]
    head_files: tuple[Path, ...]
    normalised: bool
    pooling: TokenPooling | None = None
    mean: bool = False


def read_late(path: Path) -> LateFolder:
    """The settings of a late-interaction model's folder; BadInput for a folder of another kind."""
    if not (path / "config.json").is_file():
        raise NotFound(f"{path} has no config.json, so it is no model folder. Give the folder of a late model.")
    config = read_json(path / "config.json")
    if _has_modules(path):
        return _of_modules(path, config)
    if _is_stanford(path):
        return _stanford(path, config)
    if (path / "modules.json").is_file():
        _modules(path)  # says what is wrong with them
    raise BadInput(
        f"{path} holds no late-interaction model. Train one from it (kind = 'late'), or give another folder."
    )


def is_late(path: Path) -> bool:
    """Whether the folder says that it holds a late-interaction model."""
    return _has_modules(path) or _is_stanford(path)


def _has_modules(path: Path) -> bool:
    """Whether modules.json has a mask of tokens, or PyLate's settings beside it."""
    modules = read_json(path / "modules.json", missing={})
    top = read_json(path / "config_sentence_transformers.json", missing={})
    types = [str(entry.get("type")) for entry in modules if isinstance(entry, dict)]
    return any(name.endswith(".MultiVectorMask") for name in types) or (
        bool(types) and any(key in top for key in PYLATE)
    )


def _is_stanford(path: Path) -> bool:
    """Whether config.json is of Stanford's ColBERT, whose projection stands among the encoder's weights."""
    return "HF_ColBERT" in (read_json(path / "config.json", missing={}).get("architectures") or [])


def _of_modules(path: Path, config: Mapping[str, Any]) -> LateFolder:
    top = read_json(path / "config_sentence_transformers.json", missing={})
    modules = _modules(path)
    folders = dict(modules)
    masks = "MultiVectorMask" in folders
    mask = read_json(folders["MultiVectorMask"] / "config.json") if masks else _pylate_mask(top)
    if mask.get("keep_only_token_ids"):
        raise BadInput(f"{path} keeps the tokens of images alone, which are not read here. Give a model of texts.")
    dense = [item for kind, item in modules if kind == "Dense"]
    pooled = folders.get("HierarchicalTokenPooling")
    return LateFolder(
        path=path,
        config=config,
        texts=_texts(path, config, top, mask),
        dense=tuple(_token_dense(item) for item in dense),
        head_files=tuple(file for item in dense for file in weight_files(item)),
        normalised="Normalize" in folders or not masks,  # PyLate's folders do not name the module
        pooling=None if pooled is None else _pooling(pooled),
        mean=top.get("similarity_fn_name") == "meanmaxsim",
    )


def _texts(path: Path, config: Mapping[str, Any], top: Mapping[str, Any], mask: Mapping[str, Any]) -> LateTexts:
    told = read_json(path / "sentence_bert_config.json", missing={})
    prompts, prefixes = dict(top.get("prompts") or {}), []
    for task in ("query", "document"):
        prefix = top.get(f"{task}_prefix") or ""
        if prefix:
            prompts[task] = prefix + (prompts.get(task) or "").removeprefix(prefix)
            prefixes.append(prefix)
    expansion, query_tokens = _expansion(told, top)
    return LateTexts(
        max_tokens=max_tokens(path, config, told.get("max_seq_length")),
        query_tokens=query_tokens,
        document_tokens=int(told.get("document_length") or top.get("document_length") or 0),
        query_prompt=prompts.get("query") or "",
        document_prompt=next((prompts[name] for name in ("document", "passage", "corpus") if prompts.get(name)), ""),
        prefixes=tuple(prefixes),
        expansion=expansion,
        skipped=tuple(map(str, mask.get("skiplist_words") or ())),
        skip_tasks=_tasks(mask.get("skiplist_tasks")),
        lowercase=bool(told.get("do_lower_case", False)),
    )


def _expansion(told: Mapping[str, Any], top: Mapping[str, Any]) -> tuple[Expansion | None, int]:
    """The expansion and the cut of queries; the Transformer's own words stand above PyLate's at the top."""
    query_tokens = int(told.get("query_length") or top.get("query_length") or 0)
    for source in (told, top):
        if "query_expansion" in source:
            given = source["query_expansion"]
            return (None if given is None else _given_expansion(given)), query_tokens
    if not any(key in top for key in PYLATE) or top.get("do_query_expansion") is False:
        return None, query_tokens
    attend = top.get("attend_to_expansion_tokens", top.get("attend_to_mask_tokens"))
    return Expansion(query_tokens or 32, attend=bool(attend)), int(told.get("query_length") or 0)


def _given_expansion(given: Mapping[str, Any]) -> Expansion:
    return settings_from(
        Expansion, {key: value for key, value in given.items() if value is not None}, "query_expansion"
    )


def _stanford(path: Path, config: Mapping[str, Any]) -> LateFolder:
    """BERT with `linear.weight` beside it; artifact.metadata tells markers, lengths and masks."""
    told = read_json(path / "artifact.metadata", missing={})
    files = weight_files(path)
    tensors = read_safetensors(files)
    if "linear.weight" not in tensors:
        raise Damaged(f"{path} has no safetensors with 'linear.weight'. Save the model as safetensors.")
    weight = np.ascontiguousarray(floats(tensors["linear.weight"]).T)
    markers = (told.get("query_token_id") or "[unused0]", told.get("doc_token_id") or "[unused1]")
    texts = LateTexts(
        max_tokens=max_tokens(path, config, None),
        document_tokens=int(told.get("doc_maxlen") or 0),
        query_prompt=f"{markers[0]} ",
        document_prompt=f"{markers[1]} ",
        prefixes=markers,
        expansion=Expansion(int(told.get("query_maxlen") or 32), attend=bool(told.get("attend_to_mask_tokens"))),
        skipped=tuple(string.punctuation) if told.get("mask_punctuation", True) else (),
    )
    dense = Dense(Linear(weight, np.zeros(weight.shape[1], np.float32)), IDENTITY)
    return LateFolder(path, config, texts, (dense,), tuple(files), normalised=True)


def _modules(path: Path) -> list[tuple[str, Path]]:
    """(kind, folder) of each module; what could be code, and an order that is not known, are refused."""
    found = []
    try:
        for entry in read_json(path / "modules.json"):
            package, _, kind = str(entry["type"]).rpartition(".")
            if kind == "Pooling" and package.startswith(PACKAGES):
                raise BadInput(f"{path} gives one vector a text. Give a late model, or load it as bi={path}.")
            if kind not in MODULES or package.partition(".")[0] not in PACKAGES:
                raise BadInput(f"{path} has a module {entry['type']!r}; accepted are {', '.join(MODULES)}.")
            found.append((kind, inside(path, str(entry["path"]))))
    except (TypeError, KeyError):
        raise Damaged(f"{path / 'modules.json'} is not a list of modules. Get the folder again.") from None
    kinds = [kind for kind, _ in found]
    order = [MODULES[kind] for kind in kinds]
    once = all(kinds.count(kind) <= 1 for kind in MODULES if kind != "Dense")
    if not found or found[0] != ("Transformer", inside(path, "")) or order != sorted(order) or not once:
        raise BadInput(f"{path} has the modules {', '.join(kinds)}; accepted are, in order, {', '.join(MODULES)}.")
    return found


def _pylate_mask(top: Mapping[str, Any]) -> dict[str, Any]:
    """PyLate leaves punctuation out of documents unless it says otherwise."""
    words = top.get("skiplist_words")
    return {"skiplist_words": list(string.punctuation) if words is None else words}


def _token_dense(folder: Path) -> Dense:
    name = read_json(folder / "config.json").get("module_input_name", "token_embeddings")
    if name != "token_embeddings":
        raise BadInput(f"{folder} projects {name!r}; a late model projects token_embeddings. Give another folder.")
    return read_dense(folder)


def _pooling(folder: Path) -> TokenPooling:
    told = read_json(folder / "config.json")
    return TokenPooling(
        factor=float(told.get("pool_factor", 1.0)),
        protected=int(told.get("num_protected_tokens", 1)),
        normalise=bool(told.get("normalize_embeddings", False)),
        tasks=_tasks(told.get("tasks")),
    )


def _tasks(given: Any) -> tuple[Task, ...]:
    names = (given,) if isinstance(given, str) else tuple(given or ("document",))
    return tuple(task for task in ("query", "document") if task in names)
