"""MVP that learns: candidates read one by one, and judged together through a few views (arXiv 2509.07485)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from retr.encoders.mvp.folder import RECORD, check_family, is_published, named, read_settings
from retr.encoders.mvp.prompt import Prompt, read_prompt
from retr.encoders.mvp.settings import MVPSettings as MVPSettings
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.rows import in_passes, padded
from retr.encoders.trainable.sentence_folder import write_record
from retr.encoders.trainable.student import ScoresOnly, check_groups


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The lists of a batch: for each query its candidates' scores, float32 [candidates], and anchors [views, dim].

    `anchors` has the queries with candidates alone, float32 [those queries, views, dim].
    """

    scores: list[torch.Tensor]
    anchors: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class MVPStudent(ScoresOnly):
    """A `Student` over a T5. A candidate's score depends on the others of its list, not on their order.

    The encoder reads each candidate with the query, alone; the states at the views' tokens are all that is kept. One
    step of the decoder over view k of all candidates gives the anchor of that view, and a score is the mean over views
    of the dot product of a candidate's view with its anchor.
    """

    backbone: Backbone
    settings: MVPSettings
    prompt: Prompt

    @property
    def module(self) -> torch.nn.Module:
        """The transformers encoder-decoder."""
        module: torch.nn.Module = self.backbone.model
        return module

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.backbone.device

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query float32 [its candidates], comparable within that query's list alone."""
        return self.judge(queries, candidates).scores

    def judge(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> Judged:
        """Scores, and the anchors that gave them; the decoder runs once for all lists."""
        check_groups(queries, candidates)
        read = [self.prompt.read(query, texts) for query, texts in zip(queries, candidates, strict=True)]
        views = self.read_views(list(chain.from_iterable(read)))
        lists = [found for found in torch.split(views, [len(rows) for rows in read]) if len(found)]
        anchors = self.anchors(lists)
        scores = iter([mean_products(found, anchor) for found, anchor in zip(lists, anchors, strict=True)])
        return Judged([next(scores) if rows else views.new_zeros(0) for rows in read], anchors)

    def read_views(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Float [rows, views, dim] of candidates' tokens, each read alone."""

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, self.settings.views, self.backbone.dim, device=self.device)
            some = [rows[row] for row in group]
            ids, mask = padded(some, self.backbone.fill), padded([[1] * len(row) for row in some])
            states: torch.Tensor = self.backbone.model.encoder(
                input_ids=ids.to(self.device), attention_mask=mask.to(self.device)
            ).last_hidden_state
            return states[:, : self.settings.views]

        return in_passes([len(row) for row in rows], self.device, work)

    def anchors(self, lists: Sequence[torch.Tensor]) -> torch.Tensor:
        """Float [lists, views, dim], of lists' views [candidates, views, dim], none of them empty."""
        count, dim = self.settings.views, self.backbone.dim
        if not lists:
            return torch.zeros(0, count, dim, device=self.device)
        config: Any = self.backbone.model.config
        start = config.pad_token_id if config.decoder_start_token_id is None else config.decoder_start_token_id
        mask = padded([[1] * len(found) for found in lists]).to(self.device).repeat_interleave(count, 0)
        # Lists of a view stand side by side: [lists, candidates, views, dim] to [lists * views, candidates, dim].
        states = pad_sequence(list(lists), batch_first=True).transpose(1, 2).flatten(0, 1)
        found: torch.Tensor = self.backbone.model.decoder(
            input_ids=torch.full((len(states), 1), int(start), device=self.device),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        return found[:, 0].reshape(len(lists), count, dim)

    def save(self, folder: Path) -> None:
        """Write a transformers folder and retr.json, which makes it a scorer's."""
        self.backbone.save(folder)
        write_record(folder, {"mvp": {"kind": "mvp", **asdict(self.settings)}})


def mean_products(views: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """float32 [candidates]: the mean over views of the products of [candidates, views, dim] with [views, dim].

    Raw, without a scale; in float32 whatever the states are, since equal scores in bfloat16 would be common.
    """
    return (views.float() * anchors.float()).sum(-1).mean(-1)


def open_mvp(folder: Path, settings: MVPSettings | None = None, running: BackboneSettings | None = None) -> MVPStudent:
    """The student of a folder that one was saved to, of a published checkpoint, or of a plain T5.

    Without settings: as saved, else four views and 256 tokens.
    """
    running = running or BackboneSettings()
    if (folder / "config.json").is_file():
        check_family(folder)
    told = read_json(folder / RECORD, missing={}).get("mvp")
    settings = settings or (read_settings(folder, told) if told else MVPSettings())
    published = is_published(read_safetensors(weight_files(folder)))
    backbone = open_backbone(folder, running, named=named if published else None)
    return MVPStudent(backbone, settings, read_prompt(folder, settings)[0])
