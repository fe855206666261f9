"""What a bi-encoder's folder says beside the weights, as sentence-transformers reads it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from retr.encoders.reading.folder import LEARNED, LEGACY_POOLINGS, Dense, ModelFolder
from retr.encoders.running.pooling import ATTENTION
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Similarity

if TYPE_CHECKING:
    from retr.encoders.trainable.bi import BiSettings

RECORD = "retr.json"


@dataclass(frozen=True, slots=True)
class DenseSize:
    """One linear layer after pooling, with its activation by torch's name."""

    inputs: int
    outputs: int
    activation: str


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """Poolings, dense layers, length, prompts and similarity of a bi-encoder."""

    poolings: tuple[str, ...]
    dense: tuple[DenseSize, ...]
    normalised: bool
    similarity: Similarity
    query_prompt: str
    document_prompt: str
    include_prompt: bool
    max_tokens: int
    lowercase: bool
    matryoshka: tuple[int, ...] = ()

    @classmethod
    def of(cls, folder: ModelFolder, max_tokens: int) -> "SentenceSettings":
        """As the folder says."""
        return cls(
            folder.poolings,
            tuple(_size(layer) for layer in folder.dense),
            folder.normalised,
            folder.similarity,
            folder.query_prompt,
            folder.document_prompt,
            folder.include_prompt,
            max_tokens,
            folder.lowercase,
        )

    def width(self, dim: int) -> int:
        """Numbers of the pooled states."""
        return dim * len(self.poolings)

    def changed(self, settings: "BiSettings", dim: int) -> "SentenceSettings":
        """With what the settings ask for, over states of `dim` numbers."""
        names = ("similarity", "query_prompt", "document_prompt", "include_prompt")
        asked: dict[str, Any] = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
        if settings.pooling:
            wanted = settings.pooling.split("+")  # sentence-transformers knows which are wanted, and has its own order
            asked["poolings"] = tuple(mode for mode in (*LEGACY_POOLINGS.values(), ATTENTION) if mode in wanted)
        found = replace(self, **asked, matryoshka=settings.matryoshka)
        found = replace(found, normalised=found._is_normalised(settings.normalise))
        inputs = found.width(dim)
        if found.dense and found.dense[0].inputs != inputs:
            raise Mismatch(
                f"The pooling {'+'.join(found.poolings)} gives {inputs} numbers, and the folder's dense layer reads "
                f"{found.dense[0].inputs}. Keep the folder's pooling, or take the folder of the bare encoder."
            )
        if not settings.projection:
            return found
        inputs = found.dense[-1].outputs if found.dense else inputs
        added = DenseSize(inputs, settings.projection, "torch.nn.modules.linear.Identity")
        return replace(found, dense=(*found.dense, added))

    def _is_normalised(self, asked: bool | None) -> bool:
        if self.similarity == "cosine" and asked is False:
            raise BadInput("normalise is false and similarity cosine, which has unit vectors. Set similarity to dot.")
        return self.similarity == "cosine" or (self.normalised if asked is None else asked)


def write_sentence_folder(
    folder: Path,
    about: SentenceSettings,
    layers: Sequence[torch.nn.Module],
    attention: torch.nn.Module | None = None,
) -> None:
    """modules.json and the modules' files, in the words that every release of sentence-transformers reads.

    Learned pooling is a module that it has not: sentence-transformers then says that it cannot import it.
    """
    from safetensors.torch import save_file

    pooling = "Pooling" if attention is None else LEARNED
    kinds = ["Transformer", pooling, *("Dense" for _ in layers), *(["Normalize"] if about.normalised else [])]
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds[1:], start=1))]
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": path,
            "type": f"{'retr' if kind == LEARNED else 'sentence_transformers.models'}.{kind}",
        }
        for number, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    _write(folder / "modules.json", modules)
    write_lengths(folder, about.max_tokens, lowercase=about.lowercase)
    prompts = {"query": about.query_prompt, "document": about.document_prompt}
    _write(folder / "config_sentence_transformers.json", {"prompts": prompts, "similarity_fn_name": about.similarity})
    modes = {key: name in about.poolings for key, name in LEGACY_POOLINGS.items()} if attention is None else {}
    width = {"word_embedding_dimension": _width(folder)}
    _write(folder / paths[1] / "config.json", {**width, **modes, "include_prompt": about.include_prompt})
    if attention is not None:
        tensors = {name: value.detach().cpu().contiguous() for name, value in attention.state_dict().items()}
        save_file(tensors, str(folder / paths[1] / "model.safetensors"))
    for number, (size, layer) in enumerate(zip(about.dense, layers, strict=True), start=2):
        place = folder / f"{number}_Dense"
        sizes = {"in_features": size.inputs, "out_features": size.outputs, "bias": True}
        _write(place / "config.json", {**sizes, "activation_function": size.activation})
        weights = {f"linear.{name}": value.detach().cpu().contiguous() for name, value in layer.state_dict().items()}
        save_file(weights, str(place / "model.safetensors"))
    write_record(folder, {"bi": {"kind": "bi", "matryoshka": list(about.matryoshka)}})


def write_lengths(folder: Path, max_tokens: int, *, lowercase: bool) -> None:
    """How many tokens of a text are read, and whether in lower case before the tokenizer's own steps."""
    _write(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": lowercase})


def write_record(folder: Path, tables: Mapping[str, Any]) -> None:
    """retr.json, which holds what the other files of the folder cannot."""
    _write(folder / RECORD, tables)


def _size(layer: Dense) -> DenseSize:
    inputs, outputs = layer.linear.weight.shape
    return DenseSize(inputs, outputs, layer.activation)


def _width(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return int(config.get("hidden_size") or config.get("dim") or config.get("n_embd") or config["d_model"])


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
