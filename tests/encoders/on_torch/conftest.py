"""Tiny seeded transformers of many families, made in memory."""

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("transformers")

SIZES: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", SIZES),
    "roberta": ("Roberta", SIZES),
    "electra": ("Electra", {**SIZES, "embedding_size": 16}),
    "distilbert": (
        "DistilBert",
        {"vocab_size": 99, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 64},
    ),
    "modernbert": ("ModernBert", {**SIZES, **SPECIAL, "local_attention": 8, "global_attn_every_n_layers": 2}),
    "llama": ("Llama", GROUPED),
    "qwen2": ("Qwen2", {**GROUPED, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    "gemma3": ("Gemma3Text", {**GROUPED, "head_dim": 8, "sliding_window": 6}),
    "mpnet": ("MPNet", SIZES),
    "gemma2": ("Gemma2", {**GROUPED, "head_dim": 8, "sliding_window": 6}),
    "t5": ("T5", {"vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}),
}
"""transformers' name, and a config: gemma2 caps its scores, t5 and mpnet have relative biases."""

CLASSES = {"gemma3": "Gemma3TextModel", "t5": "T5EncoderModel"}

MakeTransformer = Callable[..., Any]


@pytest.fixture
def make_transformer() -> MakeTransformer:
    """`make_transformer(family, task, **config)` to a seeded model in evaluation mode, with its own attention."""

    def make(family: str, task: str = "Model", **changes: Any) -> Any:
        import torch
        import transformers

        name, config = FAMILIES[family]
        settings = getattr(transformers, f"{name}Config")(**{**config, **changes})
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return getattr(transformers, CLASSES.get(family, f"{name}{task}"))(settings).eval()

    return make
