"""The teacher as it learns: a transformers classifier of pairs with one logit for each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from retr.distill.dse.tasks import Task
from retr.encoders.reading.tokenizing import tokenize
from retr.encoders.reading.triples import PairwiseSettings
from retr.encoders.trainable.backbone import Backbone, BackboneSettings, open_backbone
from retr.encoders.trainable.canary import prove_padding
from retr.encoders.trainable.cross import save_classifier
from retr.encoders.trainable.rows import in_passes
from retr.encoders.trainable.sentence_folder import write_lengths
from retr.encoders.trainable.student import ScoresOnly, check_groups
from retr.retrieval.errors import BadInput

TOKENS_A_PASS = 1024
"""On a CPU, where short passes of like lengths cost less than long ones with much padding."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassifierStudent(ScoresOnly):
    """A `Student` of pairs read together, `[CLS] a [SEP] b [SEP]`; with one logit it is an ordinary cross-encoder."""

    backbone: Backbone
    outputs: int

    @property
    def module(self) -> torch.nn.Module:
        """The transformers classifier."""
        module: torch.nn.Module = self.backbone.model
        return module

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.backbone.device

    def logits(self, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        """Float [pairs, outputs]."""
        read: list[Any] = list(tokenize(self.backbone.tokenizer, list(pairs)))

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, self.outputs, device=self.device)
            found: torch.Tensor = self.backbone.run(
                [read[row].ids for row in group], [read[row].type_ids for row in group]
            ).logits
            return found

        budget = TOKENS_A_PASS if self.device.type == "cpu" else 0
        return in_passes([len(encoding.ids) for encoding in read], self.device, work, budget)

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """For each query [its candidates]; BadInput where there are several logits a pair."""
        check_groups(queries, candidates)
        if self.outputs != 1:
            raise BadInput(f"This classifier gives {self.outputs} logits a pair, one for each class, and no score.")
        pairs = [(query, text) for query, texts in zip(queries, candidates, strict=True) for text in texts]
        return list(torch.split(self.logits(pairs)[:, 0], [len(texts) for texts in candidates]))

    def save(self, folder: Path) -> None:
        """Write a transformers folder; with one logit, one that `load_scorer` opens as a cross-encoder."""
        if self.outputs == 1:
            save_classifier(self.backbone, folder, PairwiseSettings("pointwise"))
            return
        self.backbone.save(folder)
        write_lengths(folder, self.backbone.max_tokens, lowercase=self.backbone.lowercase)


def open_classifier(folder: Path, task: Task, running: BackboneSettings | None = None) -> ClassifierStudent:
    """The student of a classifier of the task's outputs, or of an encoder's folder, whose head begins at random."""
    running = running or BackboneSettings()
    backbone = open_backbone(folder, running, classifier=True)
    labels, outputs = int(backbone.model.config.num_labels), task.outputs
    if labels not in (1, outputs):
        raise BadInput(f"{folder} is a classifier of {labels} labels, and the task {task.name} has {outputs}.")
    if labels != outputs:
        _widen(backbone.model, outputs, running.seed)
    prove_padding(backbone)
    return ClassifierStudent(backbone, outputs)


def _widen(model: Any, outputs: int, seed: int) -> None:
    """Give the head's last layer another number of outputs; its weights begin as transformers' own would."""
    layers = [name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear)]
    name = layers[-1]
    last = model.get_submodule(name)
    if last.out_features != 1:
        raise BadInput(
            f"{type(model).__name__} ends in no layer of one logit. Take BERT, RoBERTa, MPNet or DistilBERT."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wider = torch.nn.Linear(last.in_features, outputs)
        torch.nn.init.normal_(wider.weight, std=float(getattr(model.config, "initializer_range", 0.02)))
        torch.nn.init.zeros_(wider.bias)
    model.set_submodule(name, wider)
    model.num_labels = model.config.num_labels = outputs
