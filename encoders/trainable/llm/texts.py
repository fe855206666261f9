"""Texts to a decoder's token numbers: vectors' texts end in the end token, generation's in a target of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retr.encoders.reading.folder import read_json
from retr.encoders.reading.tokenizing import tokenize
from retr.retrieval.errors import BadInput


@dataclass(frozen=True, slots=True, eq=False)
class GenerationTexts:
    """Prompts and targets for `Decoder.log_probs`; `start` is what the tokenizer, which cuts none, puts before one."""

    tokenizer: Any
    template: str
    start: tuple[int, ...]
    end: int
    max_tokens: int

    def prompts(self, queries: Sequence[str]) -> list[list[int]]:
        """Each query in the template, never empty; half of all tokens at most, of which what follows it is kept."""
        room = max(1, self.max_tokens // 2)
        rows = filled(self.tokenizer, (self.template, "{query}"), queries, [room] * len(queries), self.start)
        return [row or [self.end] for row in rows]

    def targets(self, documents: Sequence[str], prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Each document as the rest of its row, cut before its end token is put behind it."""
        rows = zip(plain(self.tokenizer, documents), prompts, strict=True)
        return [[*ids[: max(0, self.max_tokens - len(prompt) - 1)], self.end] for ids, prompt in rows]


def plain(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Tokens without special ones."""
    if not texts:
        return []
    found = []
    for encoding in tokenize(tokenizer, texts):
        ids, special = encoding.ids, encoding.special_tokens_mask
        found.append([token for token, is_special in zip(ids, special, strict=True) if not is_special])
    return found


def filled(
    tokenizer: Any, template: tuple[str, str], texts: Sequence[str], rooms: Sequence[int], start: Sequence[int]
) -> list[list[int]]:
    """Each text in a template at its mark, behind `start`; at most so many tokens, of which what follows it is kept."""
    whole, mark = template
    after = plain(tokenizer, [whole.partition(mark)[2]])[0]
    found = []
    for ids, room in zip(plain(tokenizer, [whole.replace(mark, text) for text in texts]), rooms, strict=True):
        row, tail = [*start, *ids], len(after) if len(after) < room else 0
        found.append(row if len(row) <= room else [*row[: room - tail], *row[len(row) - tail :]])
    return found


def end_token(folder: Path, tokenizer: Any) -> tuple[str, int]:
    """The token that ends a text and its number; BadInput where a folder names none."""
    told = read_json(folder / "tokenizer_config.json", missing={}).get("eos_token")
    name = told.get("content") if isinstance(told, dict) else told
    number = tokenizer.token_to_id(name) if name else None
    if number is None:
        config = read_json(folder / "config.json").get("eos_token_id")
        number = config[0] if isinstance(config, list) and config else config
        name = tokenizer.id_to_token(number) if isinstance(number, int) else None
    if not name:
        raise BadInput(f"{folder} names no token that ends a text. Set eos_token in its tokenizer_config.json.")
    return str(name), int(number)


def with_end(tokenizer: Any, end: tuple[str, int]) -> None:
    """Let the tokenizer put the end token behind every text, cut before it, if it does not yet; in place.

    A text that is longer than what is read so keeps its end token.
    """
    from tokenizers import processors

    name, number = end
    if tokenizer.encode("a").ids[-1:] == [number]:
        return
    own = [tokenizer.post_processor] if tokenizer.post_processor else []
    last = processors.TemplateProcessing(single=f"$A {name}", pair=f"$A $B {name}", special_tokens=[(name, number)])
    tokenizer.post_processor = processors.Sequence([*own, last])


def uncut(tokenizer: Any) -> Any:
    """The same tokenizer, which cuts no text."""
    from tokenizers import Tokenizer

    other = Tokenizer.from_str(tokenizer.to_str())
    other.no_truncation()
    return other


def start_of(tokenizer: Any, end: int) -> tuple[int, ...]:
    """The special tokens that the tokenizer puts before a text."""
    encoding = tokenizer.encode("a")
    found = []
    for token, is_special in zip(encoding.ids, encoding.special_tokens_mask, strict=True):
        if not is_special or token == end:
            break
        found.append(token)
    return tuple(found)
