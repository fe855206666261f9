"""A cross-encoder that learns which of two candidates is the better one: query and both read together to one logit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from retr.encoders.reading.triples import PairwiseSettings, Triples, ordered_pairs
from retr.encoders.trainable.backbone import Backbone
from retr.encoders.trainable.cross import save_classifier
from retr.encoders.trainable.rows import in_passes
from retr.encoders.trainable.student import ScoresOnly, check_groups


@dataclass(frozen=True, slots=True, eq=False)
class PairwiseStudent(ScoresOnly):
    """A `Student` of one logit a query and two candidates (duoBERT: Nogueira et al. 2019, arXiv 1910.14424)."""

    backbone: Backbone
    triples: Triples
    settings: PairwiseSettings

    @classmethod
    def of(cls, backbone: Backbone, settings: PairwiseSettings) -> "PairwiseStudent":
        """Over a transformers classifier of one label."""
        return cls(backbone, Triples.of(backbone.tokenizer, backbone.max_tokens), settings)

    @property
    def module(self) -> torch.nn.Module:
        """The transformers classifier."""
        module: torch.nn.Module = self.backbone.model
        return module

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.backbone.device

    def compare(self, queries: Sequence[str], pairs: Sequence[Sequence[tuple[str, str]]]) -> list[torch.Tensor]:
        """For each query [its pairs], the log-odds that the first text of a pair is better than the second."""
        check_groups(queries, [[text for pair in group for text in pair] for group in pairs])
        texts = [text for group in pairs for pair in group for text in pair]
        known = list(dict.fromkeys([*queries, *texts]))
        read = dict(zip(known, self.triples.read(known), strict=True))
        rows = [
            self.triples.make(read[query], read[one], read[other])
            for query, group in zip(queries, pairs, strict=True)
            for one, other in group
        ]

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, device=self.device)
            ids, segments = [rows[row].ids for row in group], [rows[row].segments for row in group]
            found: torch.Tensor = self.backbone.run(ids, segments).logits
            return found[:, 0]

        found = in_passes([len(row.ids) for row in rows], self.device, work)
        return list(torch.split(found, [len(group) for group in pairs]))

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query [its candidates], each compared with every other in both orders."""
        check_groups(queries, candidates)
        orders = [ordered_pairs(len(texts)) for texts in candidates]
        rows = zip(candidates, orders, strict=True)
        pairs = [[(texts[one], texts[other]) for one, other in order] for texts, order in rows]
        found = zip(self.compare(queries, pairs), candidates, strict=True)
        return [self._aggregated(row, len(texts)) for row, texts in found]

    def save(self, folder: Path) -> None:
        """Write a transformers folder that `load_scorer` opens; retr.json says that its head compares."""
        save_classifier(self.backbone, folder, self.settings)

    def _aggregated(self, log_odds: torch.Tensor, count: int) -> torch.Tensor:
        """`reading.triples.aggregated` with gradients, of what `ordered_pairs` lists."""
        if count < 2:
            return log_odds.new_zeros(count)
        places = torch.tensor(ordered_pairs(count), device=log_odds.device)
        found = log_odds.new_zeros(count, count).index_put((places[:, 0], places[:, 1]), log_odds)
        if self.settings.aggregate == "wins":
            found = 0.5 * (found.sigmoid() + 1.0 - found.T.sigmoid())
        else:
            found = 0.5 * (found - found.T)
        others = 1.0 - torch.eye(count, device=found.device, dtype=found.dtype)
        return (found * others).sum(1) / (count - 1)
