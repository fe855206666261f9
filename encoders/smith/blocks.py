"""A text to blocks of whole sentences: greedy, so that a sentence that does not fit begins the next block."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retr.encoders.reading.tokenizing import check_list, tokenize
from retr.encoders.smith.settings import SmithSettings
from retr.retrieval.errors import BadInput

_SEAM = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])\s*|\s*\n\s*")
"""Behind what ends a sentence, and at the end of a line. It is part of the model: other seams give other vectors."""


@dataclass(frozen=True, slots=True, eq=False)
class Filling:
    """`first` and `last` are the special tokens around a block; the tokenizer adds none and cuts nothing."""

    tokenizer: Any
    first: tuple[int, ...]
    last: tuple[int, ...]
    settings: SmithSettings

    @classmethod
    def of(cls, tokenizer: Any, settings: SmithSettings) -> "Filling":
        """With the special tokens that a tokenizer puts around a text."""
        from tokenizers import processors

        around = tokenizer.encode("a")
        places = [at for at, special in enumerate(around.special_tokens_mask) if not special]
        start, end = (places[0], places[-1] + 1) if places else (len(around.ids), len(around.ids))
        bare = type(tokenizer).from_str(tokenizer.to_str())
        bare.no_truncation()
        bare.post_processor = processors.Sequence([])
        filling = cls(bare, tuple(around.ids[:start]), tuple(around.ids[end:]), settings)
        if filling.room < 1:
            raise BadInput(f"block_tokens is {settings.block_tokens}, all of them special. Give more.")
        return filling

    @property
    def room(self) -> int:
        """Tokens of sentences in a block."""
        return self.settings.block_tokens - len(self.first) - len(self.last)

    @property
    def max_tokens(self) -> int:
        """Tokens of a text at most, special ones counted once; fewer where sentences leave room in their blocks."""
        return self.room * self.settings.blocks + len(self.first) + len(self.last)

    def __call__(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """For each text its blocks' tokens, at least one block; what is beyond the last block is not read."""
        check_list(texts)
        for text in texts:
            if not isinstance(text, str):
                raise BadInput(f"Texts must be strings of valid Unicode; got {str(text)[:40]!a}. Clean it first.")
        split = [[part for part in _SEAM.split(text) if part] for text in texts]
        read = iter(tokenize(self.tokenizer, [sentence for sentences in split for sentence in sentences]))
        return [self.fill([list(next(read).ids) for _ in sentences]) for sentences in split]

    def fill(self, sentences: Sequence[Sequence[int]]) -> list[list[int]]:
        """Blocks of sentences' tokens, each kept once and in order."""
        blocks: list[list[int]] = [[]]
        for sentence in sentences:
            rest = list(sentence[: self.room] if self.settings.overlong == "cut" else sentence)
            if len(blocks[-1]) + len(rest) > self.room and blocks[-1]:
                blocks.append([])
            while len(rest) > self.room:
                blocks[-1] += rest[: self.room]
                rest = rest[self.room :]
                blocks.append([])
            blocks[-1] += rest
        return [[*self.first, *block, *self.last] for block in blocks[: self.settings.blocks]]
