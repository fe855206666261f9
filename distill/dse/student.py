"""A Distilled Sentence Embedding that learns: one encoder for both sentences, its top layers pooled, and a head."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from math import log
from pathlib import Path

import torch
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from retr.encoders.distilled.shape import HEAD, DseShape, read_shape
from retr.encoders.exporting.texts import built_in
from retr.encoders.on_torch.packing import Packing
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.tokenizing import check_list, token_ids
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.canary import prove_padding
from retr.encoders.trainable.parts import read_parts, write_parts
from retr.encoders.trainable.pooling import POOLINGS, kept_tokens
from retr.encoders.trainable.rows import in_passes, padded
from retr.encoders.trainable.sentence_folder import write_lengths
from retr.encoders.trainable.student import check_groups
from retr.retrieval.errors import BadInput, Damaged

PROBES = 16
"""Texts by which lengths are measured."""


class ConcatHead(torch.nn.Module):
    """[u; v; u * v; |u - v|] through one hidden layer with ReLU."""

    def __init__(self, dim: int, shape: DseShape) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4 * dim, shape.hidden)
        self.last = torch.nn.Linear(shape.hidden, shape.outputs)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Two [pairs, dim] to [pairs, outputs]."""
        both = torch.cat([left, right, left * right, (left - right).abs()], dim=1)
        found: torch.Tensor = self.last(torch.relu(self.first(both)))
        return found


class DotHead(torch.nn.Module):
    """exp(log_scale) * <u, v> + bias; the scale begins at 1 / dim, so that scores begin near 1."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.tensor([-log(dim)]))
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Two [pairs, dim] to [pairs, 1]."""
        return (left * right).sum(1, keepdim=True) * self.log_scale.exp() + self.bias


class Length(torch.nn.Module):
    """The length at which the head reads unit vectors; it is measured before training, and stays."""

    value: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.ones(()))


