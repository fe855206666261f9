"""What a training step costs: the same towers and data with the global loss, and with tokens in three ways."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_filip_data import read_lines

SIZES = {64: 15, 128: 9, 256: 5}
"""Rows of a batch to rounds measured; of each the median over rounds counts, in which the ways take turns."""
WAYS = ("global", "tokens", "quarter", "plain")
"""`plain` holds all products of the batch, and torch remembers what it wants of them."""


def step_times(start: Path, folder: Path) -> dict[str, Any]:
    """CPU seconds of whole steps, from image files to changed weights, by batch size and way; ratios to `global`."""
    lines = read_lines(folder / "train.jsonl")
    found: dict[str, Any] = {}
    for size, rounds in SIZES.items():
        steps = {way: _Step.of(way, start, folder / "images") for way in WAYS}
        batch = _batch(lines[:size])
        for step in steps.values():
            step(batch)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, step in steps.items():
                began = time.process_time()
                step(batch)
                seconds[way].append(time.process_time() - began)
        ratios = {
            way: statistics.median(one / other for one, other in zip(seconds[way], seconds["global"], strict=True))
            for way in WAYS
        }
        found[str(size)] = {way: {"seconds": statistics.median(seconds[way]), "ratio": ratios[way]} for way in WAYS}
    return found


def _batch(lines: list[dict[str, Any]]) -> Any:
    from retr.encoders.training.batches import Batch

    return Batch(tuple(line["caption"] for line in lines), tuple(line["image"] for line in lines))


@dataclass(frozen=True, slots=True)
class _Step:
    """One way to learn from a batch, on a model of its own."""

    student: Any
    loss: Callable[[Any, Any], Any]
    optimiser: Any

    @classmethod
    def of(cls, way: str, start: Path, images: Path) -> "_Step":
        import torch

        from retr.encoders.objectives.filip import FILIP
        from retr.encoders.trainable.images.opening import FilipSettings, open_filip

        settings = FilipSettings(interaction="global" if way == "global" else "tokens", images=images)
        student = open_filip(start, settings)
        student.module.train()
        losses = {"plain": plain_loss, "quarter": FILIP(token_keep=0.25)}
        optimiser = torch.optim.AdamW(student.module.parameters(), lr=1e-4, fused=True)
        return cls(student, losses.get(way, FILIP()), optimiser)

    def __call__(self, batch: Any) -> None:
        loss = self.loss(self.student, batch)
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()


def plain_loss(student: Any, batch: Any) -> Any:
    """The same number as FILIP's, written as its equations are."""
    import torch
    from torch.nn.functional import cross_entropy

    images, texts = student.read_images(batch.positives), student.read_texts(batch.queries)
    every = torch.einsum("imd,tnd->itmn", images.vectors, texts.vectors)
    to_text = every.masked_fill(~texts.kept[None, :, None], -torch.inf).max(3).values.mean(2)
    best = every.max(2).values.masked_fill(~texts.kept[None], 0.0)
    to_image = best.sum(2) / texts.kept.sum(1)
    scales, target = student.heads.scales(), torch.arange(len(batch))
    return (cross_entropy(to_text * scales[0], target) + cross_entropy(to_image.T * scales[1], target)) / 2
