"""Folders as training writes them, made without torch."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MakeFolder = Callable[..., Path]


def _write_parts(folder: Path, kind: str, tensors: dict[str, Any], table: dict[str, Any]) -> None:
    pytest.importorskip("safetensors.numpy").save_file(tensors, str(folder / f"{kind}.safetensors"))
    (folder / "retr.json").write_text(json.dumps({kind: {"kind": kind, **table}}))


@pytest.fixture
def make_uni(make_bi: MakeFolder, tmp_path: Path) -> MakeFolder:
    """`make_uni(seed=…, mask=…)` to a folder."""
    pytest.importorskip("transformers")

    def make(*, seed: int = 0, mask: str = "one_way") -> Path:
        folder = Path(shutil.copytree(make_bi("bert", seed=seed), tmp_path / f"uni-{mask}-{seed}", dirs_exist_ok=True))
        head = {"weight": np.random.default_rng(seed).normal(size=(1, 32)), "bias": np.zeros(1)}
        table = {"mask": mask, "positions": "shared", "context_tokens": 12, "candidate_tokens": 12}
        _write_parts(folder, "uni", {name: value.astype(np.float32) for name, value in head.items()}, table)
        return folder

    return make


@pytest.fixture
def make_poly(make_bi: MakeFolder, tmp_path: Path) -> MakeFolder:
    """`make_poly(seed=…)` to a folder."""
    pytest.importorskip("transformers")

    def make(*, seed: int = 0) -> Path:
        folder = tmp_path / f"poly-{seed}"
        shutil.copytree(make_bi("bert", seed=seed), folder / "context", dirs_exist_ok=True)
        shutil.copytree(make_bi("bert", seed=seed + 7), folder / "candidate", dirs_exist_ok=True)
        codes = np.random.default_rng(seed).normal(size=(4, 32)).astype(np.float32)
        _write_parts(folder, "poly", {"codes": codes}, {"codes": 4, "context_tokens": 16, "candidate_tokens": 16})
        return folder

    return make


@pytest.fixture
def make_late(make_bi: MakeFolder, tmp_path: Path) -> MakeFolder:
    """`make_late(seed=…)` to a folder as sentence-transformers' MultiVectorEncoder writes it."""

    def make(*, seed: int = 0) -> Path:
        folder = Path(shutil.copytree(make_bi("bert", seed=seed), tmp_path / f"late-{seed}", dirs_exist_ok=True))
        shutil.rmtree(folder / "1_Pooling")
        modules = ["base.modules.transformer.Transformer", "base.modules.dense.Dense"]
        modules += [
            "multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask",
            "base.modules.normalize.Normalize",
        ]
        named = [(f"{at}_{type.split('.')[-1]}" if at else "", type) for at, type in enumerate(modules)]
        of_tokens = {"module_input_name": "token_embeddings"}
        dense = {"in_features": 32, "out_features": 8, "bias": False, **of_tokens}
        dense["activation_function"] = "torch.nn.modules.linear.Identity"
        configs: dict[str, Any] = {
            "modules.json": [
                {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.{type}"}
                for at, (path, type) in enumerate(named)
            ],
            "1_Dense/config.json": dense,
            "2_MultiVectorMask/config.json": {"skiplist_words": ["."], "skiplist_tasks": ["document"]},
            "3_Normalize/config.json": of_tokens,
            "config_sentence_transformers.json": {"model_type": "MultiVectorEncoder"},
        }
        for name, content in configs.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(json.dumps(content))
        weight = np.random.default_rng(seed).normal(size=(8, 32)).astype(np.float32)
        save_file = pytest.importorskip("safetensors.numpy").save_file
        save_file({"linear.weight": weight}, str(folder / "1_Dense" / "model.safetensors"))
        return folder

    return make


@pytest.fixture
def make_filip(tmp_path: Path) -> MakeFolder:
    """`make_filip(seed=…)` to a folder of a model of images and texts."""
    pytest.importorskip("onnx")
    from tests.colours import make_colours

    return lambda *, seed=0: make_colours(tmp_path / f"filip-{seed}", seed=seed)


@pytest.fixture
def make_lexsem(make_bi: MakeFolder, tmp_path: Path) -> MakeFolder:
    """`make_lexsem(seed=…, words=…)` to a folder of a LexSemBridge encoder."""

    def make(*, seed: int = 0, words: str = "learned") -> Path:
        folder = Path(shutil.copytree(make_bi("bert", seed=seed), tmp_path / f"lexsem-{seed}", dirs_exist_ok=True))
        rows = json.loads((folder / "config.json").read_text())["vocab_size"]
        rng = np.random.default_rng(seed)
        drawn = {"weight": rng.normal(size=(rows, 32)), "bias": rng.normal(size=32), "direction": rng.normal(size=32)}
        _write_parts(
            folder, "lexsem", {name: part.astype(np.float32) for name, part in drawn.items()}, {"words": words}
        )
        return folder

    return make


@pytest.fixture
def make_smith(make_bi: MakeFolder, tmp_path: Path) -> MakeFolder:
    """`make_smith(seed=…)` to a folder of a SMITH encoder of one layer above its blocks."""

    def make(*, seed: int = 0) -> Path:
        folder = Path(shutil.copytree(make_bi("bert", seed=seed), tmp_path / f"smith-{seed}", dirs_exist_ok=True))
        for name in ("modules.json", "config_sentence_transformers.json"):
            (folder / name).unlink()
        layer, rng = "layers.layers.0", np.random.default_rng(seed)
        shapes: dict[str, tuple[int, ...]] = {"positions": (5, 32), f"{layer}.self_attn.in_proj_weight": (96, 32)}
        shapes |= {f"{layer}.self_attn.in_proj_bias": (96,)}
        linears = {"block": (32, 32), "out": (32, 32), f"{layer}.self_attn.out_proj": (32, 32)}
        linears |= {f"{layer}.linear1": (48, 32), f"{layer}.linear2": (32, 48)}
        shapes |= {f"{name}.weight": shape for name, shape in linears.items()}
        norms = {name: (32,) for name in ("norm", f"{layer}.norm1", f"{layer}.norm2")}
        shapes |= {f"{name}.weight": shape for name, shape in norms.items()}
        shapes |= {f"{name}.bias": (shape[0],) for name, shape in (linears | norms).items()}
        drawn = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
        _write_parts(folder, "smith", drawn, {"block_tokens": 8, "blocks": 5, "layers": 1, "heads": 4})
        return folder

    return make


@pytest.fixture
def make_mvp(make_t5: MakeFolder) -> MakeFolder:
    """`make_mvp(seed=…)` to a folder of an MVP reranker."""

    def make(*, seed: int = 0) -> Path:
        folder = make_t5(seed=seed)
        (folder / "retr.json").write_text(json.dumps({"mvp": {"kind": "mvp", "max_tokens": 32}}))
        return folder

    return make


@pytest.fixture
def make_dse(make_bi: MakeFolder, tmp_path: Path) -> MakeFolder:
    """`make_dse(seed=…, head=…)` to a folder of a Distilled Sentence Embedding of two layers."""

    def make(*, seed: int = 0, head: str = "concat") -> Path:
        folder = Path(shutil.copytree(make_bi("bert", seed=seed), tmp_path / f"dse-{head}-{seed}", dirs_exist_ok=True))
        rng = np.random.default_rng(seed)
        sizes: dict[str, tuple[int, ...]] = {"first.weight": (6, 256), "first.bias": (6,)}
        sizes |= {"last.weight": (1, 6), "last.bias": (1,)}
        sizes = sizes if head == "concat" else {"log_scale": (1,), "bias": (1,)}
        drawn = {f"head.{name}": rng.normal(size=shape).astype(np.float32) for name, shape in sizes.items()}
        _write_parts(folder, "dse", drawn, {"head": head, "layers": 2, "hidden": 6})
        return folder

    return make


def _llama(folder: Path, like: Path, seed: int, table: dict[str, str | int], *, logits: bool, **special: float) -> Path:
    """A Llama of two layers with the tokenizer of another folder, and its table in retr.json."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    made = transformers.LlamaForCausalLM if logits else transformers.LlamaModel
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made(transformers.LlamaConfig(**sizes, vocab_size=100, **special)).save_pretrained(str(folder))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(like / name, folder / name)
    (folder / "retr.json").write_text(json.dumps({table["kind"]: table}))
    return folder


@pytest.fixture
def make_llm(make_bi: MakeFolder, tmp_path: Path) -> MakeFolder:
    """`make_llm(seed=…)` to a folder of a tiny bidirectional Llama."""

    def make(*, seed: int = 0) -> Path:
        table = {"kind": "llm", "attention": "bidirectional", "pooling": "mean", "max_tokens": 24}
        special = {"max_position_embeddings": 24, "eos_token_id": 2, "initializer_range": 0.5}
        return _llama(tmp_path / f"llm-{seed}", make_bi("bert", seed=seed), seed, table, logits=False, **special)

    return make


@pytest.fixture
def make_ql(make_bi: MakeFolder, tmp_path: Path) -> MakeFolder:
    """`make_ql(seed=…)` to a folder of a tiny Llama with its layer of logits."""

    def make(*, seed: int = 0) -> Path:
        table = {"kind": "ql", "prompt": "a : {document} "}
        special = {"max_position_embeddings": 48, "eos_token_id": 3, "initializer_range": 0.2}
        return _llama(tmp_path / f"ql-{seed}", make_bi("bert", seed=seed), seed, table, logits=True, **special)

    return make
