"""A decoder run on padded texts: all states in one direction, or what it thinks of a text after another one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from retr.encoders.trainable.llm.rows import PaddedRows, Side, mask_for
from retr.encoders.trainable.rows import TOKENS_A_PASS, TOKENS_ON_GPU, passes
from retr.retrieval.errors import BadInput

LogProbs = tuple[torch.Tensor, torch.Tensor]
"""Float32 [texts], the sum of a target's log-probabilities, and [texts], of how many tokens, by their weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoder:
    """transformers' model, with its layer of logits where it `generates`. `window` is what its sliding layers see.

    That layer does not learn, unless its weights are those of the words at the other end.
    """

    model: Any
    folder: Path
    max_tokens: int
    window: int
    generates: bool

    @property
    def name(self) -> str:
        """transformers' name of the model's class."""
        return type(self.model).__name__

    @property
    def trunk(self) -> Any:
        """The model less its layer of logits."""
        return self.model.base_model if self.generates else self.model

    @property
    def dim(self) -> int:
        """Numbers of a token's state."""
        return int(self.model.config.hidden_size)

    @property
    def layers(self) -> int:
        """How many layers."""
        return int(self.model.config.num_hidden_layers)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.trunk.device
        return device

    @property
    def fill(self) -> int:
        """The token that fills up rows; no mask is ever made from it, since it is often the end's token too."""
        return int(self.model.config.pad_token_id or 0)

    def rows(self, ids: Sequence[Sequence[int]], side: Side = "right") -> PaddedRows:
        """Token numbers as rows on the model's device."""
        return PaddedRows.of(ids, self.fill, self.device, side)

    def states(self, rows: PaddedRows, *, causal: bool, every: bool = False) -> tuple[torch.Tensor, ...]:
        """[texts, longest, dim] of the last layer, or with `every` of each layer; the padding's mean nothing."""
        mask = mask_for(self.model.config, rows, self.trunk.dtype, causal=causal, window=self.window)
        result = self.trunk(
            input_ids=rows.tokens, attention_mask=mask, position_ids=rows.positions, output_hidden_states=every
        )
        return tuple(result.hidden_states[1:]) if every else (result.last_hidden_state,)

    def log_probs(
        self,
        prompts: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        *,
        stop: bool = False,
        prompt_weight: float = 0.0,
    ) -> LogProbs:
        """log P(target | prompt), read causally, in passes of like lengths; padding never counts.

        With `stop` a target's tokens see the last token of the prompt and none before it. With a `prompt_weight` the
        prompt's own tokens count too, all but the first, each by that weight.
        """
        if not self.generates:
            raise BadInput(f"{self.name} was opened without its logits. Set generates = true in [student].")
        self.model.get_output_embeddings().to(self.device)  # it is no part of what is trained, so nobody else moves it
        lengths = [len(prompt) + len(target) for prompt, target in zip(prompts, targets, strict=True)]
        groups = passes(lengths, TOKENS_A_PASS.get(self.device.type, TOKENS_ON_GPU))
        parts = []
        for group in groups:
            pairs = [prompts[row] for row in group], [targets[row] for row in group]
            parts.append(self._pass(*pairs, stop, prompt_weight))
        order = torch.tensor([row for group in groups for row in group], device=self.device).argsort()
        return torch.cat([sums for sums, _ in parts])[order], torch.cat([counts for _, counts in parts])[order]

    def _pass(
        self, prompts: Sequence[Sequence[int]], targets: Sequence[Sequence[int]], stop: bool, prompt_weight: float
    ) -> LogProbs:
        """Rows are filled at their left, so that the targets end together and logits are made of them alone."""
        rows = self.rows([[*prompt, *target] for prompt, target in zip(prompts, targets, strict=True)], "left")
        width = rows.tokens.shape[1]
        kept = width - 1 if prompt_weight else max((len(target) for target in targets), default=0)
        before = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        stops = before - 1 if stop else None
        mask = mask_for(self.model.config, rows, self.trunk.dtype, causal=True, window=self.window, stops=stops)
        found = self.model(
            input_ids=rows.tokens, attention_mask=mask, position_ids=rows.positions, logits_to_keep=kept + 1
        ).logits[:, :-1]
        wanted, places = rows.tokens[:, width - kept :], rows.positions[:, width - kept :]
        losses = cross_entropy(found.flatten(0, 1).float(), wanted.flatten(), reduction="none").view_as(wanted)
        targeted = (places >= before[:, None]) & rows.real[:, width - kept :]
        weights = torch.where(targeted, 1.0, torch.where(places > 0, prompt_weight, 0.0))
        return -(losses * weights).sum(1), weights.sum(1)


@contextmanager
def without_adapters(model: torch.nn.Module) -> Iterator[bool]:
    """Within, the low-rank updates of a model add nothing: it is its base. Whether it has any."""
    try:
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ModuleNotFoundError:
        yield False
        return
    layers: list[Any] = [part for part in model.modules() if isinstance(part, BaseTunerLayer)]
    before = [layer._disable_adapters for layer in layers]
    for layer in layers:
        layer._disable_adapters = True  # peft's own switch would also stop them from learning
    try:
        yield bool(layers)
    finally:
        for layer, off in zip(layers, before, strict=True):
            layer._disable_adapters = off
