"""What a decoder keeps of a text's last token, and how likely targets are after that token alone.

LLM-QL's ranking (Zhang et al. 2025, arXiv 2504.05216): behind an Attention Stop a query sees of the document its end
token alone. So that token's keys and values, layer by layer, and its last state stand for the document.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from retr.encoders.trainable.llm.decoder import Decoder
from retr.encoders.trainable.llm.rows import PaddedRows, mask_for
from retr.encoders.trainable.rows import TOKENS_A_PASS, TOKENS_ON_GPU, in_passes

PLACES = 1024
"""A token's position is kept as two numbers below and above this, which float16 holds exactly."""

Layer = tuple[torch.Tensor, torch.Tensor]
"""Keys and values [texts, heads, tokens, dim] of a layer."""


@dataclass(frozen=True, slots=True)
class Packing:
    """The numbers of a text, side by side: position in two, the last state, then each layer's keys and values.

    `layers` are the [heads, dim] of a layer's keys and of its values.
    """

    state: int
    layers: tuple[tuple[tuple[int, int], tuple[int, int]], ...]

    @property
    def dim(self) -> int:
        """Numbers a text."""
        return 2 + self.state + sum(heads * dim for layer in self.layers for heads, dim in layer)

    def pack(self, positions: torch.Tensor, states: torch.Tensor, layers: Sequence[Layer]) -> torch.Tensor:
        """float32 [texts, dim] of positions [texts], states [texts, state] and each layer's last token."""
        places = torch.stack([positions % PLACES, positions // PLACES], 1)
        last = [part[:, :, -1].flatten(1) for part in chain(*layers)]
        return torch.cat([part.float() for part in (places, states, *last)], 1)

    def unpack(self, rows: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, list[Layer]]:
        """What `pack` was given, of one token a text."""
        shapes = [shape for layer in self.layers for shape in layer]
        parts = torch.split(rows, [2, self.state, *(heads * dim for heads, dim in shapes)], 1)
        positions = (parts[0].double() * parts[0].new_tensor([1, PLACES]).double()).sum(1).round().long()
        each = [
            part.to(dtype).view(len(rows), heads, 1, dim) for part, (heads, dim) in zip(parts[2:], shapes, strict=True)
        ]
        return positions, parts[1].to(dtype), list(zip(each[::2], each[1::2], strict=True))


class _Given(torch.nn.Module):
    """Stands where a decoder's layers were, and gives on the states that it is given."""

    @property
    def decoder(self) -> "_Given":
        """OPT's name for what is inside of its trunk."""
        return self

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> Any:
        """[texts, tokens, dim], as a model's last state."""
        from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=inputs_embeds)


@dataclass(frozen=True, slots=True, eq=False)
class OneToken:
    """A decoder, what it keeps of a text, and the model less its layers: states to logits, scaled as the model does."""

    decoder: Decoder
    packing: Packing
    head: Any

    @classmethod
    def of(cls, decoder: Decoder) -> "OneToken":
        """The shapes are those of a text of one token."""
        model = decoder.model
        tensors = {id(one): one for one in chain(model.parameters(), model.buffers())}
        head = deepcopy(model, {**tensors, id(decoder.trunk): _Given()})
        with torch.no_grad():
            states, layers = _run(decoder, decoder.rows([[decoder.fill]], "left"))
        shapes = [((key.shape[1], key.shape[3]), (value.shape[1], value.shape[3])) for key, value in layers]
        return cls(decoder, Packing(int(states.shape[-1]), tuple(shapes)), head)

    def read(self, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        """float32 [texts, dim]: what is kept of each text's last token, which has seen all before it."""

        def work(group: list[int]) -> torch.Tensor:
            rows = self.decoder.rows([texts[row] for row in group], "left")
            states, layers = _run(self.decoder, rows)
            return self.packing.pack(rows.positions[:, -1], states[:, -1], layers)

        found = in_passes([len(text) for text in texts], self.decoder.device, work)
        return found.view(len(texts), self.packing.dim)

    def log_probs(self, kept: torch.Tensor, target: Sequence[int]) -> torch.Tensor:
        """float32 [texts], log P(target | a text's last token), the sum over its tokens, for texts that were `read`."""
        if not target or not len(kept):
            return torch.zeros(len(kept), device=kept.device)
        budget = TOKENS_A_PASS.get(self.decoder.device.type, TOKENS_ON_GPU)
        passes: Any = torch.split(kept, max(1, budget // len(target)))
        return torch.cat([self._pass(part, target) for part in passes])

    def _pass(self, kept: torch.Tensor, target: Sequence[int]) -> torch.Tensor:
        positions, state, layers = self.packing.unpack(kept, self.decoder.trunk.dtype)
        tokens = torch.tensor(target, device=kept.device).expand(len(kept), -1)
        states = torch.cat([state[:, None], self._behind(tokens[:, :-1], positions, layers)], 1)
        logits = self.head(inputs_embeds=states, use_cache=False).logits
        losses = cross_entropy(logits.flatten(0, 1).float(), tokens.flatten(), reduction="none")
        return -losses.view(tokens.shape).sum(1)

    def _behind(self, tokens: torch.Tensor, positions: torch.Tensor, layers: Sequence[Layer]) -> torch.Tensor:
        """[texts, tokens, dim], the states of tokens [texts, tokens], alike in all texts, behind what was kept."""
        from transformers import DynamicCache

        count = tokens.shape[1]
        if not count:
            return tokens.new_zeros(len(tokens), 0, self.packing.state).to(self.decoder.trunk.dtype)
        cache = DynamicCache()
        for number, (key, value) in enumerate(layers):
            cache.update(key, value, number)
        places = positions[:, None] + torch.arange(1, count + 1, device=tokens.device)
        result = self.decoder.trunk(
            input_ids=tokens, attention_mask=self._mask(count), position_ids=places, past_key_values=cache,
            use_cache=True,
        )  # fmt: skip
        states: torch.Tensor = result.last_hidden_state
        return states

    def _mask(self, count: int) -> Any:
        """[1, 1, count, 1 + count]: each token sees the one that was kept, and those before it that a window leaves."""
        rows, decoder = self.decoder.rows([[0] * (1 + count)]), self.decoder
        mask = mask_for(decoder.model.config, rows, decoder.trunk.dtype, causal=True, window=decoder.window)
        if isinstance(mask, dict):
            return {kind: one[:, :, 1:] for kind, one in mask.items()}
        return mask[:, :, 1:]


def _run(decoder: Decoder, rows: PaddedRows) -> tuple[torch.Tensor, list[Layer]]:
    """The last layer's states [texts, tokens, dim], and every layer's keys and values."""
    from transformers import DynamicCache

    mask = mask_for(decoder.model.config, rows, decoder.trunk.dtype, causal=True, window=decoder.window)
    cache: Any = DynamicCache()
    result = decoder.trunk(
        input_ids=rows.tokens, attention_mask=mask, position_ids=rows.positions, past_key_values=cache, use_cache=True
    )
    return result.last_hidden_state, [(layer.keys, layer.values) for layer in cache.layers]
