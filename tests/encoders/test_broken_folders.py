"""Every way in which a model folder may be broken is told in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder
from retr.encoders.reading.safetensors_file import read_safetensors
from retr.retrieval.errors import BadInput, Damaged, NotFound, RetrError


def change(path: Path, **values: Any) -> None:
    """Keys of a JSON file set."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def cut(name: str, size: int) -> Callable[[Path], None]:
    """A breakage: the file ends early."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size]) and None


def write(name: str, text: str) -> Callable[[Path], None]:
    """A breakage: the file holds something else."""
    return lambda folder: (folder / name).write_text(text) and None


def only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def empty_onnx(folder: Path) -> None:
    no_weights(folder)
    (folder / "model.onnx").write_bytes(b"")


def junk_onnx(folder: Path) -> None:
    no_weights(folder)
    (folder / "model.onnx").write_bytes(b"\x08\x09junk" * 50)


def own_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "custom_code.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules))


def module_outside(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = "../elsewhere"
    (folder / "modules.json").write_text(json.dumps(modules))


def more_layers(folder: Path) -> None:
    change(folder / "config.json", num_hidden_layers=3)


def odd_heads(folder: Path) -> None:
    change(folder / "config.json", num_attention_heads=5)


def odd_similarity(folder: Path) -> None:
    change(folder / "config_sentence_transformers.json", similarity_fn_name="manhattan")


def odd_pooling(folder: Path) -> None:
    change(folder / "1_Pooling" / "config.json", pooling_mode="median")


def wordy_heads(folder: Path) -> None:
    change(folder / "config.json", num_attention_heads="many")


def wordy_length(folder: Path) -> None:
    change(folder / "sentence_bert_config.json", max_seq_length="long")


def listed_prompts(folder: Path) -> None:
    change(folder / "config_sentence_transformers.json", prompts=["query: "])


def fewer_words(folder: Path) -> None:
    tensors = {name: np.array(values) for name, values in read_safetensors([folder / "model.safetensors"]).items()}
    tensors["embeddings.word_embeddings.weight"] = tensors["embeddings.word_embeddings.weight"][:3]
    head, data = {}, b""
    for name, values in tensors.items():
        head[name] = {
            "dtype": "F32",
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + values.nbytes],
        }
        data += values.tobytes()
    text = json.dumps(head).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


def not_utf8(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_bytes(b"[PAD]\n\xff\xfe\n")


@pytest.mark.parametrize(
    ("damage", "kind", "says"),
    [
        (cut("model.safetensors", 5), Damaged, "5 bytes"),
        (cut("model.safetensors", 300), Damaged, "cut off"),
        (cut("model.safetensors", 20_000), Damaged, "do not fit"),
        (write("model.safetensors", "hello, world, this is no such file"), Damaged, "not a safetensors"),
        (write("config.json", "{"), Damaged, "config.json is not JSON"),
        (write("config.json", "[]"), Damaged, "not an object"),
        (write("modules.json", '{"a": 1}'), Damaged, "modules.json"),
        (write("modules.json", "[]"), BadInput, "no module"),
        (write("tokenizer.json", "{}"), Damaged, "tokenizer"),
        (only_pickle, NotFound, "pickle"),
        (no_weights, NotFound, "neither model.safetensors nor model.onnx"),
        (no_tokenizer, NotFound, "tokenizer.json"),
        (empty_onnx, Damaged, "empty"),
        (junk_onnx, Damaged, "ONNX"),
        (own_module, BadInput, "custom_code"),
        (module_outside, BadInput, "outside"),
        (more_layers, Damaged, "lack"),
        (odd_heads, Damaged, "5 heads"),
        (odd_similarity, BadInput, "manhattan"),
        (odd_pooling, BadInput, "median"),
        (wordy_heads, Damaged, "make no sense.*many"),
        (wordy_length, Damaged, "make no sense.*long"),
        (listed_prompts, Damaged, "make no sense"),
        (fewer_words, BadInput, "two models"),
        (not_utf8, Damaged, "make no sense.*utf-8"),
    ],
)
def test_a_broken_folder_is_told_in_one_line(folder: Path, damage: Any, kind: type[RetrError], says: str) -> None:
    damage(folder)
    with pytest.raises(kind, match=says) as caught:
        load_encoder(f"bi={folder}")
    assert "\n" not in str(caught.value)
