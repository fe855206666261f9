"""Tiny seeded models, written to disk without torch: folders as sentence-transformers and transformers save them."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Each of pytest-xdist's processes has its part of the cores. With all of them for each, the threads of torch and FAISS
# wait for each other in loops: on two busy cores some tests of training took five times as long.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    part = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, part)))

DIM, WIDE, HEADS, LAYERS, TOKENS = 32, 48, 4, 2, 24
PIECES = [*"abcdefghijklmnopqrstuvwxyz0123456789.,?", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
PIECES += [
    "the",
    "red",
    "blue",
    "fish",
    "swims",
    "in",
    "cold",
    "water",
    "a",
    "stone",
    "falls",
    "from",
    "sky",
    "query",
    ":",
]

BERT = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
BERT += ["intermediate.dense", "output.dense"]
NAMES = {
    "bert": (BERT, ["attention.output.LayerNorm", "output.LayerNorm"], "encoder.layer"),
    "roberta": (BERT, ["attention.output.LayerNorm", "output.LayerNorm"], "encoder.layer"),
    "xlm-roberta": (BERT, ["attention.output.LayerNorm", "output.LayerNorm"], "encoder.layer"),
    "mpnet": (
        [*(f"attention.attn.{name}" for name in "qkvo"), "intermediate.dense", "output.dense"],
        ["attention.LayerNorm", "output.LayerNorm"],
        "encoder.layer",
    ),
    "distilbert": (
        [*(f"attention.{name}_lin" for name in ("q", "k", "v", "out")), "ffn.lin1", "ffn.lin2"],
        ["sa_layer_norm", "output_layer_norm"],
        "transformer.layer",
    ),
}
HEADS_OF = {
    "bert": ["bert.pooler.dense", "classifier"],
    **{name: ["classifier.dense", "classifier.out_proj"] for name in ("roberta", "xlm-roberta", "mpnet")},
    "distilbert": ["pre_classifier", "classifier"],
}
ARCHITECTURES = {
    "bert": "Bert",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "mpnet": "MPNet",
    "distilbert": "DistilBert",
}


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """A safetensors file of float32 tensors."""
    head, at = {}, 0
    for name, values in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(values.tobytes() for values in tensors.values()))


def vocabulary(family: str) -> list[str]:
    """RoBERTa and MPNet have their padding token at 1, the others at 0."""
    first = ["[PAD]", "[CLS]"] if family in ("bert", "distilbert") else ["[CLS]", "[PAD]"]
    return [*first, "[SEP]", "[UNK]", "[MASK]", *dict.fromkeys(PIECES)]


def tensors_of(family: str, seed: int, labels: int = 0) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint by the names that transformers gives them; with `labels`, a classifier's."""
    rng = np.random.default_rng(seed)
    linears, norms, layer = NAMES[family]
    prefix = f"{family.replace('xlm-', '')}." if labels else ""

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.2, shape).astype(np.float32)

    def norm(name: str) -> dict[str, np.ndarray]:
        return {f"{prefix}{name}.weight": 1 + draw(DIM), f"{prefix}{name}.bias": draw(DIM)}

    positions = TOKENS + (0 if family in ("bert", "distilbert") else 2)
    tables = {"word": len(vocabulary(family)), "position": positions}
    tables |= {"token_type": 2 if family == "bert" else 1} if family not in ("mpnet", "distilbert") else {}
    found = {f"{prefix}embeddings.{name}_embeddings.weight": draw(rows, DIM) for name, rows in tables.items()}
    found |= norm("embeddings.LayerNorm")
    shapes = [(DIM, DIM)] * 4 + [(WIDE, DIM), (DIM, WIDE)]
    for stem in (f"{layer}.{number}." for number in range(LAYERS)):
        for name, shape in zip(linears, shapes, strict=True):
            found |= {f"{prefix}{stem}{name}.weight": draw(*shape), f"{prefix}{stem}{name}.bias": draw(shape[0])}
        for name in norms:
            found |= norm(stem + name)
    if family == "mpnet":
        found[f"{prefix}encoder.relative_attention_bias.weight"] = draw(32, HEADS)
    for name, size in zip(HEADS_OF.get(family, []) if labels else [], (DIM, labels), strict=False):
        found |= {f"{name}.weight": draw(size, DIM), f"{name}.bias": draw(size)}
    return found


