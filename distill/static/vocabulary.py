"""The words that a static student has a vector for: its teacher's, and those of a corpus that the teacher splits."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNUSED = re.compile(r"\[unused\d+\]")
SHORTEST_WORD, LONGEST_WORD = 2, 40
TEXTS_AT_ONCE = 4096


def bare(tokenizer: Any) -> Any:
    """A copy of a `tokenizers.Tokenizer` that cuts nothing and adds neither padding nor special tokens."""
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    copy.post_processor = None
    return copy


def texts_of(tokenizer: Any) -> list[str]:
    """The text of each token, by its number; empty for special, unused and missing ones and for parts of letters.

    A piece that only continues a word is written without its mark, as a word of its own.
    """
    pieces = {number: piece for piece, number in tokenizer.get_vocab().items()}
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    mark = getattr(tokenizer.model, "continuing_subword_prefix", None)
    texts = [""] * (max(pieces, default=-1) + 1)
    for number, piece in pieces.items():
        if number in special or UNUSED.fullmatch(piece):
            continue
        text = piece.removeprefix(mark) if mark else tokenizer.decode([number]).strip()
        texts[number] = "" if "\ufffd" in text else text
    return texts


def missing_words(tokenizer: Any, parts: Mapping[str, int], *, most: int, least: int) -> list[str]:
    """The most frequent words of a corpus that the tokenizer splits, most frequent first; none if it is no WordPiece.

    `parts` counts what stands between spaces. Only a WordPiece vocabulary can be given whole words as they are.
    """
    if type(tokenizer.model).__name__ != "WordPiece" or not most or tokenizer.pre_tokenizer is None:
        return []
    words: Counter[str] = Counter()
    for part, count in parts.items():
        plain = tokenizer.normalizer.normalize_str(part) if tokenizer.normalizer else part
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(plain):
            words[word] += count
    often = [word for word, count in words.items() if count >= least and _is_word(word)]
    split = {word for word, ids in zip(often, _ids(tokenizer, often), strict=True) if len(ids) > 1}
    return sorted(split, key=lambda word: (-words[word], word))[:most]


def widened(tokenizer: Any, words: Sequence[str]) -> Any:
    """The WordPiece tokenizer with more whole words, numbered after those it has."""
    from tokenizers import Tokenizer

    if not words:
        return tokenizer
    content = json.loads(tokenizer.to_str())
    first = max(tokenizer.get_vocab().values()) + 1
    content["model"]["vocab"] |= {word: first + place for place, word in enumerate(words)}
    return Tokenizer.from_str(json.dumps(content))


def token_counts(tokenizer: Any, parts: Mapping[str, int], rows: int) -> NDArray[np.int64]:
    """How often each token comes in a corpus, int64 [rows]."""
    counts = np.zeros(rows, np.int64)
    for ids, count in zip(_ids(tokenizer, list(parts)), parts.values(), strict=True):
        for number in ids:
            counts[number] += count
    return counts


def _is_word(word: str) -> bool:
    return SHORTEST_WORD <= len(word) <= LONGEST_WORD and word.isalnum() and not word.isdigit()


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    return [
        encoding.ids
        for first in range(0, len(texts), TEXTS_AT_ONCE)
        for encoding in tokenizer.encode_batch_fast(list(texts[first : first + TEXTS_AT_ONCE]))
    ]
