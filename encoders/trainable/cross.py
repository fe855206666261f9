"""A cross-encoder that learns: query and candidate read together to one logit, as a transformers classifier."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from retr.encoders.reading.tokenizing import tokenize
from retr.encoders.reading.triples import PairwiseSettings, read_head
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.canary import prove_padding
from retr.encoders.trainable.rows import in_passes
from retr.encoders.trainable.sentence_folder import write_lengths, write_record
from retr.encoders.trainable.student import ScoresOnly, check_groups
from retr.retrieval.errors import BadInput

if TYPE_CHECKING:
    from retr.encoders.trainable.pairwise import PairwiseStudent


@dataclass(frozen=True, slots=True)
class CrossSettings:
    """What is to be other than the folder says; an empty text stands for what it says.

    `pointwise` is one logit a pair of query and candidate; `pairwise` one of a query and two candidates, which makes
    scores by `aggregate`, see `Aggregate`.
    """

    head: Literal["", "pointwise", "pairwise"] = ""
    aggregate: Literal["", "wins", "log_odds"] = ""

    def __post_init__(self) -> None:
        for name, known in (("head", ("", "pointwise", "pairwise")), ("aggregate", ("", "wins", "log_odds"))):
            if getattr(self, name) not in known:
                raise BadInput(f"{name} is {' or '.join(known[1:])}; got {getattr(self, name)!r}.")
        if self.aggregate and self.head == "pointwise":
            raise BadInput(f"aggregate is {self.aggregate!r}, which is of a pairwise head; head is pointwise.")

    def over(self, told: PairwiseSettings) -> PairwiseSettings:
        """What a folder says, changed to what is asked for here."""
        return PairwiseSettings(self.head or told.head, self.aggregate or told.aggregate)


@dataclass(frozen=True, slots=True, eq=False)
class CrossStudent(ScoresOnly):
    """A `Student` of one logit a pair. A pair that is too long loses tokens from the end of its longer half."""

    backbone: Backbone

    @property
    def module(self) -> torch.nn.Module:
        """The transformers classifier."""
        module: torch.nn.Module = self.backbone.model
        return module

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.backbone.device

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """Raw logits: higher is better. A pair's logit depends on nothing but the pair."""
        check_groups(queries, candidates)
        pairs = [(query, text) for query, texts in zip(queries, candidates, strict=True) for text in texts]
        return list(torch.split(self.logits(pairs), [len(texts) for texts in candidates]))

    def logits(self, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        """Float [pairs]."""
        read: list[Any] = list(tokenize(self.backbone.tokenizer, pairs))

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, device=self.device)
            found: torch.Tensor = self.backbone.run(
                [read[row].ids for row in group], [read[row].type_ids for row in group]
            ).logits
            return found[:, 0]

        return in_passes([len(encoding.ids) for encoding in read], self.device, work)

    def save(self, folder: Path) -> None:
        """Write a folder that transformers, sentence-transformers' CrossEncoder and `load_scorer` open."""
        save_classifier(self.backbone, folder, PairwiseSettings("pointwise"))


def save_classifier(backbone: Backbone, folder: Path, head: PairwiseSettings) -> None:
    """The transformers folder, its length, and which head it has."""
    backbone.save(folder)
    write_lengths(folder, backbone.max_tokens, lowercase=backbone.lowercase)
    write_record(folder, {"cross": {"kind": "cross", **asdict(head)}})


def open_cross(
    folder: Path, settings: CrossSettings | None = None, running: BackboneSettings | None = None
) -> "CrossStudent | PairwiseStudent":
    """The student of a classifier's folder of one label, or of an encoder's, whose head then begins at random."""
    from retr.encoders.trainable.pairwise import PairwiseStudent

    backbone = open_backbone(folder, running, classifier=True)
    labels = int(backbone.model.config.num_labels)
    if labels != 1:
        raise BadInput(f"{folder} is a classifier of {labels} labels; a scorer has one. Give another folder.")
    prove_padding(backbone)
    wanted = (settings or CrossSettings()).over(read_head(folder))
    return CrossStudent(backbone) if wanted.head == "pointwise" else PairwiseStudent.of(backbone, wanted)
