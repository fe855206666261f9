"""Texts to tokens that fit: a context keeps its newest lines, a candidate its beginning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retr.encoders.reading.tokenizing import check_list, tokenize


@dataclass(frozen=True, slots=True, eq=False)
class Cutting:
    """One tokenizer three times: without a limit, and cutting contexts from the front and candidates from the end."""

    whole: Any
    contexts: Any
    texts: Any
    context_tokens: int

    @classmethod
    def of(cls, tokenizer: Any, context_tokens: int, candidate_tokens: int) -> "Cutting":
        """Limits are in tokens, special ones included."""
        whole, contexts, texts = (type(tokenizer).from_str(tokenizer.to_str()) for _ in range(3))
        whole.no_truncation()
        contexts.enable_truncation(context_tokens, direction="left")
        texts.enable_truncation(candidate_tokens)
        return cls(whole, contexts, texts, context_tokens)

    def context(self, text: str) -> list[int]:
        """Tokens of a context. While it is too long, its oldest line goes; a last line too long loses its beginning."""
        ids = _ids(self.whole, [text])[0]
        lines = text.split("\n")
        while len(ids) > self.context_tokens and len(lines) > 1:
            lines = lines[1:]
            ids = _ids(self.whole, ["\n".join(lines)])[0]
        return ids if len(ids) <= self.context_tokens else _ids(self.contexts, [lines[-1]])[0]

    def candidates(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each candidate."""
        check_list(texts)
        return _ids(self.texts, texts)


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    return [list(encoding.ids) for encoding in tokenize(tokenizer, texts)]
