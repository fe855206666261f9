"""A T5's weights under one set of names, and its one decoder step in NumPy (Raffel et al. 2020, arXiv 1910.10683)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from retr.encoders.mvp.folder import named
from retr.encoders.reading.safetensors_file import Array, floats
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import Damaged


def _relu(x: Floats) -> Floats:
    return np.maximum(x, np.float32(0))


def _gelu_tanh(x: Floats) -> Floats:
    return np.asarray(0.5 * x * (1 + np.tanh(np.float32(0.7978845608) * (x + np.float32(0.044715) * x**3))), np.float32)


ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "relu": _relu,
    "gated-relu": _relu,
    "gated-gelu": _gelu_tanh,
}
"""`feed_forward_proj` of a config; a gated layer multiplies its activation by a second product."""


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """Four matrices [inputs, outputs] without biases, and the weight of the norm before them [dim]."""

    norm: Floats
    query: Floats
    key: Floats
    value: Floats
    out: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Feed:
    """`up` has one matrix, or two where the layer is gated: what is activated, and what that is multiplied by."""

    norm: Floats
    up: tuple[Floats, ...]
    down: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One pre-norm layer; `across` is a decoder's attention to the encoder."""

    attention: Attention
    feed: Feed
    across: Attention | None = None


@dataclass(frozen=True, slots=True, eq=False)
class T5:
    """An encoder and a decoder over one word table [words, dim]; `buckets` [buckets, heads] is the encoder's bias."""

    words: Floats
    encoder: tuple[Block, ...]
    encoder_norm: Floats
    decoder: tuple[Block, ...]
    decoder_norm: Floats
    buckets: Floats
    distance: int
    heads: int
    epsilon: float
    activation: str
    start: int

    def anchors(self, views: Floats) -> Floats:
        """float32 [views, dim] of candidates' views [candidates, views, dim]: the decoder's answer to its first token.

        That token sees nothing but itself, so its own attention is its value; and the candidates have no positions.
        """
        x = np.repeat(self.words[self.start][None], views.shape[1], axis=0)
        for block in self.decoder:
            own, across = block.attention, block.across
            assert across is not None, "a block of the encoder stands in the decoder"
            x = x + self._norm(x, own.norm) @ own.value @ own.out
            x = x + self._look(self._norm(x, across.norm), views, across) @ across.out
            x = x + self._feed(self._norm(x, block.feed.norm), block.feed)
        return self._norm(x, self.decoder_norm)

    def _norm(self, x: Floats, weight: Floats) -> Floats:
        size = np.sqrt((x * x).mean(axis=-1, keepdims=True) + np.float32(self.epsilon))
        return np.asarray(weight * (x / size), np.float32)

    def _look(self, x: Floats, views: Floats, attention: Attention) -> Floats:
        """[views, heads * size]: view k looks at view k of every candidate."""
        asked = (x @ attention.query).reshape(len(x), self.heads, -1)
        keys, values = (
            (views @ matrix).reshape(*views.shape[:2], self.heads, -1) for matrix in (attention.key, attention.value)
        )
        scores = np.einsum("vhs,cvhs->vhc", asked, keys)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return np.asarray(np.einsum("vhc,cvhs->vhs", shares, values).reshape(len(x), -1), np.float32)

    def _feed(self, x: Floats, feed: Feed) -> Floats:
        wide = ACTIVATIONS[self.activation](x @ feed.up[0])
        if len(feed.up) > 1:
            wide = wide * (x @ feed.up[1])
        return wide @ feed.down

    def by_distance(self, tokens: int) -> Floats:
        """The encoder's bias float32 [2 * tokens - 1, heads] for each distance, the longest one back first.

        Half of the buckets are for each direction; of them half hold one distance each, and the others grow with its
        logarithm up to `distance`, beyond which all is one.
        """
        half = len(self.buckets) // 2
        exact = half // 2
        away = np.arange(1 - tokens, tokens)
        size = np.abs(away)
        grown = np.log(np.maximum(size, 1).astype(np.float32) / np.float32(exact)) / log(self.distance / exact)
        far = np.minimum(exact + (grown * np.float32(half - exact)).astype(np.int64), half - 1)
        return np.asarray(self.buckets[np.where(size < exact, size, far) + half * (away > 0)], np.float32)


def read_t5(tensors: Mapping[str, Array], config: Mapping[str, Any]) -> T5:
    """The T5 of a folder's weights; Damaged where one is missing."""
    told = {named(name): values for name, values in tensors.items()}
    words = told.get("shared.weight", told.get("encoder.embed_tokens.weight"))
    parts = _Parts(told, "gated" in config["feed_forward_proj"])
    if words is None:
        raise parts.missing("shared.weight")
    heads = int(config["num_heads"])
    start = config.get("decoder_start_token_id")
    return T5(
        words=floats(words),
        encoder=tuple(parts.block("encoder", layer) for layer in range(int(config["num_layers"]))),
        encoder_norm=parts.floats("encoder.final_layer_norm"),
        decoder=tuple(
            parts.block("decoder", layer)
            for layer in range(int(config.get("num_decoder_layers") or config["num_layers"]))
        ),
        decoder_norm=parts.floats("decoder.final_layer_norm"),
        buckets=parts.floats("encoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
        distance=int(config.get("relative_attention_max_distance") or 128),
        heads=heads,
        epsilon=float(config.get("layer_norm_epsilon") or 1e-6),
        activation=str(config["feed_forward_proj"]),
        start=int(config.get("pad_token_id") or 0) if start is None else int(start),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """Weights by transformers' names."""

    tensors: Mapping[str, Array]
    gated: bool

    def missing(self, name: str) -> Damaged:
        return Damaged(f"The model lacks the weight {name!r} of a T5. Get the folder again.")

    def floats(self, name: str) -> Floats:
        if f"{name}.weight" not in self.tensors:
            raise self.missing(f"{name}.weight")
        return floats(self.tensors[f"{name}.weight"])

    def matrix(self, name: str) -> Floats:
        return np.ascontiguousarray(self.floats(name).T)

    def attention(self, at: str, name: str) -> Attention:
        matrices = (self.matrix(f"{at}.{name}.{one}") for one in "qkvo")
        return Attention(self.floats(f"{at}.layer_norm"), *matrices)

    def block(self, side: str, layer: int) -> Block:
        at = f"{side}.block.{layer}.layer"
        across = self.attention(f"{at}.1", "EncDecAttention") if side == "decoder" else None
        feed = f"{at}.{1 if across is None else 2}"
        ups = ("wi_0", "wi_1") if self.gated else ("wi",)
        matrices = tuple(self.matrix(f"{feed}.DenseReluDense.{name}") for name in ups)
        down = self.matrix(f"{feed}.DenseReluDense.wo")
        return Block(
            self.attention(f"{at}.0", "SelfAttention"), Feed(self.floats(f"{feed}.layer_norm"), matrices, down), across
        )
