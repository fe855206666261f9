"""The BERT family: which tensor of a transformers checkpoint is which weight, and what follows on the last layer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from retr.encoders.graphs.transformer import ACTIVATIONS
from retr.encoders.reading.safetensors_file import Array, floats
from retr.encoders.reading.weights import Layer, Linear, Norm, Table, Transformer
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """Names inside one layer, in the order query, key, value, out, up, down; then the two norms."""

    prefix: str
    layer: str
    linears: tuple[str, str, str, str, str, str]
    norms: tuple[str, str]
    first_position: int = 0
    relative: str = ""
    head: tuple[str, str, str] = ("classifier.dense", "tanh", "classifier.out_proj")
    heads_key: str = "num_attention_heads"
    layers_key: str = "num_hidden_layers"
    activation_key: str = "hidden_act"


_BERT_LINEARS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_BERT_NORMS = ("attention.output.LayerNorm", "output.LayerNorm")
_ROBERTA = Family("roberta.", "encoder.layer", _BERT_LINEARS, _BERT_NORMS, first_position=2)
_MPNET_LINEARS = (*(f"attention.attn.{name}" for name in "qkvo"), "intermediate.dense", "output.dense")
_DISTIL_LINEARS = (*(f"attention.{name}_lin" for name in ("q", "k", "v", "out")), "ffn.lin1", "ffn.lin2")

FAMILIES = {
    "bert": Family(
        "bert.", "encoder.layer", _BERT_LINEARS, _BERT_NORMS, head=("bert.pooler.dense", "tanh", "classifier")
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": Family(
        "mpnet.",
        "encoder.layer",
        _MPNET_LINEARS,  # type: ignore[arg-type]
        ("attention.LayerNorm", "output.LayerNorm"),
        first_position=2,
        relative="encoder.relative_attention_bias.weight",
    ),
    "distilbert": Family(
        "distilbert.",
        "transformer.layer",
        _DISTIL_LINEARS,  # type: ignore[arg-type]
        ("sa_layer_norm", "output_layer_norm"),
        head=("pre_classifier", "relu", "classifier"),
        heads_key="n_heads",
        layers_key="n_layers",
        activation_key="activation",
    ),
}
"""`model_type` of config.json to where its tensors are."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """From the first token's state [texts, dim] to logits [texts, labels]."""

    dense: Linear
    activation: str
    out: Linear

    def __call__(self, first: Floats) -> Floats:
        """The logits."""
        wide = first @ self.dense.weight + self.dense.bias
        wide = np.tanh(wide) if self.activation == "tanh" else np.maximum(wide, 0)
        return np.asarray(wide @ self.out.weight + self.out.bias, np.float32)


def is_known(config: Config) -> bool:
    """Whether a model of this config.json can be built here."""
    family = FAMILIES.get(str(config.get("model_type")))
    return (
        family is not None
        and config.get(family.activation_key, "gelu") in ACTIVATIONS
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder", False)
        and not config.get("quantization_config")
    )


def read_transformer(tensors: Mapping[str, Array], config: Config) -> Transformer:
    """The weights of a checkpoint, with or without its task's prefix; Damaged where one is missing or misshapen."""
    family = FAMILIES[str(config["model_type"])]
    named = _plain_names(tensors, family.prefix)
    count, heads = int(config.get(family.layers_key, 12)), int(config.get(family.heads_key, 12))
    try:
        types = named.get("embeddings.token_type_embeddings.weight")
        positions = floats(named["embeddings.position_embeddings.weight"])[_first_position(family, config) :]
        layers = tuple(_layer(named, family, f"{family.layer}.{index}.") for index in range(count))
        found = Transformer(
            words=Table(floats(named["embeddings.word_embeddings.weight"])),
            positions=positions,
            types=None if types is None else floats(types),
            norm=_norm(named, "embeddings.LayerNorm"),
            layers=layers,
            heads=heads,
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
            activation=str(config.get(family.activation_key, "gelu")),
            relative=by_distance(floats(named[family.relative]), len(positions)) if family.relative else None,
        )
    except KeyError as error:
        raise Damaged(
            f"The weights lack the tensor {error}, which {config['model_type']!r} needs. Get them again."
        ) from None
    _check_shapes(found)
    return found


def read_head(tensors: Mapping[str, Array], config: Config) -> Head:
    """The classifier of a sequence-classification checkpoint."""
    dense, activation, out = FAMILIES[str(config["model_type"])].head
    try:
        return Head(_linear(tensors, dense), activation, _linear(tensors, out))
    except KeyError as error:
        raise Damaged(
            f"The weights lack the tensor {error}: this is no cross-encoder. Give a cross-encoder's folder."
        ) from None


def by_distance(buckets: Floats, tokens: int) -> Floats:
    """MPNet's bias for every distance from -(tokens - 1) to tokens - 1, [2 tokens - 1, heads].

    Half of the buckets are for later tokens; in each half, half are exact and the rest logarithmic to 128, as in T5
    (Raffel et al., 2020).
    """
    back = np.arange(tokens - 1, -tokens, -1)
    half = len(buckets) // 2
    exact = half // 2
    size = np.abs(back)
    logs = np.log(np.maximum(size, 1).astype(np.float32) / exact) / math.log(128 / exact) * (half - exact)
    far = np.minimum(exact + logs.astype(np.int64), half - 1)
    rows = np.where(back < 0, half, 0) + np.where(size < exact, size, far)
    return np.asarray(buckets[rows], np.float32)


def _first_position(family: Family, config: Config) -> int:
    """RoBERTa counts from one after the padding token's number."""
    if not family.first_position or family.relative:
        return family.first_position
    return int(config.get("pad_token_id") or 1) + 1


def _plain_names(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    renamed = {name.removeprefix(prefix): values for name, values in tensors.items()}
    old = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    for before, after in old.items():
        renamed = {name.replace(before, after): values for name, values in renamed.items()}
    return renamed


def _layer(named: Mapping[str, Array], family: Family, stem: str) -> Layer:
    query, key, value, out, up, down = (_linear(named, stem + name) for name in family.linears)
    first, second = (_norm(named, stem + name) for name in family.norms)
    return Layer(query, key, value, out, first, up, down, second)


def _linear(named: Mapping[str, Array], name: str) -> Linear:
    """Checkpoints hold [outputs, inputs]."""
    return Linear(np.ascontiguousarray(floats(named[f"{name}.weight"]).T), floats(named[f"{name}.bias"]))


def _norm(named: Mapping[str, Array], name: str) -> Norm:
    return Norm(floats(named[f"{name}.weight"]), floats(named[f"{name}.bias"]))


def _check_shapes(found: Transformer) -> None:
    dim = found.words.values.shape[-1]
    for layer in found.layers:
        square = [linear.weight.shape == (dim, dim) for linear in (layer.query, layer.key, layer.value, layer.out)]
        if not all(square) or layer.up.weight.shape[0] != dim or layer.down.weight.shape[1] != dim:
            raise Damaged(
                f"The weights' shapes do not fit {dim} numbers a token. The folder mixes two models; get it again."
            )
    if found.positions.shape[-1] != dim or found.heads < 1 or dim % found.heads:
        raise Damaged(f"config.json says {found.heads} heads for {dim} numbers a token. Get the folder again.")
