"""A Uni-Encoder that learns: a context and all its candidates in one pass (Song et al. 2023, arXiv 2106.01263)."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from retr.encoders.rankers.cutting import Cutting
from retr.encoders.rankers.settings import UniSettings as UniSettings
from retr.encoders.rankers.settings import told_settings
from retr.encoders.reading.folder import read_json
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.cached import Context, read_context
from retr.encoders.trainable.canary import prove_masks
from retr.encoders.trainable.masks import PADDING, Layout, lay_out, lay_out_after
from retr.encoders.trainable.parts import read_parts, write_parts
from retr.encoders.trainable.rows import in_passes, padded
from retr.encoders.trainable.student import ScoresOnly, check_groups
from retr.encoders.trainable.words import WordsHead, hiding, open_head, words_of
from retr.retrieval.errors import BadInput

PARTS = "uni.safetensors"
Rows = Sequence[Sequence[Sequence[int]]]
"""Of each row the tokens of its blocks, the context's first."""
Read = Callable[[Rows, int], torch.Tensor]
"""Rows, and the most candidates of one, to scores [rows, candidates]."""


class UniModule(torch.nn.Module):
    """States of rows to scores: a linear layer on each candidate's mean, its special tokens included."""

    def __init__(self, encoder: torch.nn.Module, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.Linear(dim, 1)
        self.words: WordsHead | None = None
        torch.nn.init.normal_(self.head.weight, std=0.02)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, states: torch.Tensor, blocks: torch.Tensor, candidates: int) -> torch.Tensor:
        """States [rows, L, dim] and blocks [rows, L] to [rows, candidates]; a missing candidate has the bias."""
        numbers = torch.arange(1, candidates + 1, device=blocks.device)
        member = (blocks[:, None, :] == numbers[None, :, None]).to(states.dtype)
        means = member @ states / member.sum(2, keepdim=True).clamp(min=1)
        scores: torch.Tensor = self.head(means)[:, :, 0]
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class UniStudent(ScoresOnly):
    """A `Student` that reads each query with all of its candidates."""

    module: UniModule
    backbone: Backbone
    settings: UniSettings
    cutting: Cutting
    seed: int = 0

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.backbone.device

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query [its candidates], in one row a query, whatever the mask.

        With unique positions candidates are shuffled while training: data that has the positive first would teach the
        place in place of the text.
        """
        return self._mixed(queries, candidates, self._scores)

    def learn_words(self) -> None:
        """Give the module a head that says hidden words, which is trained and not saved; done twice it is as once."""
        if self.module.words is None:
            self.module.words = open_head(self.backbone, self.seed)

    def score_hiding(
        self, queries: Sequence[str], candidates: Sequence[Sequence[str]], share: float
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """As `score`, of texts of which `share` of the tokens are hidden, and the loss of saying what they were.

        The loss is the mean cross-entropy over the hidden tokens of contexts and candidates. Needs `learn_words`.
        """
        hide, losses = hiding(self.backbone, share), list[torch.Tensor]()

        def read(rows: Rows, most: int) -> torch.Tensor:
            ids, layout = self._laid_out(rows)
            hidden, chosen = hide(ids, layout.blocks != PADDING)
            layout = layout.to(self.device)
            states = self.backbone.masked_states(hidden.to(self.device), layout)
            assert self.module.words is not None, "learn_words comes first"
            logits = self.module.words(states[chosen.to(self.device)], words_of(self.backbone))
            losses.append(cross_entropy(logits, ids[chosen].to(self.device), reduction="none"))
            scores: torch.Tensor = self.module(states, layout.blocks, most)
            return scores

        scores = self._mixed(queries, candidates, read)
        said = torch.cat(losses)
        return scores, said.sum() / max(len(said), 1)

    def _mixed(self, queries: Sequence[str], candidates: Sequence[Sequence[str]], read: Read) -> list[torch.Tensor]:
        check_groups(queries, candidates)
        if self.module.training and self.settings.positions == "unique":
            orders = [torch.randperm(len(texts)) for texts in candidates]
            mixed = [[texts[at] for at in order] for texts, order in zip(candidates, orders, strict=True)]
            found = self._rows(queries, mixed, read)
            return [scores[order.argsort().to(scores.device)] for scores, order in zip(found, orders, strict=True)]
        return self._rows(queries, candidates, read)

    def _rows(self, queries: Sequence[str], candidates: Sequence[Sequence[str]], read: Read) -> list[torch.Tensor]:
        rows = [
            [self.cutting.context(query), *self.cutting.candidates(texts)]
            for query, texts in zip(queries, candidates, strict=True)
        ]
        self._check_positions(rows)
        most = max((len(texts) for texts in candidates), default=0)

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, most, device=self.device)
            return read([rows[row] for row in group], most)

        found = in_passes([sum(map(len, row)) for row in rows], self.device, work)
        return [found[row, : len(texts)] for row, texts in enumerate(candidates)]

    def read(self, query: str) -> Context:
        """The context of one query, for `score_after`; one_way with shared positions alone can be read so."""
        if not self.settings.comparable:
            raise BadInput(
                f"With mask {self.settings.mask} and {self.settings.positions} positions a context depends on its "
                "candidates and cannot be read before them. Use one_way with shared positions."
            )
        ids = self.cutting.context(query)
        return read_context(self.backbone, ids, lay_out([[len(ids)]], "one_way").to(self.device))

    def score_after(self, context: Context, texts: Sequence[str]) -> torch.Tensor:
        """[texts], equal to `score`, each text in a row of its own that looks back at the context."""
        rows = self.cutting.candidates(texts)

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, device=self.device)
            batch = [rows[row] for row in group]
            layout = lay_out_after(context.tokens, [len(row) for row in batch]).to(self.device)
            ids = padded(batch, self.backbone.fill).to(self.device)
            states = self.backbone.masked_states(ids, layout, retr_context=context)
            scores: torch.Tensor = self.module(states, (layout.blocks != PADDING).long(), 1)
            return scores[:, 0]

        return in_passes([len(row) for row in rows], self.device, work)

    def save(self, folder: Path) -> None:
        """Write a transformers folder, the head in uni.safetensors, and retr.json, which makes it a scorer's."""
        self.backbone.save(folder)
        table = {"kind": "uni", **asdict(self.settings)}
        write_parts(folder / PARTS, self.module.head.state_dict(), {"uni": table})

    def _scores(self, rows: Rows, most: int) -> torch.Tensor:
        ids, layout = self._laid_out(rows)
        layout = layout.to(self.device)
        states = self.backbone.masked_states(ids.to(self.device), layout)
        scores: torch.Tensor = self.module(states, layout.blocks, most)
        return scores

    def _laid_out(self, rows: Rows) -> tuple[torch.Tensor, Layout]:
        """int64 tokens [rows, longest] and their layout, on the CPU."""
        layout = lay_out(
            [[len(block) for block in row] for row in rows], self.settings.mask, positions=self.settings.positions
        )
        return padded([[token for block in row for token in block] for row in rows], self.backbone.fill), layout

    def _check_positions(self, rows: Rows) -> None:
        longest = max((sum(map(len, row)) for row in rows), default=0)
        self.settings.check_row(longest, self.backbone.longest, self.backbone.name)


def open_uni(folder: Path, settings: UniSettings | None = None, running: BackboneSettings | None = None) -> UniStudent:
    """The student of a folder that one was saved to, or of an encoder's, whose head then begins at random.

    Without settings: as saved, else one_way with the lengths that fit the model.
    """
    running = running or BackboneSettings()
    backbone = prove_masks(open_backbone(folder, running))
    told = read_json(folder / "retr.json", missing={}).get("uni")
    settings = settings or (told_settings(UniSettings, told, folder, "uni") if told else _fitting(backbone.longest))
    settings.check_fits(backbone.longest, backbone.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(running.seed)
        module = UniModule(backbone.model, backbone.dim)
    if told:
        read_parts(folder / PARTS, module.head)
    cutting = Cutting.of(backbone.tokenizer, settings.context_tokens, settings.candidate_tokens)
    return UniStudent(module.to(backbone.device), backbone, settings, cutting, running.seed)


def _fitting(longest: int) -> UniSettings:
    context = min(256, longest * 2 // 3)
    return UniSettings(context_tokens=context, candidate_tokens=min(128, longest - context))
