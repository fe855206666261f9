"""A small model of images and texts with random weights, to be trained from nothing: CLIP's towers in other sizes."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from retr.encoders.images.networks import IMAGE, TEXT
from retr.encoders.images.pixels import Pixels
from retr.encoders.on_torch.silence import silent
from retr.encoders.reading import tokenizing
from retr.encoders.trainable.images.opening import FilipSettings
from retr.encoders.trainable.images.student import Heads, write_heads
from retr.retrieval.errors import BadInput

VOCABULARY = Path(tokenizing.__file__).parent / "vocabularies" / "bert-base-uncased.txt"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True, slots=True)
class TowerSizes:
    """Both towers have the same width, layers and heads; an image is a square of `image` pixels in patches."""

    image: int = 48
    patch: int = 8
    width: int = 96
    layers: int = 2
    heads: int = 4
    dim: int = 64
    tokens: int = 64

    def __post_init__(self) -> None:
        if self.patch < 1 or self.image % self.patch or self.heads < 1 or self.width % self.heads:
            raise BadInput(
                f"An image of {self.image} is not whole patches of {self.patch}, or a width of {self.width} not "
                f"{self.heads} heads. Give multiples."
            )
        if min(self.image, self.width, self.layers, self.dim) < 1 or self.tokens < 3:
            raise BadInput(f"A size is below 1, or tokens, {self.tokens}, below 3. Give more.")


def make_model(out: Path, captions: Iterable[str], sizes: TowerSizes | None = None, *, seed: int = 0) -> None:
    """Write a model's folder whose weights are drawn from the seed, to be named as `model` in a recipe of kind filip.

    Words are cut as BERT does, by those parts of its vocabulary that the captions have, and by single letters.
    """
    sizes = sizes or TowerSizes()
    out.mkdir(parents=True, exist_ok=True)
    tokens = _write_vocabulary(out / TEXT, captions, sizes.tokens)
    with silent(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image, text = _towers(sizes, tokens)
        image.save_pretrained(str(out / IMAGE))
        text.save_pretrained(str(out / TEXT))
        Pixels(sizes.image, sizes.image).write(out / IMAGE)
        heads = Heads((sizes.width, sizes.width), sizes.dim, FilipSettings().log_scale())
    write_heads(out, heads, "tokens")


def _towers(sizes: TowerSizes, tokens: int) -> tuple[Any, Any]:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

    shape: dict[str, Any] = {
        "hidden_size": sizes.width,
        "intermediate_size": 4 * sizes.width,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "projection_dim": sizes.dim,
    }
    ends: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    image = CLIPVisionConfig(**shape, image_size=sizes.image, patch_size=sizes.patch)
    text = CLIPTextConfig(**shape, **ends, vocab_size=tokens, max_position_embeddings=sizes.tokens)
    return CLIPVisionModel(image), CLIPTextModel(text)


def _write_vocabulary(folder: Path, captions: Iterable[str], most: int) -> int:
    """vocab.txt of what the captions need; how many entries it has."""
    whole = tokenizing.bert_tokenizer(VOCABULARY, 1 << 20)
    used = {token for caption in captions for token in whole.encode(caption).tokens}
    entries = VOCABULARY.read_text("utf-8").splitlines()
    letters = [entry for entry in entries if len(entry.removeprefix("##")) == 1 and entry.isascii()]
    chosen = used.union(letters).difference(SPECIAL)
    words = [*SPECIAL, *(entry for entry in entries if entry in chosen)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    told = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": most}
    (folder / "tokenizer_config.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return len(words)
