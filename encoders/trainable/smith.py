"""SMITH that learns: a sentence encoder below, a document encoder above (Yang et al. 2020, arXiv 2004.12297)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path

import torch
from torch.nn.functional import gelu, normalize
from torch.nn.utils.rnn import pad_sequence

from retr.encoders.smith.blocks import Filling
from retr.encoders.smith.settings import PARTS, SmithSettings, told
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.canary import prove_padding
from retr.encoders.trainable.parts import read_parts, write_parts
from retr.encoders.trainable.rows import in_passes
from retr.encoders.trainable.sentence_folder import write_lengths
from retr.retrieval.errors import BadInput


class HiddenBlocks(torch.nn.Module):
    """What stands in a hidden block's place, and the head that says which block it was."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.vector = torch.nn.Parameter(torch.randn(dim) * 0.02)
        self.dense = torch.nn.Linear(dim, dim)
        self.norm = torch.nn.LayerNorm(dim)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Float [hidden, dim] twice."""
        found: torch.Tensor = self.norm(gelu(self.dense(states)))
        return found


class DocumentModule(torch.nn.Module):
    """Blocks' first states to a document's vector: a tanh layer, positions, layers as of BERT, a linear layer."""

    def __init__(self, settings: SmithSettings, dim: int) -> None:
        super().__init__()
        self.combine = settings.combine
        self.block = torch.nn.Linear(dim, dim)
        self.positions = torch.nn.Parameter(torch.randn(settings.blocks, dim) * 0.02)
        self.norm = torch.nn.LayerNorm(dim)
        layer = torch.nn.TransformerEncoderLayer(
            dim, settings.heads_of(dim), 4 * dim, dropout=0.1, activation="gelu", batch_first=True
        )
        self.layers = torch.nn.TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)
        for weights in self.layers.parameters():  # or all layers would begin as one
            if weights.dim() > 1:
                torch.nn.init.xavier_uniform_(weights)
        self.out = torch.nn.Linear(dim * settings.combined, dim)
        self.hidden = HiddenBlocks(dim) if settings.hidden_blocks else None

    def of_blocks(self, first: torch.Tensor) -> torch.Tensor:
        """Blocks' vectors [blocks, dim] of their first states."""
        found: torch.Tensor = torch.tanh(self.block(first))
        return found

    def together(self, blocks: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """States [documents, longest, dim] of blocks' vectors; `real` bool [documents, longest] are there."""
        placed = self.norm(blocks + self.positions[: blocks.shape[1]])
        found: torch.Tensor = self.layers(placed, src_key_padding_mask=~real)
        return found

    def forward(self, blocks: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """[documents, dim] of unit length."""
        found = self.together(blocks, real)[:, 0]
        if self.combine != "normal":
            rest = (blocks * real[:, :, None]).sum(1)
            found = torch.cat([found, rest if self.combine == "sum_concat" else rest / real.sum(1, keepdim=True)], 1)
        return normalize(self.out(found), dim=1)


class SmithModule(torch.nn.Module):
    """All that is trained."""

    def __init__(self, encoder: torch.nn.Module, document: DocumentModule) -> None:
        super().__init__()
        self.encoder = encoder
        self.document = document


@dataclass(frozen=True, slots=True, eq=False)
class SmithStudent:
    """A `Student` with one vector a text, however long; queries and documents are read alike."""

    module: SmithModule
    backbone: Backbone
    settings: SmithSettings
    filling: Filling

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.backbone.device

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.backbone.dim

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim] of unit length."""
        return self.encode_documents(texts)

    def encode_documents(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim] of unit length."""
        if not texts:
            return torch.zeros(0, self.dim, device=self.device)
        found: torch.Tensor = self.module.document(*self.read_blocks(texts))
        return found

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """Cosines."""
        found = self.encode_documents(list(chain.from_iterable(candidates)))
        parts = torch.split(found, [len(texts) for texts in candidates])
        return [part @ query for part, query in zip(parts, self.encode_queries(queries), strict=True)]

    def read_blocks(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Blocks' vectors [texts, longest, dim], each block read alone, and which are there, bool [texts, longest]."""
        documents = self.filling(texts)
        rows = list(chain.from_iterable(documents))

        def work(group: list[int]) -> torch.Tensor:
            return self.module.document.of_blocks(self.backbone.states([rows[row] for row in group])[:, 0])

        blocks = in_passes([len(row) for row in rows], self.device, work)
        parts = list(torch.split(blocks, [len(found) for found in documents]))
        real = pad_sequence([part.new_ones(len(part), dtype=torch.bool) for part in parts], batch_first=True)
        return pad_sequence(parts, batch_first=True), real

    def hide(self, texts: Sequence[str], count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """What is said of hidden blocks, and what they were, both [hidden, dim].

        Of each text `count` blocks are hidden, drawn by torch, and at most all but one of them.
        """
        head = self.module.document.hidden
        if head is None:
            raise BadInput("The model has no head for hidden blocks. Set hidden_blocks = true in [student].")
        blocks, real = self.read_blocks(texts)
        chosen = torch.zeros_like(real)
        for text, size in enumerate(real.sum(1).tolist()):
            chosen[text, torch.randperm(size)[: max(min(count, size - 1), 0)].to(real.device)] = True
        shown = torch.where(chosen[:, :, None], head.vector.to(blocks.dtype), blocks)
        return head(self.module.document.together(shown, real)[chosen]), blocks[chosen]

    def save(self, folder: Path) -> None:
        """A transformers folder of the sentence encoder, what is above it, and retr.json, which tells of both."""
        self.backbone.save(folder)
        write_lengths(folder, self.settings.block_tokens, lowercase=self.backbone.lowercase)
        table = {"kind": "smith", **asdict(self.settings)}
        write_parts(folder / PARTS, self.module.document.state_dict(), {"smith": table})


def open_smith(
    folder: Path, settings: SmithSettings | None = None, running: BackboneSettings | None = None
) -> SmithStudent:
    """The student of a folder that one was saved to, or of an encoder's, above which all then begins at random.

    A saved one may be opened with or without the head for hidden blocks; what else is asked for must be as saved.
    """
    running = running or BackboneSettings()
    known = told(folder)
    settings = settings or known or SmithSettings()
    backbone = open_backbone(folder, replace(running, max_tokens=0))
    prove_padding(backbone)
    if settings.block_tokens > backbone.max_tokens and known is None:
        raise BadInput(
            f"block_tokens is {settings.block_tokens}; {folder} reads {backbone.max_tokens} tokens. Give at most that."
        )
    backbone = backbone.packing() if running.attention == "auto" else backbone
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(running.seed)
        document = DocumentModule(settings, backbone.dim)
    if known is not None:
        _fill(document, folder, settings, known)
    filling = Filling.of(backbone.tokenizer, settings)
    return SmithStudent(SmithModule(backbone.model, document).to(backbone.device), backbone, settings, filling)


def _fill(document: DocumentModule, folder: Path, settings: SmithSettings, known: SmithSettings) -> None:
    """The weights of a saved one; the head for hidden blocks is left out, or stays at random, as is asked for."""
    if replace(settings, hidden_blocks=known.hidden_blocks) != known:
        raise BadInput(f"{folder} was trained with {known}; only hidden_blocks may differ from that.")
    saved = DocumentModule(known, len(document.out.bias))
    read_parts(folder / PARTS, saved)
    weights = {
        name: value for name, value in saved.state_dict().items() if settings.hidden_blocks or "hidden." not in name
    }
    document.load_state_dict(weights, strict=settings.hidden_blocks == known.hidden_blocks)
