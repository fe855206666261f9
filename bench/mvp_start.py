"""A T5 to begin with, all-MiniLM-L6-v2's words under layers at random, and the pointwise twin of an MVP reranker.

The twin reads as MVP does; in place of the anchors that the decoder makes of a list it has learned ones, the same for
every list. So a pair's score depends on the pair alone, and the two differ in nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from retr.encoders.mvp.scorer import load
from retr.encoders.mvp.settings import MVPSettings
from retr.encoders.reading.safetensors_file import read_safetensors
from retr.encoders.trainable.backbone import BackboneSettings
from retr.encoders.trainable.mvp import MVPStudent, mean_products, open_mvp
from retr.encoders.trainable.student import ScoresOnly, check_groups
from retr.retrieval.embeddings import Floats

SHAPE = {"d_model": 128, "d_ff": 256, "d_kv": 32, "num_heads": 4, "num_layers": 2, "num_decoder_layers": 1}
FINAL_NORM = 0.3
"""With ones, products of 128 numbers would begin too far apart for a softmax to learn from."""
ANCHORS = "pointwise.safetensors"


def write_start(minilm: Path, folder: Path, seed: int) -> Path:
    """The T5's folder for a seed, made once."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast, T5Config, T5Model

    if (folder / "tokenizer.json").exists():
        return folder
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.add_special_tokens([f"<extra_id_{view}>" for view in range(4)])
    words = torch.from_numpy(_words(minilm))
    ids = {"pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": tokenizer.token_to_id("[SEP]")}
    torch.manual_seed(seed)
    model = T5Model(T5Config(vocab_size=tokenizer.get_vocab_size(), **ids, **SHAPE))
    with torch.no_grad():
        model.shared.weight[: len(words)] = words / words.std()
        for side in (model.encoder, model.decoder):
            side.final_layer_norm.weight.fill_(FINAL_NORM)
    model.save_pretrained(str(folder))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(str(folder))
    return folder


def _words(minilm: Path) -> Floats:
    """The vectors of words along their principal axes, float32 [words, d_model]."""
    tensors = read_safetensors([minilm / "model.safetensors"])
    words = np.array(next(values for name, values in tensors.items() if name.endswith("word_embeddings.weight")))
    words = words - words.mean(axis=0)
    axes = np.linalg.eigh(words.T @ words)[1][:, ::-1][:, : SHAPE["d_model"]]
    return np.asarray(words @ axes, np.float32)


class PointwiseModule(torch.nn.Module):
    """The encoder and its anchors [views, dim]."""

    def __init__(self, encoder: torch.nn.Module, views: int, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.anchors = torch.nn.Parameter(torch.randn(views, dim) * FINAL_NORM)


@dataclass(frozen=True, slots=True, eq=False)
class PointwiseStudent(ScoresOnly):
    """A `Student` that gives each pair a score of its own."""

    reader: MVPStudent
    module: PointwiseModule

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.reader.device

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query float32 [its candidates]."""
        check_groups(queries, candidates)
        read = [self.reader.prompt.read(query, texts) for query, texts in zip(queries, candidates, strict=True)]
        views = self.reader.read_views([row for rows in read for row in rows])
        return list(torch.split(mean_products(views, self.module.anchors), [len(rows) for rows in read]))

    def save(self, folder: Path) -> None:
        """The reader's folder, and the anchors beside it."""
        from safetensors.torch import save_file

        self.reader.save(folder)
        save_file({"anchors": self.module.anchors.detach()}, str(folder / ANCHORS))


def open_student(kind: str, folder: Path, max_tokens: int, seed: int) -> MVPStudent | PointwiseStudent:
    """The student of a start's folder: `pointwise`, or MVP."""
    running = BackboneSettings(seed=seed, dropout=0.0)
    student = open_mvp(folder, MVPSettings(max_tokens=max_tokens), running)
    if kind != "pointwise":
        return student
    torch.manual_seed(seed)
    module = PointwiseModule(student.backbone.model.encoder, student.settings.views, student.backbone.dim)
    return PointwiseStudent(student, module)


class Served:
    """A trained folder as retr serves it; of a pointwise one the anchors stand in for the decoder."""

    def __init__(self, folder: Path) -> None:
        self.scorer = load(str(folder), device="cpu")
        self.ranker: Any = self.scorer.answer
        file = folder / ANCHORS
        self.anchors = np.array(read_safetensors([file])["anchors"]) if file.exists() else None

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """float32 [texts]."""
        if self.anchors is None:
            return self.scorer.score(query, texts)
        views = self.ranker.read_views(self.ranker.prompt.read(query, texts))
        return np.asarray((views * self.anchors).sum(axis=-1).mean(axis=-1), np.float32)