class DseModule(torch.nn.Module):
    """The encoder, the embedding layer where there is one, the length of unit vectors, the head."""

    def __init__(self, encoder: torch.nn.Module, dim: int, shape: DseShape, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        pooled = shape.pooled(dim)
        self.embedding = torch.nn.Linear(pooled, shape.embedding) if shape.embedding else None
        self.length = Length() if shape.unit else None
        self.dropout = torch.nn.Dropout(dropout)
        width = shape.embedding or pooled
        self.head = DotHead(width) if shape.head == "dot" else ConcatHead(width, shape)

    def parts(self) -> torch.nn.Module:
        """All but the encoder."""
        named: dict[str, torch.nn.Module] = {"head": self.head}
        if self.embedding is not None:
            named["embedding"] = self.embedding
        if self.length is not None:
            named["length"] = self.length
        return torch.nn.ModuleDict(named)


@dataclass(frozen=True, slots=True, eq=False)
class DseStudent:
    """A `Student` whose score of a pair is its head's one number; `logits` gives them all."""

    module: DseModule
    backbone: Backbone
    shape: DseShape

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.backbone.device

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.shape.embedding or self.shape.pooled(self.backbone.dim)

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim], of any length, or with `unit` of length one."""
        return self.encode(texts)

    def encode_documents(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim]: the same as of queries."""
        return self.encode(texts)

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim]: the states of the top layers, pooled; with dropout where the module learns."""
        found = self._pooled(texts)
        return normalize(found, dim=1) if self.shape.unit else found

    def measure_length(self) -> None:
        """Let the head read unit vectors at the mean length that those of some prose have now."""
        if self.module.length is None:
            return
        modes = [(part, part.training) for part in self.module.modules()]
        self.module.eval()
        with torch.no_grad():
            lengths = torch.linalg.norm(self._pooled(built_in().texts[:PROBES]), dim=1)
            self.module.length.value.copy_(lengths.mean())
        for part, training in modes:
            part.training = training

    def _pooled(self, texts: Sequence[str]) -> torch.Tensor:
        check_list(texts)
        rows = [row.tolist() for row in token_ids(self.backbone.tokenizer, texts, "").ids]

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, self.shape.pooled(self.backbone.dim), device=self.device)
            batch = [rows[row] for row in group]
            kept = kept_tokens([len(row) for row in batch], self.shape.skip, self.device)
            return POOLINGS[self.shape.pooling](self._states(batch), kept)

        found: torch.Tensor = self.module.dropout(in_passes([len(row) for row in rows], self.device, work))
        return found if self.module.embedding is None else self.module.embedding(found)

    def logits(self, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        """Float [pairs, outputs]; each different text of the call is encoded once."""
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        places = {text: row for row, text in enumerate(texts)}
        vectors = self.encode(texts)
        left, right = (vectors[[places[pair[side]] for pair in pairs]] for side in (0, 1))
        return self.logits_of(left, right)

    def logits_of(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """The same of two [pairs, dim]."""
        if self.module.length is not None:
            left, right = left * self.module.length.value, right * self.module.length.value
        found: torch.Tensor = self.module.head(left, right)
        return (found + self.module.head(right, left)) / 2 if self.shape.symmetric else found

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query [its candidates]; BadInput where the head gives several numbers."""
        check_groups(queries, candidates)
        if self.shape.outputs != 1:
            raise BadInput(f"This model gives {self.shape.outputs} numbers a pair, one for each class, and no score.")
        pairs = [(query, text) for query, texts in zip(queries, candidates, strict=True) for text in texts]
        return list(torch.split(self.logits(pairs)[:, 0], [len(texts) for texts in candidates]))

    def save(self, folder: Path) -> None:
        """Write a transformers folder, the head in dse.safetensors, and retr.json, which says the kind dse."""
        self.backbone.save(folder)
        write_lengths(folder, self.backbone.max_tokens, lowercase=self.backbone.lowercase)
        write_parts(folder / HEAD, self.module.parts().state_dict(), {"dse": {"kind": "dse", **asdict(self.shape)}})

    def _states(self, batch: Sequence[Sequence[int]]) -> torch.Tensor:
        """[texts, longest, layers x dim], or their mean over layers; what stands in the padding means nothing."""
        together = self.backbone.packed is not None and self.device.type == "cpu" and all(batch)
        top = self._packed(batch) if together else self._padded(batch)
        return torch.cat(top, dim=2) if self.shape.combine == "concat" else torch.stack(top).mean(0)

    def _packed(self, batch: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Each top layer's states [texts, longest, dim] of texts end to end, which computes no padding."""
        order = sorted(range(len(batch)), key=lambda row: -len(batch[row]))
        lengths = [len(batch[row]) for row in order]
        packing = Packing.of(lengths, self.device)
        given = {"input_ids": torch.tensor([list(chain.from_iterable(batch[row] for row in order))])}
        if self.backbone.segments:
            given["token_type_ids"] = torch.zeros_like(given["input_ids"])
        first = self.backbone.packed or 0
        answer = self.backbone.model(
            **given, position_ids=packing.positions + first, retr_packing=packing, output_hidden_states=True
        )
        places = sorted(range(len(order)), key=lambda place: order[place])

        def unpacked(states: torch.Tensor) -> torch.Tensor:
            parts = torch.split(states[0], lengths)
            return pad_sequence([parts[place] for place in places], batch_first=True)

        return [unpacked(states) for states in answer.hidden_states[-self.shape.layers :]]

    def _padded(self, batch: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """The same of texts side by side."""
        ids, mask = padded(batch, self.backbone.fill), padded([[1] * len(row) for row in batch])
        answer = self.backbone.model(
            input_ids=ids.to(self.device), attention_mask=mask.to(self.device), output_hidden_states=True
        )
        return list(answer.hidden_states[-self.shape.layers :])


def open_dse(
    folder: Path, shape: DseShape | None = None, running: BackboneSettings | None = None, *, dropout: float = 0.1
) -> DseStudent:
    """The student of a folder that one was saved to, or of an encoder's, whose head then begins at random."""
    running = running or BackboneSettings()
    backbone = open_backbone(folder, running)
    prove_padding(backbone)
    backbone = backbone.packing() if running.attention == "auto" else backbone
    told = "dse" in read_json(folder / "retr.json", missing={})
    shape = shape or (read_shape(folder) if told else DseShape())
    layers = int(backbone.model.config.num_hidden_layers)
    if shape.layers > layers:
        raise BadInput(f"layers is {shape.layers}, and the encoder has {layers}. Give at most that.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(running.seed)
        module = DseModule(backbone.model, backbone.dim, shape, dropout)
    if told:
        if read_shape(folder) != shape:
            raise Damaged(f"{folder} holds a model of another shape. Open it without one.")
        read_parts(folder / HEAD, module.parts())
    student = DseStudent(module.to(backbone.device), backbone, shape)
    if not told:
        student.measure_length()
    return student
