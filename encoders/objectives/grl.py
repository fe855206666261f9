"""GRL: one decoder learns to embed and to generate, and its vectors are brought in line with what it would write."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from retr.encoders.objectives.checks import negatives_of, positive
from retr.encoders.objectives.generating import generating, project
from retr.encoders.objectives.preference import Likely, PreferenceSettings, first_places, likely, likely_before
from retr.encoders.objectives.similarity import row_by_row
from retr.encoders.objectives.ullme import NTXent
from retr.encoders.trainable.student import Student
from retr.encoders.training.batches import Batch
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True)
class GRL:
    """contrastive * L_CL + generation * L_gen + alignment * L_KL (Man et al. 2024, arXiv 2408.03402, section 3).

    L_CL is NT-Xent; L_gen a preference, or `sft` of the positive. L_KL is between two distributions over a row's
    texts: by the vectors, softmax(cos(q, p) / temperature), and by generation, softmax(log P(p | q) / tokens of p).
    Its `direction` "teacher" is KL(generation || vectors) with generation fixed, as the published code has it;
    "paper" is KL(vectors || generation), through which both learn.
    """

    contrastive: float = 1.0
    generation: float = 1.0
    alignment: float = 1.0
    temperature: float = 0.05
    writing: Literal["preference", "sft"] = "preference"
    direction: Literal["teacher", "paper"] = "teacher"
    preference: PreferenceSettings = field(default_factory=PreferenceSettings)
    vectors: NTXent = field(default_factory=NTXent)

    def __post_init__(self) -> None:
        """Refuse settings out of their range, and an objective without any part."""
        positive(temperature=self.temperature)
        weights = {"contrastive": self.contrastive, "generation": self.generation, "alignment": self.alignment}
        for name, value in weights.items():
            if value < 0:
                raise BadInput(f"{name} is {value}; give a weight of at least 0.")
        if not any(weights.values()):
            raise BadInput("contrastive, generation and alignment are all 0. Give one of them a weight.")
        if self.direction not in ("teacher", "paper") or self.writing not in ("preference", "sft"):
            raise BadInput("direction is teacher or paper, and writing preference or sft. Correct these.")

    def __call__(self, student: Student, batch: Batch) -> Tensor:
        """The weighted sum; a part of weight 0 is not computed."""
        negatives = negatives_of(batch, "grl")
        parts: list[Tensor] = []
        embeds, writes = self.contrastive or self.alignment, self.generation or self.alignment
        found = self._likely(student, batch) if writes else None
        if embeds:
            others = [text for row in negatives for text in row]
            documents = student.encode_documents([*batch.positives, *others])
            queries = student.encode_queries(batch.queries)
            if self.contrastive:
                loss = self.vectors.of_vectors(project(student, queries), project(student, documents), batch)
                parts.append(self.contrastive * loss)
            if self.alignment:
                assert found is not None
                parts.append(self.alignment * self._aligned(queries, _by_row(documents, batch), found, batch))
        if self.generation:
            assert found is not None
            parts.append(self.generation * self._generated(student, found, batch))
        return torch.stack(parts).sum()

    def _likely(self, student: Student, batch: Batch) -> Likely:
        """With gradients only where some part learns by them."""
        learns = self.generation > 0 or self.direction == "paper"
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            return likely(generating(student, "grl"), batch)

    def _generated(self, student: Student, found: Likely, batch: Batch) -> Tensor:
        if self.writing == "sft":
            first = torch.tensor(first_places(batch), device=found[0].device)
            return -found[0][first].sum() / found[1][first].sum()
        asks = not self.preference.reference_free
        reference = likely_before(generating(student, "grl"), batch) if asks else None
        return self.preference.of(found, reference, batch)

    def _aligned(self, queries: Tensor, documents: Tensor, found: Likely, batch: Batch) -> Tensor:
        """The mean over rows of the divergence; `documents` [candidates of all rows, dim]."""
        widths = [len(texts) for texts in batch.candidates]
        rows = [row for row, width in enumerate(widths) for _ in range(width)]
        near = row_by_row(queries[rows], documents, "cosine") / self.temperature
        written = found[0] / found[1]
        losses = []
        for vectors, texts in zip(torch.split(near, widths), torch.split(written, widths), strict=True):
            by_vectors, by_text = log_softmax(vectors, dim=0), log_softmax(texts, dim=0)
            if self.direction == "teacher":
                by_text = by_text.detach()
                losses.append((by_text.exp() * (by_text - by_vectors)).sum())
            else:
                losses.append((by_vectors.exp() * (by_vectors - by_text)).sum())
        return torch.stack(losses).mean()


def _by_row(documents: Tensor, batch: Batch) -> Tensor:
    """Positives first and then negatives, to each row's positive followed by its negatives."""
    order, after = [], len(batch)
    for row, texts in enumerate(batch.candidates):
        order += [row, *range(after, after + len(texts) - 1)]
        after += len(texts) - 1
    return documents[order]
