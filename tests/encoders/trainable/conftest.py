"""Tiny seeded transformers in folders, with large weights: with small ones a leak through a mask is hard to see."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 96,
    "initializer_range": 0.3,
}
DISTIL = {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 96}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", SIZES),
    "roberta": ("Roberta", {**SIZES, "type_vocab_size": 1, "pad_token_id": 1, "max_position_embeddings": 98}),
    "electra": ("Electra", {**SIZES, "embedding_size": 16}),
    "distilbert": ("DistilBert", {**DISTIL, "initializer_range": 0.3}),
    "modernbert": ("ModernBert", {**SIZES, "local_attention": 8, "global_attn_every_n_layers": 2}),
    "mpnet": ("MPNet", {**SIZES, "pad_token_id": 1, "max_position_embeddings": 98}),
    "deberta": ("DebertaV2", {**SIZES, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
}
"""transformers' name, and a config."""

MakeFolder = Callable[..., Path]


TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory: pytest.TempPathFactory, make_bi: MakeFolder) -> MakeFolder:
    """`make_folder(family, seed=…, **config)` to a folder of model and tokenizer as transformers saves them."""

    def make(family: str = "bert", *, seed: int = 0, **changes: Any) -> Path:
        import torch
        import transformers

        name, config = FAMILIES[family]
        like = make_bi("roberta" if family in ("roberta", "mpnet") else "bert")
        told = json.loads((like / "config.json").read_text())
        special = {"vocab_size": told["vocab_size"], "pad_token_id": told["pad_token_id"]}
        if family == "modernbert":
            special |= {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
        settings = getattr(transformers, f"{name}Config")(**{**config, **special, **changes})
        folder = tmp_path_factory.mktemp(family)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            getattr(transformers, f"{name}Model")(settings).save_pretrained(str(folder))
        for file in TOKENIZER:
            text = (like / file).read_text()
            (folder / file).write_text(text.replace('"model_max_length": 24', '"model_max_length": 96'))
        return folder

    return make
