"""Documents to passages that an encoder reads whole: as large as fits, cut where the text itself has a seam."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retr.retrieval.errors import BadInput
from retr.retrieval.packing import Piece, pack
from retr.retrieval.records import Document, Passage
from retr.retrieval.seams import before_headings, blocks

MOST_TOKENS = 512
"""A passage's size when none is asked for and the encoder would read more: long passages blur what they are about."""

DEFAULT_OVERLAP = 32
WORDS_WITHOUT_TOKENIZER = 256
PIECES_A_PASSAGE = 6
LARGEST_PIECE = 32
"""The splitter's pieces are at most a sixth of a passage and 32 tokens: about a sentence."""

COUNTED_WHOLE = 8
"""Characters a token up to which a text is counted whole, to see whether it fits; a longer one is cut without that."""

MARKDOWN = (".md", ".markdown")
_KEPT_COUNTS = 200_000
_KEPT_WORD_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class ChunkSettings:
    """How documents are cut.

    `max_tokens` counts what the encoder reads: the passage, the title and the special tokens. None: what the encoder
    reads, at most 512. 0: never cut. `overlap` is the most tokens that a passage repeats of the one before it, and
    never more than half a passage; the default becomes less where that is less.
    """

    max_tokens: int | None = None
    overlap: int = DEFAULT_OVERLAP

    def __post_init__(self) -> None:
        if self.max_tokens is not None and self.max_tokens != 0 and self.max_tokens < 8:
            raise BadInput(f"max_tokens is {self.max_tokens}; give at least 8, or 0 to keep documents whole.")
        if self.overlap < 0:
            raise BadInput(f"overlap is {self.overlap}; give 0 or more.")
        most = (self.max_tokens or 0) // 2
        if self.max_tokens and self.overlap > most and self.overlap != DEFAULT_OVERLAP:
            raise BadInput(
                f"overlap is {self.overlap}, max_tokens {self.max_tokens}. Give at most half of that: {most}."
            )


