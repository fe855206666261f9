"""LexSemBridge that learns: on any bi-encoder, a head that weighs a query's vector by its words (arXiv 2508.17858)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import embedding_bag, normalize

from retr.encoders.lexsem.settings import PARTS, LexSemSettings, own_tokens
from retr.encoders.rankers.settings import told_settings
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.tokenizing import check_list, token_ids
from retr.encoders.trainable.backbone import BackboneSettings
from retr.encoders.trainable.bi import BiModule, BiStudent, open_bi
from retr.encoders.trainable.parts import read_parts, write_parts
from retr.encoders.trainable.pooling import kept_tokens
from retr.encoders.trainable.rows import in_passes
from retr.encoders.trainable.words import WordsHead, open_head, words_of


class Gate(torch.nn.Module):
    """Words' weights [texts, words] to shares of the vector's numbers [texts, dim], softmax(v W + b).

    W begins at zero, which gives every number the same share, so that the vectors begin as the bi-encoder's own.
    """

    def __init__(self, words: int, dim: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(words, dim))
        self.bias = torch.nn.Parameter(torch.zeros(dim))

    def forward(self, logits: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """What v W is, and vectors, both [texts, dim], to vectors as long as they were."""
        mixed = torch.softmax((logits + self.bias).float(), dim=-1) * vectors
        found: torch.Tensor = normalize(mixed, dim=-1) * vectors.norm(dim=-1, keepdim=True)
        return found

    def of_words(self, words: Sequence[Sequence[int]], weights: torch.Tensor) -> torch.Tensor:
        """v W [texts, dim] of each text's different words, and their weights end to end [all of them]."""
        device = self.weight.device
        flat = torch.tensor(list(chain.from_iterable(words)), dtype=torch.long, device=device)
        starts = torch.tensor([0, *(len(row) for row in words)][:-1], device=device).cumsum(0)
        return embedding_bag(flat, self.weight, starts, mode="sum", per_sample_weights=weights.to(self.weight.dtype))


class StatisticalGate(Gate):
    """Every word of the query has one learned weight."""

    def __init__(self, words: int, dim: int) -> None:
        super().__init__(words, dim)
        self.alpha = torch.nn.Parameter(torch.ones(1))

    def logits(self, ids: Sequence[Sequence[int]], states: torch.Tensor, left_out: frozenset[int]) -> torch.Tensor:
        """v W [texts, dim] of texts' tokens and states [texts, longest, dim of the states]."""
        words = [sorted(set(row) - left_out) for row in ids]
        return self.of_words(words, self.alpha.expand(sum(map(len, words))))


class LearnedGate(Gate):
    """A word's weight is the greatest of ReLU(direction . state) over its places in the query."""

    def __init__(self, words: int, dim: int, state: int) -> None:
        super().__init__(words, dim)
        self.direction = torch.nn.Parameter(torch.randn(state) * 0.02)

    def logits(self, ids: Sequence[Sequence[int]], states: torch.Tensor, left_out: frozenset[int]) -> torch.Tensor:
        """As of StatisticalGate; no row of all the vocabulary is ever made."""
        words = [sorted(set(row) - left_out) for row in ids]
        slots = {(text, word): at for at, (text, word) in enumerate((t, w) for t, row in enumerate(words) for w in row)}
        places = [
            (text, at, word) for text, row in enumerate(ids) for at, word in enumerate(row) if word not in left_out
        ]
        said = (states @ self.direction.to(states.dtype)).relu().float()
        of_place = said[[text for text, _, _ in places], [at for _, at, _ in places]]
        slot = torch.tensor([slots[text, word] for text, _, word in places], dtype=torch.long, device=said.device)
        return self.of_words(words, said.new_zeros(len(slots)).scatter_reduce(0, slot, of_place, "amax"))


