"""Texts to tokens, and which of them a network sees, and which count."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.encoders.late.settings import LateTexts, Task
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.tokenizing import check_list, read_tokenizer, token_ids
from retr.retrieval.errors import BadInput

Span = tuple[int, int]
"""Where a token's characters begin and end in its text; (0, 0) for one that stands for none."""


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """Texts as tokens, int64 [tokens] a text.

    The first `real` of a text's tokens are its own; the others fill it up, and with `hidden` no token sees them.
    `kept` bool [tokens] a text says which ones have a vector in the end.
    """

    ids: list[NDArray[np.int64]]
    real: list[int]
    kept: list[NDArray[np.bool_]]
    hidden: bool = False

    def filled(self) -> list[int]:
        """The texts that have tokens which must not be seen."""
        return [row for row, ids in enumerate(self.ids) if self.hidden and self.real[row] < len(ids)]


@dataclass(frozen=True, slots=True, eq=False)
class Marking:
    """One tokenizer twice: cut for queries, and for documents."""

    tokenizers: dict[Task, Any]
    texts: LateTexts
    skipped: NDArray[np.int64]
    filling: int

    def mark(self, texts: Sequence[str], task: Task) -> Marked:
        """The tokens of each text after its prompt, queries filled up where the model wants it."""
        check_list(texts)
        found = token_ids(self.tokenizers[task], texts, self.texts.prompt(task)).ids
        real = [len(row) for row in found]
        ids = [self._filled(row.astype(np.int64), task) for row in found]
        skips = task in self.texts.skip_tasks and len(self.skipped)
        kept = [~np.isin(row, self.skipped) if skips else np.ones(len(row), bool) for row in ids]
        expansion = self.texts.expansion
        return Marked(ids, real, kept, task == "query" and expansion is not None and not expansion.attend)

    def spans(self, text: str, task: Task) -> list[tuple[str, Span]]:
        """Each vector's token, and where it stands in the text, in the order of the vectors."""
        marked, prompt = self.mark([text], task), self.texts.prompt(task)
        encoding = self.tokenizers[task].encode(prompt + text)
        spans = [(max(0, start - len(prompt)), max(0, end - len(prompt))) for start, end in encoding.offsets]
        spans += [(0, 0)] * (len(marked.ids[0]) - len(spans))
        names = [self.tokenizers[task].id_to_token(int(token)) for token in marked.ids[0]]
        return [pair for pair, kept in zip(zip(names, spans, strict=True), marked.kept[0], strict=True) if kept]

    def _filled(self, ids: NDArray[np.int64], task: Task) -> NDArray[np.int64]:
        expansion = self.texts.expansion
        if task == "document" or expansion is None or len(ids) >= expansion.length:
            return ids
        return np.concatenate([ids, np.full(expansion.length - len(ids), self.filling, np.int64)])


def open_marking(folder: Path, texts: LateTexts) -> tuple[Marking, str]:
    """The tokenizer of a folder, and the hash of its files. BadInput where no token is known to fill queries up with.

    Words to be left out that the vocabulary has not are no words of any text, and are passed over.
    """
    tokenizer, sha256 = read_tokenizer(folder, texts.max_tokens, lowercase=texts.lowercase)
    _know_prefixes(tokenizer, texts.prefixes)
    tokenizers: dict[Task, Any] = {}
    direction = (tokenizer.truncation or {}).get("direction", "right")
    for task in ("query", "document"):
        tokenizers[task] = type(tokenizer).from_str(tokenizer.to_str())
        tokenizers[task].enable_truncation(texts.longest(task), direction=direction)
    settings = read_json(folder / "tokenizer_config.json", missing={})
    unknown = _name(settings.get("unk_token"))
    known = {word: tokenizer.token_to_id(word) for word in texts.skipped}
    absent = None if unknown is None else tokenizer.token_to_id(unknown)
    rows = [row for word, row in known.items() if row is not None and (row != absent or word == unknown)]
    return Marking(tokenizers, texts, np.array(rows, np.int64), _filling(folder, tokenizer, settings, texts)), sha256


def _filling(folder: Path, tokenizer: Any, settings: dict[str, Any], texts: LateTexts) -> int:
    """The number of the token that queries are filled up with."""
    if texts.expansion is None:
        return 0
    asked = texts.expansion.token or _name(settings.get("mask_token")) or _name(settings.get("eos_token"))
    names = [asked] if asked else ["[MASK]", "<mask>"]
    found = next((row for name in names if (row := tokenizer.token_to_id(name)) is not None), None)
    if found is None:
        raise BadInput(f"{folder} fills queries up with {names[0]!r}, which its tokenizer does not know. Name another.")
    return int(found)


def _know_prefixes(tokenizer: Any, prefixes: Sequence[str]) -> None:
    """Make a prefix one token where the vocabulary has it; others stay text, as sentence-transformers does."""
    from tokenizers import AddedToken

    for prefix in filter(str.strip, prefixes):
        name = next((name for name in (prefix, prefix.split()[0]) if tokenizer.token_to_id(name) is not None), None)
        if name is not None and tokenizer.encode(name, add_special_tokens=False).tokens != [name]:
            tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True)])


def _name(token: Any) -> str | None:
    """A special token of tokenizer_config.json, which may be a text or an object with its content."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else None
