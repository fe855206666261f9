"""Words hidden from a model, and a head that says what they were: masked language modelling, for training alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import gelu

from retr.encoders.reading.folder import read_json
from retr.encoders.reading.safetensors_file import floats, read_safetensors, weight_files
from retr.encoders.trainable.backbone import Backbone
from retr.retrieval.errors import BadInput

MASKS = ("[MASK]", "<mask>")
"""What the mask token is called where tokenizer_config.json does not say."""
ASIDE, ANOTHER = 0.8, 0.9
"""Of the tokens that are to be said, so many are masked; to the second number, a word drawn evenly stands instead."""
HEADS = (
    ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
    ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
)
"""The names that transformers gives the layer, the norm and the bias: BERT, RoBERTa and MPNet, DistilBERT."""


class WordsHead(torch.nn.Module):
    """States to logits of words (Devlin et al. 2019): a layer, GELU, a norm, products with the words' own vectors."""

    def __init__(self, dim: int, words: torch.Tensor) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(dim, words.shape[1])
        self.norm = torch.nn.LayerNorm(words.shape[1])
        self.bias = torch.nn.Parameter(torch.zeros(len(words)))
        torch.nn.init.normal_(self.dense.weight, std=0.02)
        torch.nn.init.zeros_(self.dense.bias)

    def forward(self, states: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Float [tokens, dim] and the encoder's own words' vectors [words, width] to [tokens, words]."""
        found: torch.Tensor = self.norm(gelu(self.dense(states))) @ words.T + self.bias
        return found.float()


@dataclass(frozen=True, slots=True)
class Hiding:
    """`share` of the tokens, special ones not among them: of ten, eight masked, one another word, one as it was."""

    share: float
    mask: int
    special: tuple[int, ...]
    words: int

    def __call__(self, ids: torch.Tensor, real: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """int64 ids and bool `real`, both [rows, L] on the CPU, to what is read, and which tokens are to be said.

        The draw is torch's.
        """
        free = real & ~torch.isin(ids, torch.tensor(self.special))
        chosen = free & (torch.rand(ids.shape) < self.share)
        how = torch.rand(ids.shape)
        drawn = torch.randint(self.words, ids.shape)
        read = torch.where(chosen & (how < ASIDE), torch.full_like(ids, self.mask), ids)
        return torch.where(chosen & (how >= ASIDE) & (how < ANOTHER), drawn, read), chosen


def hiding(backbone: Backbone, share: float) -> Hiding:
    """For a model's own tokens; BadInput for a tokenizer without a mask token."""
    token, known = mask_token(backbone), backbone.tokenizer.get_vocab()
    if token not in known:
        raise BadInput(f"The tokenizer of {backbone.folder} has no mask token, so no word can be hidden. Take another.")
    special = {number for number, one in backbone.tokenizer.get_added_tokens_decoder().items() if one.special}
    special |= set(backbone.tokenizer.encode("").ids)
    return Hiding(share, known[token], tuple(sorted(special)), len(words_of(backbone)))


def mask_token(backbone: Backbone) -> str:
    """As the folder says, or as it is usually called; RoBERTa's is not BERT's."""
    told = read_json(backbone.folder / "tokenizer_config.json", missing={}).get("mask_token")
    if isinstance(told, dict):
        told = told.get("content")
    known = backbone.tokenizer.get_vocab()
    return told if isinstance(told, str) else next((name for name in MASKS if name in known), MASKS[0])


def words_of(backbone: Backbone) -> torch.Tensor:
    """The vectors of all words that the encoder begins with, [words, width]."""
    found: torch.Tensor = backbone.model.get_input_embeddings().weight
    return found


def open_head(backbone: Backbone, seed: int) -> WordsHead:
    """The head that the folder holds beside its encoder, or one that begins at random from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = WordsHead(backbone.dim, words_of(backbone))
    if found := _stored(backbone.folder, head):
        head.load_state_dict(found)
    return head.to(backbone.device)


def _stored(folder: Path, head: WordsHead) -> dict[str, torch.Tensor]:
    """The head's tensors out of the folder's weights; none where they are not there, or of another shape."""
    tensors: dict[str, Any] = read_safetensors(weight_files(folder))
    wanted = {name: value.shape for name, value in head.state_dict().items()}
    for dense, norm, bias in HEADS:
        names = {f"{part}.{kind}": f"{place}.{kind}" for part, place in (("dense", dense), ("norm", norm))
                 for kind in ("weight", "bias")} | {"bias": bias}  # fmt: skip
        if all(name in tensors and tensors[name].shape == wanted[part] for part, name in names.items()):
            return {part: torch.from_numpy(floats(tensors[name]).copy()) for part, name in names.items()}
    return {}
