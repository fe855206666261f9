"""A Poly-Encoder that learns: a context as a few vectors, a candidate as one (Humeau et al. 2020, arXiv 1905.01969)."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import torch

from retr.encoders.rankers.cutting import Cutting
from retr.encoders.rankers.settings import PolySettings as PolySettings
from retr.encoders.rankers.settings import told_settings
from retr.encoders.reading.folder import read_json
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.canary import prove_padding
from retr.encoders.trainable.parts import read_parts, write_parts
from retr.encoders.trainable.pooling import POOLINGS, kept_tokens
from retr.encoders.trainable.rows import in_passes
from retr.encoders.trainable.student import ScoresOnly, check_groups

PARTS = "poly.safetensors"


class PolyModule(torch.nn.Module):
    """States to a context's vectors, and those with candidates to scores. No projection, no scaling, as published."""

    def __init__(self, contexts: torch.nn.Module, candidates: torch.nn.Module, codes: torch.Tensor | None) -> None:
        super().__init__()
        self.contexts = contexts
        self.candidates = candidates
        self.codes = None if codes is None else torch.nn.Parameter(codes)

    def vectors(self, states: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """The contexts' [texts, codes, dim] of states [texts, longest, dim]; `kept` is false for padding."""
        assert self.codes is not None, "contexts of their first states have no codes"
        logits = self.codes @ states.transpose(1, 2)  # under mixed precision of another type than the states
        weights = logits.masked_fill(~kept[:, None, :], torch.finfo(logits.dtype).min).softmax(2)
        found: torch.Tensor = weights @ states
        return found

    def forward(self, context: torch.Tensor, real: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """A context's [codes, dim], bool [codes] for those that are there, and [texts, dim] to scores [texts]."""
        logits = candidates @ context.T
        weights = logits.masked_fill(~real, torch.finfo(logits.dtype).min).softmax(1)
        scores: torch.Tensor = ((weights @ context) * candidates).sum(1)
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class Contexts:
    """Contexts read: vectors [texts, codes, dim], and bool [texts, codes], which of them are there."""

    vectors: torch.Tensor
    real: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class PolyStudent(ScoresOnly):
    """A `Student` whose candidates are read without the query, and so can be kept."""

    module: PolyModule
    contexts: Backbone
    candidates: Backbone
    settings: PolySettings
    cutting: Cutting

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.contexts.device

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query [its candidates]; a score depends on nothing but its pair. Equal texts are read once."""
        check_groups(queries, candidates)
        known = {text: row for row, text in enumerate(dict.fromkeys(chain.from_iterable(candidates)))}
        found = self.read_candidates(list(known))
        parts = [found[[known[text] for text in texts]] for texts in candidates]
        return self.score_vectors(self.read_contexts(queries), parts)

    def score_vectors(self, contexts: Contexts, candidates: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """For each context the scores of its candidates' vectors [texts, dim], as `read_candidates` gives them."""
        rows = zip(contexts.vectors, contexts.real, candidates, strict=True)
        return [self.module(vectors, real, part) for vectors, real, part in rows]

    def read_contexts(self, queries: Sequence[str]) -> Contexts:
        """The vectors of each query."""
        rows = [self.cutting.context(query) for query in queries]
        codes, first = self.settings.codes, self.settings.context == "first"

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, codes, self.contexts.dim, device=self.device)
            batch = [rows[row] for row in group]
            states = self.contexts.states(batch)
            if first:
                return torch.nn.functional.pad(states[:, :codes], (0, 0, 0, max(0, codes - states.shape[1])))
            return self.module.vectors(states, kept_tokens([len(row) for row in batch], 0, self.device))

        lengths = [len(row) for row in rows]
        real = torch.arange(codes)[None] < torch.tensor(lengths).long()[:, None]
        found = in_passes(lengths, self.device, work)
        return Contexts(found, (real if first else torch.ones_like(real)).to(self.device))

    def read_candidates(self, texts: Sequence[str]) -> torch.Tensor:
        """One vector a text, [texts, dim], the same for every query."""
        rows = self.cutting.candidates(texts)
        pool = POOLINGS[self.settings.candidate]

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, self.candidates.dim, device=self.device)
            batch = [rows[row] for row in group]
            return pool(self.candidates.states(batch), kept_tokens([len(row) for row in batch], 0, self.device))

        return in_passes([len(row) for row in rows], self.device, work)

    def save(self, folder: Path) -> None:
        """Write the encoders as transformers folders, the codes in poly.safetensors, and retr.json."""
        folder.mkdir(parents=True, exist_ok=True)
        self.contexts.save(folder / "context")
        if not self.settings.shared:
            self.candidates.save(folder / "candidate")
        codes = {} if self.module.codes is None else {"codes": self.module.codes}
        write_parts(folder / PARTS, codes, {"poly": {"kind": "poly", **asdict(self.settings)}})


def open_poly(
    folder: Path, settings: PolySettings | None = None, running: BackboneSettings | None = None
) -> PolyStudent:
    """The student of a folder that one was saved to, or of an encoder's, with codes at random (std of dim^-0.5)."""
    running = running or BackboneSettings()
    told = read_json(folder / "retr.json", missing={}).get("poly")
    if told:
        settings = settings or told_settings(PolySettings, told, folder, "poly")
    contexts = open_backbone(folder / "context" if told else folder, running)
    settings = settings or _fitting(contexts.max_tokens)
    candidates = contexts
    if not settings.shared:
        apart = folder / "candidate"
        candidates = open_backbone(apart if told and apart.is_dir() else contexts.folder, running)
    _check(settings, contexts)
    module = PolyModule(contexts.model, candidates.model, _codes(settings, contexts.dim, running.seed))
    if told:
        read_parts(folder / PARTS, Codes(module.codes))
    cutting = Cutting.of(contexts.tokenizer, settings.context_tokens, settings.candidate_tokens)
    return PolyStudent(module.to(contexts.device), contexts, candidates, settings, cutting)


class Codes(torch.nn.Module):
    """What poly.safetensors holds: the codes alone, of the module that they belong to."""

    def __init__(self, codes: torch.nn.Parameter | None) -> None:
        super().__init__()
        self.codes = codes


def _codes(settings: PolySettings, dim: int, seed: int) -> torch.Tensor | None:
    if settings.context == "first":
        return None
    drawn = torch.randn(settings.codes, dim, generator=torch.Generator().manual_seed(seed))
    return drawn / math.sqrt(dim)


def _check(settings: PolySettings, contexts: Backbone) -> None:
    """The model keeps to padding, and has the positions asked for."""
    prove_padding(contexts)
    settings.check_fits(contexts.max_tokens, contexts.name)


def _fitting(longest: int) -> PolySettings:
    return PolySettings(context_tokens=min(256, longest), candidate_tokens=min(128, longest))
