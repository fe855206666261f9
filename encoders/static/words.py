"""Token numbers of many texts at once; words that came before are not tokenised again.

BERT's tokenizer never looks across a space: the tokens of a text are those of its parts between spaces, end to end. So
each part is tokenised the first time it is seen and looked up from then on: measured, at a quarter to a ninth of the
cost.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.encoders.reading.tokenizing import tokenize

Ids = NDArray[np.int32]

MOST_PARTS = 1 << 18
"""Parts remembered, about 40 MB; when there are more, remembering starts again."""

LONGEST_PART = 64
"""Characters of a part that is remembered."""


class Words:
    """A tokenizer and what it is known to say. Threads may share it."""

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        """`tokenizer` adds no special tokens; texts are cut at `max_tokens`."""
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        self._known: dict[str, bytes] = {}
        self._separable = is_separable(tokenizer)

    def ids(self, texts: Sequence[str], prompt: str = "") -> tuple[Ids, NDArray[np.int64]]:
        """The texts' tokens end to end, int32 [tokens], and how many each text has, [texts]. BadInput for no text."""
        found = self._looked_up(texts, prompt) if self._separable else None
        if found is None:
            found = list(map(_packed, tokenize(self.tokenizer, texts, prompt)))
        lengths = np.fromiter(map(len, found), np.int64, len(found)) // 4
        return np.frombuffer(b"".join(found), np.int32), lengths

    def _looked_up(self, texts: Sequence[str], prompt: str) -> list[bytes] | None:
        """Each text's tokens as bytes; None where one is no text."""
        try:
            split = [(prompt + text).replace("\n", " ").replace("\t", " ").split(" ") for text in texts]
        except (TypeError, AttributeError):
            return None
        parts = set(chain.from_iterable(split))
        known = self._known
        new = list(parts.difference(known))
        if new and len(known) + len(new) > MOST_PARTS:
            self._known = known = {}  # Another thread may still read the old one.
            new = list(parts)
        long = [part for part in new if len(part) > LONGEST_PART]
        passing = dict(zip(long, map(_packed, tokenize(self.tokenizer, long)), strict=True)) if long else {}
        new = [part for part in new if part not in passing]
        if len(new) > MOST_PARTS:
            return None
        if new:
            known.update(zip(new, map(_packed, tokenize(self.tokenizer, new)), strict=True))
        return [_joined(some, known, passing)[: 4 * self.max_tokens] for some in split]


def _joined(parts: list[str], known: dict[str, bytes], passing: dict[str, bytes]) -> bytes:
    """The parts' tokens end to end; `passing` are the few that are too long to be remembered."""
    try:
        return b"".join(map(known.__getitem__, parts))
    except KeyError:
        return b"".join(passing[part] if part in passing else known[part] for part in parts)


def is_separable(tokenizer: Any) -> bool:
    """Whether the tokens of a text are those of its parts between spaces: BERT's tokenizer without words of spaces."""
    kinds = [type(part).__name__ for part in (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.model)]
    added = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    spaces = any(char.isspace() for content in added for char in content)
    return kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"] and not spaces


def _packed(encoding: Any) -> bytes:
    return np.array(encoding.ids, np.int32).tobytes()
