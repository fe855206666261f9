"""Tiny seeded decoders of many architectures, with large weights: with small ones a leak through a mask hides."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 24,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "initializer_range": 0.5,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
PLAIN = {name: value for name, value in SIZES.items() if name != "num_key_value_heads"}
WINDOW = {"sliding_window": 4}
GEMMA = {**SIZES, "head_dim": 8}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", SIZES),
    "mistral": ("Mistral", {**SIZES, **WINDOW}),
    "qwen2": ("Qwen2", SIZES),
    "qwen3": ("Qwen3", {**SIZES, "head_dim": 8}),
    "gemma2": ("Gemma2", {**GEMMA, **WINDOW, "query_pre_attn_scalar": 8}),
    "gemma3": ("Gemma3Text", {**GEMMA, **WINDOW, "query_pre_attn_scalar": 8}),
    "phi3": ("Phi3", SIZES),
    "gpt_neox": ("GPTNeoX", PLAIN),
    "gpt2": (
        "GPT2",
        {
            "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "vocab_size": 100, "initializer_range": 0.5,
            "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        },
    ),
    "opt": ("OPT", {**PLAIN, "word_embed_proj_dim": 16, "ffn_dim": 24, "init_std": 0.5}),
    "smollm3": ("SmolLM3", SIZES),
    "cohere2": ("Cohere2", {**SIZES, **WINDOW}),
    "stablelm": ("StableLm", SIZES),
    "gpt_neo": (
        "GPTNeo",
        {
            "hidden_size": 16, "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]],
            "vocab_size": 100, "max_position_embeddings": 64, "initializer_range": 0.5, "window_size": 4,
            "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        },
    ),
}  # fmt: skip
"""A name to transformers' and a config; windows of 4 tokens."""

ONE_ATTENTION = {"gemma2": ("eager",)}
"""Families that know one attention alone."""

TURNING = [
    (name, attention)
    for name in FAMILIES
    if name not in ("gpt_neo", "stablelm")
    for attention in ONE_ATTENTION.get(name, ("eager", "sdpa"))
]
"""Families that turn by their config, with each attention that they know."""

Build = Callable[..., Any]
MakeDecoder = Callable[..., Path]


@pytest.fixture(scope="session")
def build() -> Build:
    """`build(family, attention, direction, lm=…, seed=…)` to a model, turned before it was built."""
    import torch
    import transformers

    from retr.encoders.llm.direction import turn

    def made(
        family: str, attention: str = "sdpa", direction: Any = "causal", *, lm: bool = False, seed: int = 0
    ) -> Any:
        name, sizes = FAMILIES[family]
        config = getattr(transformers, f"{name}Config")(**sizes)
        config.use_cache = False
        turn(config, direction, 64)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            loader = transformers.AutoModelForCausalLM if lm else transformers.AutoModel
            return loader.from_config(config, attn_implementation=attention).eval()

    return made


@pytest.fixture(scope="module", params=TURNING, ids=lambda pair: "-".join(pair))
def turned(request: pytest.FixtureRequest, build: Build) -> tuple[Any, Any]:
    """One model causal, one of equal weights bidirectional."""
    family, attention = request.param
    return build(family, attention, "causal"), build(family, attention, "bidirectional")


@pytest.fixture(scope="session")
def make_decoder(tmp_path_factory: pytest.TempPathFactory, make_bi: Any, build: Build) -> MakeDecoder:
    """`make_decoder(family, lm=…, seed=…, ends=…)` to a folder of model and tokenizer as transformers saves them."""

    def make(family: str = "llama", *, lm: bool = False, seed: int = 0, ends: bool = False) -> Path:
        folder = tmp_path_factory.mktemp(family)
        build(family, ONE_ATTENTION.get(family, ("sdpa",))[0], lm=lm, seed=seed).save_pretrained(str(folder))
        content = json.loads((folder / "config.json").read_text())
        content.pop("is_causal", None)
        (folder / "config.json").write_text(json.dumps(content))
        like = make_bi("bert")
        tokenizer = json.loads((like / "tokenizer.json").read_text())
        if not ends:
            tokenizer["post_processor"] = None
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        told = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, "eos_token": "[SEP]"}
        told |= {"model_input_names": ["input_ids", "attention_mask"]}
        (folder / "tokenizer_config.json").write_text(json.dumps(told))
        return folder

    return make