class Chunker:
    """Cuts documents by one setting and one tokenizer; without a tokenizer, words between white space are counted."""

    def __init__(self, settings: ChunkSettings, tokenizer: Any = None, model_max_tokens: int | None = None) -> None:
        """`tokenizer` is a `tokenizers.Tokenizer`, `model_max_tokens` what its encoder reads, special tokens included.

        BadInput when `max_tokens` is more than that: the end of every full passage would never be read.
        """
        reads = model_max_tokens if model_max_tokens is not None else WORDS_WITHOUT_TOKENIZER
        if settings.max_tokens and model_max_tokens is not None and settings.max_tokens > model_max_tokens:
            raise BadInput(
                f"max_tokens is {settings.max_tokens}, but the encoder reads {model_max_tokens} tokens of a text."
                f" Give at most {model_max_tokens}."
            )
        self.settings = settings
        self._counter = _TokenCounter(tokenizer) if tokenizer is not None else _WordCounter()
        limit = min(reads, MOST_TOKENS) if settings.max_tokens is None else settings.max_tokens
        self._capacity = max(limit - self._counter.special, 1)

    def split(self, document: Document) -> list[Passage]:
        """The document's passages in order, at least one; between them they hold every character but white space.

        The title's tokens are left free in each passage, since it is encoded with each, down to a quarter of the size.
        """
        text = document.text
        whole = [Passage(document, 0, 0, len(text))]
        if self.settings.max_tokens == 0 or not text.strip():
            return whole
        _check_unicode(document)
        capacity = self._room_beside(document.title)
        if self._fits(text, capacity):
            return whole
        self._counter.prepare(text)
        spans = self._spans(text, capacity, markdown=is_markdown(document))
        return [Passage(document, ordinal, start, end) for ordinal, (start, end) in enumerate(spans)]

    def _fits(self, text: str, capacity: int) -> bool:
        if self._counter.surely_fits(text, capacity):
            return True
        return len(text) <= capacity * COUNTED_WHOLE and self._counter.exact([text])[0] <= capacity

    def _room_beside(self, title: str) -> int:
        if not title:
            return self._capacity
        # One more for whatever joins the two.
        return max(self._capacity - self._counter.exact([title])[0] - 1, self._capacity // 4, 1)

    def _spans(self, text: str, capacity: int, *, markdown: bool) -> list[tuple[int, int]]:
        """Offsets of the passages: the splitter finds the seams with quick counts, packing chooses among them.

        The counts of pieces need not add up to that of the whole; a passage that turns out too long is cut again.
        """
        pieces = self._pieces(text, capacity, markdown=markdown)
        spans = pack(text, pieces, capacity, self.settings.overlap)
        sizes = self._counter.exact([text[start:end] for start, end in spans])
        fitting: list[tuple[int, int]] = []
        for (start, end), size in zip(spans, sizes, strict=True):
            again = [(start, end)]
            if size > capacity:
                exact = self._cut(text[start:end], capacity, lambda part: self._counter.exact([part])[0], markdown)
                again = [(start + offset, start + offset + len(part)) for offset, part in exact]
            fitting += again
        return fitting

    def _pieces(self, text: str, capacity: int, *, markdown: bool) -> list[Piece]:
        grain = max(1, min(capacity // PIECES_A_PASSAGE, LARGEST_PIECE))
        cut = [
            (start + offset, start + offset + len(piece))
            for start, end in blocks(text)
            for offset, piece in self._cut(text[start:end], grain, self._counter.quick, markdown)
        ]
        spans = before_headings(text, cut)
        # With the white space before each: some tokenizers count it.
        gaps = [0, *(end for _, end in spans[:-1])]
        sizes = self._counter.exact([text[gap:end] for gap, (_, end) in zip(gaps, spans, strict=True)])
        return [Piece(start, end, size) for (start, end), size in zip(spans, sizes, strict=True)]

    def _cut(self, text: str, capacity: int, count: Callable[[str], int], markdown: bool) -> list[tuple[int, str]]:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter

        kind = MarkdownSplitter if markdown else TextSplitter
        pieces: list[tuple[int, str]] = kind.from_callback(count, capacity).chunk_indices(text)
        return pieces


class _WordCounter:
    """Counts words between white space, for want of a tokenizer."""

    special = 0

    def surely_fits(self, text: str, capacity: int) -> bool:
        return len(text) < capacity

    def prepare(self, text: str) -> None:
        """Nothing to look up."""

    def quick(self, text: str) -> int:
        return len(text.split())

    def exact(self, texts: list[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class _TokenCounter:
    """Counts tokens: exactly by the tokenizer, or quickly as the sum over words whose counts are remembered.

    The splitter counts every stretch of text about 16 times. Tokenizing each time made it slower than the encoder's
    own reading of the text; for word-piece tokenizers the sum is exact, for others it is near, and checked afterwards.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = _untruncated(tokenizer)
        self.special = int(tokenizer.num_special_tokens_to_add(is_pair=False))
        self._counts = _Counts(self)

    def surely_fits(self, text: str, capacity: int) -> bool:
        """Whether there are fewer characters than tokens to spend. ASCII only: others may become several tokens."""
        return len(text) < capacity and text.isascii()

    def prepare(self, text: str) -> None:
        """Look up the words not met yet, all in one call."""
        if len(self._counts) > _KEPT_COUNTS:
            self._counts.clear()
        new = [word for word in set(text.split()) if len(word) <= _KEPT_WORD_CHARACTERS and word not in self._counts]
        self._counts.update(zip(new, self.exact(new), strict=True))

    def quick(self, text: str) -> int:
        return sum(map(self._counts.__getitem__, text.split()))

    def exact(self, texts: list[str]) -> list[int]:
        """Tokens of each text, special tokens not counted."""
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


class _Counts(dict[str, int]):
    """Tokens by word, counted when first asked for."""

    def __init__(self, counter: _TokenCounter) -> None:
        super().__init__()
        self._counter = counter

    def __missing__(self, word: str) -> int:
        count = self._counter.exact([word])[0]
        if len(word) <= _KEPT_WORD_CHARACTERS:
            self[word] = count
        return count


def page_of(document: Document, offset: int) -> int | None:
    """The page, from 1, on which a character of the text stands; None for a document without pages."""
    starts = document.source.get("page_starts")
    if not starts:
        return None
    return max(bisect_right(starts, offset), 1)


def is_markdown(document: Document) -> bool:
    """Whether the text came from a Markdown file, so that its headings and lists are seams."""
    return str(document.source.get("path", "")).lower().endswith(MARKDOWN)


def _untruncated(tokenizer: Any) -> Any:
    """The tokenizer, or a copy without truncation and padding, which would make its counts untrue."""
    if tokenizer.truncation is None and tokenizer.padding is None:
        return tokenizer
    copy = type(tokenizer).from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def _check_unicode(document: Document) -> None:
    for what, text in (("text", document.text), ("title", document.title)):
        try:
            text.isascii() or text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BadInput(
                f"The {what} of document {document.id!r} is not valid Unicode: a lone surrogate at character"
                f" {error.start + 1}. Clean it first."
            ) from None