def tensors_of_t5(words: int, gated: bool, seed: int) -> dict[str, np.ndarray]:
    """Weights of a T5 by transformers' names, 6 numbers a head; large, so that leaks between texts are seen."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"shared.weight": (words, DIM)}
    for side, attentions in (("encoder", ["SelfAttention"]), ("decoder", ["SelfAttention", "EncDecAttention"])):
        shapes[f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = (8, HEADS)
        for layer in range(LAYERS):
            at = f"{side}.block.{layer}.layer."
            for part, name in enumerate(attentions):
                shapes |= {f"{at}{part}.{name}.{one}.weight": (6 * HEADS, DIM) for one in "qkv"}
                shapes[f"{at}{part}.{name}.o.weight"] = (DIM, 6 * HEADS)
            feed = f"{at}{len(attentions)}.DenseReluDense"
            shapes |= {f"{feed}.{name}.weight": (WIDE, DIM) for name in (("wi_0", "wi_1") if gated else ("wi",))}
            shapes[f"{feed}.wo.weight"] = (DIM, WIDE)
            shapes |= {f"{at}{part}.layer_norm.weight": (DIM,) for part in range(len(attentions) + 1)}
        shapes[f"{side}.final_layer_norm.weight"] = (DIM,)
    drawn = {name: rng.normal(0, 0.3, shape) + (len(shape) == 1) for name, shape in shapes.items()}
    return {name: values.astype(np.float32) for name, values in drawn.items()}


def config_of(family: str, labels: int = 0) -> dict[str, Any]:
    """config.json as transformers writes it."""
    sizes: dict[str, Any] = {
        "hidden_size": DIM, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": WIDE,
        "hidden_act": "gelu", "layer_norm_eps": 1e-5, "type_vocab_size": 2 if family == "bert" else 1,
    }  # fmt: skip
    if family == "distilbert":
        sizes = {"dim": DIM, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": WIDE, "activation": "gelu"}
    offset = family not in ("bert", "distilbert")
    task = "ForSequenceClassification" if labels else "Model"
    return {
        **sizes,
        "model_type": family,
        "architectures": [ARCHITECTURES[family] + task],
        "vocab_size": len(vocabulary(family)),
        "max_position_embeddings": TOKENS + (2 if offset else 0),
        "pad_token_id": int(offset),
        **({"id2label": {str(n): f"L{n}" for n in range(labels)}} if labels else {}),
    }


def write_tokenizer(folder: Path, family: str) -> None:
    """tokenizer.json and tokenizer_config.json of a lower-casing WordPiece."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

    rows = {piece: row for row, piece in enumerate(vocabulary(family))}
    tokenizer = Tokenizer(models.WordPiece(rows, unk_token="[UNK]"))
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True) for name in ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")]
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    second = 1 if family == "bert" else 0
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A [SEP] $B:{second} [SEP]:{second}",
        special_tokens=[("[CLS]", rows["[CLS]"]), ("[SEP]", rows["[SEP]"])],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{name.strip('[]').lower()}_token": name for name in ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")}
    inputs = ["input_ids", "attention_mask", *(["token_type_ids"] if family == "bert" else [])]
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": TOKENS,
        "model_input_names": inputs,
        **names,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_json(path: Path, content: Any) -> None:
    """One JSON file, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


MakeModel = Callable[..., Path]


@pytest.fixture(scope="session")
def make_bi(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """`make_bi(family, pooling=…, settings=…, dense=…, normalise=…, seed=…)` to a sentence-transformers folder."""

    def make(
        family: str = "bert",
        *,
        pooling: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        dense: str = "",
        normalise: bool = True,
        seed: int = 0,
    ) -> Path:
        folder = tmp_path_factory.mktemp(family)
        write_safetensors(folder / "model.safetensors", tensors_of(family, seed))
        write_json(folder / "config.json", config_of(family))
        write_tokenizer(folder, family)
        kinds = ["Transformer", "Pooling", *(["Dense"] if dense else []), *(["Normalize"] if normalise else [])]
        modules = [
            {
                "idx": n,
                "name": str(n),
                "path": f"{n}_{kind}" if n else "",
                "type": f"sentence_transformers.models.{kind}",
            }
            for n, kind in enumerate(kinds)
        ]
        write_json(folder / "modules.json", modules)
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": TOKENS, "do_lower_case": False})
        write_json(folder / "config_sentence_transformers.json", dict(settings or {}))
        pool = pooling or {"pooling_mode_mean_tokens": True}
        write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": DIM, **pool})
        if dense:
            rng = np.random.default_rng(seed + 1)
            weights = {"linear.weight": (10, DIM), "linear.bias": (10,)}
            config = {"in_features": DIM, "out_features": 10, "bias": True, "activation_function": dense}
            write_json(folder / "2_Dense" / "config.json", config)
            drawn = {name: rng.normal(size=shape).astype(np.float32) for name, shape in weights.items()}
            write_safetensors(folder / "2_Dense" / "model.safetensors", drawn)
        return folder

    return make


@pytest.fixture(scope="session")
def make_cross(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """`make_cross(family, labels=…, seed=…)` to a transformers sequence-classification folder."""

    def make(family: str = "bert", *, labels: int = 1, seed: int = 0) -> Path:
        folder = tmp_path_factory.mktemp(f"cross-{family}")
        write_safetensors(folder / "model.safetensors", tensors_of(family, seed, labels))
        write_json(folder / "config.json", config_of(family, labels))
        write_tokenizer(folder, family)
        return folder

    return make


@pytest.fixture(scope="session")
def make_t5(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """`make_t5(gated=…, seed=…)` to a T5's folder, whose tokenizer knows eight sentinels."""

    def make(*, gated: bool = False, seed: int = 0) -> Path:
        from tokenizers import Tokenizer

        folder = tmp_path_factory.mktemp("t5")
        write_tokenizer(folder, "bert")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.add_special_tokens([f"<extra_id_{view}>" for view in range(8)])
        tokenizer.save(str(folder / "tokenizer.json"))
        write_safetensors(folder / "model.safetensors", tensors_of_t5(tokenizer.get_vocab_size(), gated, seed))
        config = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": DIM, "d_ff": WIDE}
        config |= {"d_kv": 6, "num_heads": HEADS, "num_layers": LAYERS, "num_decoder_layers": LAYERS}
        config |= {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 16, "pad_token_id": 0}
        config |= {"feed_forward_proj": "gated-gelu" if gated else "relu", "vocab_size": tokenizer.get_vocab_size()}
        config |= {"eos_token_id": 2, "decoder_start_token_id": 0, "is_encoder_decoder": True}
        write_json(folder / "config.json", config)
        return folder

    return make


@pytest.fixture(scope="session")
def make_static(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """`make_static(layout, seed=…)` to a folder of static embeddings: sentence-transformers' or model2vec's layout."""

    def make(layout: str = "sentence-transformers", *, seed: int = 0) -> Path:
        folder = tmp_path_factory.mktemp("static")
        write_tokenizer(folder, "bert")
        rows = len(vocabulary("bert"))
        rng = np.random.default_rng(seed)
        table = rng.normal(size=(rows, DIM)).astype(np.float32)
        if layout == "model2vec":
            weights = rng.uniform(0.1, 1, rows).astype(np.float32)
            write_safetensors(folder / "model.safetensors", {"embeddings": table, "weights": weights})
            write_json(folder / "config.json", {"model_type": "model2vec", "normalize": True, "hidden_dim": DIM})
            return folder
        write_safetensors(folder / "model.safetensors", {"embedding.weight": table})
        module = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.StaticEmbedding"}
        write_json(folder / "modules.json", [module])
        return folder

    return make


@pytest.fixture(autouse=True, scope="session")
def _no_shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tests leave the user's cache alone."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RETR_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()
