"""A Uni-Encoder that learns: a context and all its candidates in one pass (Song et al. 2023, arXiv 2106.01263)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from retr.encoders.rankers.cutting import Cutting
from retr.encoders.rankers.settings import UniSettings as UniSettings
from retr.encoders.rankers.settings import told_settings
from retr.encoders.reading.folder import read_json
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.cached import Context, read_context
from retr.encoders.trainable.canary import prove_masks
from retr.encoders.trainable.masks import PADDING, lay_out, lay_out_after
from retr.encoders.trainable.parts import read_parts, write_parts
from retr.encoders.trainable.rows import in_passes, padded
from retr.encoders.trainable.student import ScoresOnly, check_groups
from retr.retrieval.errors import BadInput

PARTS = "uni.safetensors"


class UniModule(torch.nn.Module):
    """States of rows to scores: a linear layer on each candidate's mean, its special tokens included."""

    def __init__(self, encoder: torch.nn.Module, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.Linear(dim, 1)
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

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.backbone.device

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query [its candidates], in one row a query, whatever the mask.

        With unique positions candidates are shuffled while training: data that has the positive first would teach the
        place in place of the text.
        """
        check_groups(queries, candidates)
        if self.module.training and self.settings.positions == "unique":
            orders = [torch.randperm(len(texts)) for texts in candidates]
            mixed = [[texts[at] for at in order] for texts, order in zip(candidates, orders, strict=True)]
            found = self._rows(queries, mixed)
            return [scores[order.argsort().to(scores.device)] for scores, order in zip(found, orders, strict=True)]
        return self._rows(queries, candidates)

    def _rows(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        rows = [
            [self.cutting.context(query), *self.cutting.candidates(texts)]
            for query, texts in zip(queries, candidates, strict=True)
        ]
        self._check_positions(rows)
        most = max((len(texts) for texts in candidates), default=0)

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, most, device=self.device)
            return self._scores([rows[row] for row in group], most)

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

    def _scores(self, rows: Sequence[Sequence[Sequence[int]]], most: int) -> torch.Tensor:
        layout = lay_out(
            [[len(block) for block in row] for row in rows], self.settings.mask, positions=self.settings.positions
        ).to(self.device)
        ids = padded([[token for block in row for token in block] for row in rows], self.backbone.fill)
        states = self.backbone.masked_states(ids.to(self.device), layout)
        scores: torch.Tensor = self.module(states, layout.blocks, most)
        return scores

    def _check_positions(self, rows: Sequence[Sequence[Sequence[int]]]) -> None:
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
    return UniStudent(module.to(backbone.device), backbone, settings, cutting)


def _fitting(longest: int) -> UniSettings:
    context = min(256, longest * 2 // 3)
    return UniSettings(context_tokens=context, candidate_tokens=min(128, longest - context))