class ContextualGate(Gate):
    """A word's weight is log(1 + ReLU(what the head says of it from the first state))."""

    def __init__(self, words: int, dim: int, head: WordsHead, encoder: Any) -> None:
        super().__init__(words, dim)
        self.head = head
        self._words: Callable[[], torch.Tensor] = lambda: words_of(encoder)

    def logits(self, ids: Sequence[Sequence[int]], states: torch.Tensor, left_out: frozenset[int]) -> torch.Tensor:
        """As of StatisticalGate."""
        said: torch.Tensor = self.head(states[:, 0], self._words())
        kept = torch.ones(said.shape[1], device=said.device)
        kept[sorted(left_out)] = 0
        return (torch.log1p(torch.relu(said)) * kept) @ self.weight


class LexSemModule(torch.nn.Module):
    """All that is trained."""

    def __init__(self, bi: BiModule, gate: StatisticalGate | LearnedGate | ContextualGate) -> None:
        super().__init__()
        self.bi = bi
        self.gate = gate


@dataclass(frozen=True, slots=True, eq=False)
class LexSemStudent:
    """A `Student` whose documents are its bi-encoder's, and whose queries are weighed by their words."""

    module: LexSemModule
    bi: BiStudent
    settings: LexSemSettings
    left_out: frozenset[int]

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.bi.device

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.bi.dim

    def encode_documents(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim], the bi-encoder's."""
        return self.bi.encode_documents(texts)

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim], each as long as the bi-encoder's."""
        check_list(texts)
        about, backbone = self.bi.about, self.bi.backbone
        tokens = token_ids(backbone.tokenizer, texts, about.query_prompt)
        skip = 0 if about.include_prompt else tokens.skip
        rows = [row.tolist() for row in tokens.ids]

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, self.dim, device=self.device)
            batch = [rows[row] for row in group]
            states = backbone.states(batch)
            vectors = self.module.bi(states, kept_tokens([len(row) for row in batch], skip, self.device))
            vectors = normalize(vectors, dim=1) if about.normalised else vectors
            found: torch.Tensor = self.module.gate(self.module.gate.logits(batch, states, self.left_out), vectors)
            return found

        return in_passes([len(row) for row in rows], self.device, work)

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """Inner products, which are cosines where the vectors have unit length."""
        found = self.encode_documents(list(chain.from_iterable(candidates)))
        parts = torch.split(found, [len(texts) for texts in candidates])
        return [part @ query for part, query in zip(parts, self.encode_queries(queries), strict=True)]

    def save(self, folder: Path) -> None:
        """The bi-encoder's folder, the head beside it, and retr.json, which tells of it."""
        self.bi.save(folder)
        table = {"kind": "lexsem", **asdict(self.settings)}
        write_parts(folder / PARTS, self.module.gate.state_dict(), {"lexsem": table})


def open_lexsem(
    folder: Path, settings: LexSemSettings | None = None, running: BackboneSettings | None = None
) -> LexSemStudent:
    """The student of a folder that one was saved to, or of a bi-encoder's, whose head then changes nothing yet."""
    running = running or BackboneSettings()
    bi = open_bi(folder, running=running)
    told = read_json(folder / "retr.json", missing={}).get("lexsem")
    known = told_settings(LexSemSettings, told, folder, "lexsem") if told else None
    settings = settings or known or LexSemSettings()
    gate = _gate(bi, settings, running.seed)
    if settings == known:
        read_parts(folder / PARTS, gate)
    left_out = frozenset(own_tokens(bi.backbone.tokenizer, settings))
    return LexSemStudent(LexSemModule(bi.module, gate).to(bi.device), bi, settings, left_out)


def _gate(bi: BiStudent, settings: LexSemSettings, seed: int) -> StatisticalGate | LearnedGate | ContextualGate:
    words = len(words_of(bi.backbone))
    if settings.words == "statistical":
        return StatisticalGate(words, bi.dim)
    if settings.words == "contextual":
        return ContextualGate(words, bi.dim, open_head(bi.backbone, seed), bi.backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LearnedGate(words, bi.dim, bi.backbone.dim)
