"""A bi-encoder that learns: one vector a text, from and to a sentence-transformers folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from retr.encoders.reading.folder import ModelFolder, read_folder
from retr.encoders.reading.tokenizing import check_list, token_ids
from retr.encoders.running.pooling import ATTENTION
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.canary import prove_padding
from retr.encoders.trainable.pooling import POOLINGS, AttentionPooling, kept_tokens
from retr.encoders.trainable.rows import in_passes
from retr.encoders.trainable.sentence_folder import SentenceSettings, write_sentence_folder
from retr.retrieval.errors import BadInput, unknown
from retr.retrieval.protocols import Similarity

ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "torch.nn.modules.activation.Tanh": torch.nn.Tanh,
    "torch.nn.modules.linear.Identity": torch.nn.Identity,
    "torch.nn.modules.activation.ReLU": torch.nn.ReLU,
}


@dataclass(frozen=True, slots=True)
class BiSettings:
    """What is to be other than the folder says. An empty text, 0 and None stand for what it says.

    `pooling` is some of `POOLINGS` joined by +, or `attention` alone, which learns what to look at.
    `projection` adds a linear layer to that many numbers on top; `matryoshka` are shorter dims that the vectors are
    trained to be cut to, largest first, and are only recorded here.
    """

    pooling: str = ""
    projection: int = 0
    normalise: bool | None = None
    similarity: Similarity | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    include_prompt: bool | None = None
    matryoshka: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for mode in filter(None, self.pooling.split("+")):
            if mode not in POOLINGS and self.pooling != ATTENTION:
                raise unknown("pooling", mode, (*POOLINGS, ATTENTION))
        if self.projection < 0:
            raise BadInput(f"projection is {self.projection}; give the numbers of a vector, or 0 for no projection.")
        if self.similarity not in (None, "cosine", "dot"):
            raise BadInput(f"similarity is cosine or dot; got {self.similarity!r}.")
        if any(dim < 1 for dim in self.matryoshka):
            raise BadInput(f"matryoshka is {self.matryoshka}; each dim is at least 1.")


class Dense(torch.nn.Module):
    """One linear layer with its activation."""

    def __init__(self, linear: torch.nn.Linear, activation: torch.nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.activation = activation

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """[texts, inputs] to [texts, outputs]."""
        found: torch.Tensor = self.activation(self.linear(vectors))
        return found


class BiModule(torch.nn.Module):
    """States to vectors: poolings side by side, dense layers, unit length."""

    def __init__(
        self,
        encoder: torch.nn.Module,
        poolings: Sequence[str],
        dense: Sequence[Dense],
        attention: AttentionPooling | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.poolings = tuple(poolings)
        self.attention = attention
        self.dense = torch.nn.ModuleList(dense)

    def forward(self, states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """[texts, longest, dim] and bool [texts, longest] to [texts, dim of the vectors], of any length."""
        if self.attention is not None:
            vectors: torch.Tensor = self.attention(states, kept)
        else:
            vectors = torch.cat([POOLINGS[mode](states, kept) for mode in self.poolings], dim=1)
        for layer in self.dense:
            vectors = layer(vectors)
        return vectors


@dataclass(frozen=True, slots=True, eq=False)
class BiStudent:
    """A `Student` with one vector a text. `about` is what its folder will say."""

    module: BiModule
    backbone: Backbone
    about: SentenceSettings

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.backbone.device

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.about.dense[-1].outputs if self.about.dense else self.backbone.dim * len(self.about.poolings)

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim], of unit length where the model is so."""
        return self._encode(texts, self.about.query_prompt)

    def encode_documents(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim], of unit length where the model is so."""
        return self._encode(texts, self.about.document_prompt)

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """Inner products, which are cosines where the vectors have unit length."""
        found = self.encode_documents(list(chain.from_iterable(candidates)))
        parts = torch.split(found, [len(texts) for texts in candidates])
        return [part @ query for part, query in zip(parts, self.encode_queries(queries), strict=True)]

    def save(self, folder: Path) -> None:
        """Write a folder that sentence-transformers and `load_encoder` open; with learned pooling the latter alone."""
        self.backbone.save(folder)
        linears = [layer.get_submodule("linear") for layer in self.module.dense]
        write_sentence_folder(folder, self.about, linears, self.module.attention)

    def _encode(self, texts: Sequence[str], prompt: str) -> torch.Tensor:
        check_list(texts)
        tokens = token_ids(self.backbone.tokenizer, texts, prompt)
        skip = 0 if self.about.include_prompt else tokens.skip
        rows = [row.tolist() for row in tokens.ids]

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, self.dim, device=self.device)
            batch = [rows[row] for row in group]
            kept = kept_tokens([len(row) for row in batch], skip, self.device)
            found: torch.Tensor = self.module(self.backbone.states(batch), kept)
            return found

        vectors = in_passes([len(row) for row in rows], self.device, work)
        return normalize(vectors, dim=1) if self.about.normalised else vectors


def shortened(vectors: torch.Tensor, dim: int) -> torch.Tensor:
    """The first `dim` numbers of each vector at unit length (Kusupati et al. 2022, arXiv 2205.13147)."""
    if not 1 <= dim <= vectors.shape[-1]:
        raise BadInput(f"Vectors of {vectors.shape[-1]} numbers cannot be cut to {dim}. Give 1 to {vectors.shape[-1]}.")
    return normalize(vectors[..., :dim], dim=-1)


def open_bi(folder: Path, settings: BiSettings | None = None, running: BackboneSettings | None = None) -> BiStudent:
    """The student of a sentence-transformers folder, or of a plain encoder's, which is then pooled by its mean."""
    settings, running = settings or BiSettings(), running or BackboneSettings()
    told = read_folder(folder)
    backbone = open_backbone(folder, running)
    prove_padding(backbone)
    backbone = backbone.packing() if running.attention == "auto" else backbone
    about = SentenceSettings.of(told, backbone.max_tokens).changed(settings, backbone.dim)
    attention = _attention(told, backbone.dim) if about.poolings == (ATTENTION,) else None
    module = BiModule(backbone.model, about.poolings, _dense(told, about, running.seed), attention)
    student = BiStudent(module.to(backbone.device), backbone, about)
    if max(settings.matryoshka, default=0) > student.dim:
        raise BadInput(f"matryoshka is {settings.matryoshka}; the vectors have {student.dim} numbers. Give fewer.")
    return student


def _attention(told: ModelFolder, dim: int) -> AttentionPooling:
    """With the folder's query, or at the mean."""
    pooling = AttentionPooling(dim)
    if told.attention is not None:
        with torch.no_grad():
            pooling.query.copy_(torch.from_numpy(told.attention.copy()))
    return pooling


def _dense(told: ModelFolder, about: SentenceSettings, seed: int) -> list[Dense]:
    """The folder's layers with its weights; a projection begins at random from the seed."""
    layers: list[Dense] = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for number, size in enumerate(about.dense):
            layer = Dense(torch.nn.Linear(size.inputs, size.outputs), ACTIVATIONS[size.activation]())
            if number < len(told.dense):
                weights: Any = told.dense[number].linear
                layer.linear.weight.copy_(torch.from_numpy(weights.weight.T.copy()))
                layer.linear.bias.copy_(torch.from_numpy(weights.bias.copy()))
            layers.append(layer)
    return layers
