"""A stream of texts of any length to vectors: windows, and stages in threads with bounded queues between them."""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np

from retr.encoders.reading.tokenizing import Tokens
from retr.retrieval.embeddings import Floats, Vectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import Encoder

Item = TypeVar("Item")
Tag = TypeVar("Tag")
Side = Literal["documents", "queries"]

PATIENCE_SECONDS = 2.0
"""How long a stage that is no longer wanted is waited for: one that blocks, on standard input say, cannot be woken."""


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """How many texts go to the encoder at once: at most `texts`, and fewer where they are long."""

    texts: int = 1024
    characters: int = 8_000_000

    def __post_init__(self) -> None:
        for name in ("texts", "characters"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}; a window needs at least 1.")


@dataclass(frozen=True, slots=True)
class Window(Generic[Tag]):
    """Texts that are encoded together, and whatever their owner wants back with their vectors."""

    tag: Tag
    texts: Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded(Generic[Tag]):
    """A window's tag and vectors, its tokens, and how many texts were cut; None where the encoder does not say."""

    tag: Tag
    vectors: Vectors
    tokens: int | None = None
    cut: int | None = None


@runtime_checkable
class Staged(Protocol):
    """An encoder whose two steps can be called apart, and which so says what it read of each text."""

    def tokenize(self, texts: Sequence[str], side: Side) -> Tokens:
        """The token numbers of each text, after the side's prompt."""
        ...

    def encode_tokens(self, tokens: Tokens) -> Vectors:
        """One vector a text, in order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _End:
    error: BaseException | None


class _Channel:
    """A queue of at most `depth` entries that either side can close."""

    def __init__(self, depth: int) -> None:
        self._entries: deque[Any] = deque()
        self._depth = depth
        self._changed = threading.Condition()
        self._closed = False

    def put(self, entry: object) -> bool:
        """Wait for room; False when nobody wants entries any more."""
        with self._changed:
            while len(self._entries) >= self._depth and not self._closed:
                self._changed.wait()
            if not self._closed:
                self._entries.append(entry)
                self._changed.notify_all()
            return not self._closed

    def take(self) -> Any:
        """Wait for an entry."""
        with self._changed:
            while not self._entries:
                self._changed.wait()
            entry = self._entries.popleft()
            self._changed.notify_all()
            return entry

    def close(self) -> None:
        """Wake a writer that waits, and turn it away."""
        with self._changed:
            self._closed = True
            self._entries.clear()
            self._changed.notify_all()


def ahead(items: Iterable[Item], *, depth: int = 1) -> Generator[Item, None, None]:
    """The items themselves, in order, made by a thread of their own while the ones before are used.

    At most `depth` items wait and one more is being made. What `items` raises is raised here, after the items before
    it. When this generator is closed or left by an error, the thread stops, and `items` is closed if it can be.
    """
    if depth < 1:
        raise BadInput(f"depth is {depth}; at least 1 item must be able to wait.")
    return _ahead(items, _Channel(depth))


def _ahead(items: Iterable[Item], channel: _Channel) -> Generator[Item, None, None]:
    thread = threading.Thread(target=_fill, args=(channel, items), name="retr-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(entry := channel.take(), _End):
            yield entry
        if entry.error is not None:
            raise entry.error
    finally:
        channel.close()
        thread.join(PATIENCE_SECONDS)


def _fill(channel: _Channel, items: Iterable[Any]) -> None:
    error = None
    try:
        try:
            for item in items:
                if not channel.put(item):
                    break
                del item  # The queue's entry is the only one that keeps it.
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
    except BaseException as raised:
        error = raised
    channel.put(_End(error))


def windows(texts: Iterable[str], settings: WindowSettings | None = None) -> Iterator[list[str]]:
    """The texts in lists that are never empty and keep the order; a text longer than the limit stands alone."""
    settings = settings or WindowSettings()
    window: list[str] = []
    characters = 0
    for text in texts:
        if window and (len(window) >= settings.texts or characters + len(text) > settings.characters):
            yield window
            window, characters = [], 0
        window.append(text)
        characters += len(text)
    if window:
        yield window


def encode_stream(
    encoder: Encoder, texts: Iterable[str], *, side: Side = "documents", settings: WindowSettings | None = None
) -> Iterator[Vectors]:
    """Vectors of a stream of texts, window by window, in order; at most a few windows are in memory.

    The texts are read while the window before is encoded, and a window is encoded while the caller uses the one before.
    """
    tagged = (Window(None, window) for window in windows(texts, settings))
    with closing(encode_windows(encoder, tagged, side=side)) as encoded:
        for one in encoded:
            yield one.vectors


def encode_windows(
    encoder: Encoder, given: Iterable[Window[Tag]], *, side: Side = "documents"
) -> Generator[Encoded[Tag], None, None]:
    """Each window's tag and vectors, in order. A window without texts passes through in its turn."""
    return ahead(_encode_each(encoder, given, side))


def _encode_each(encoder: Encoder, given: Iterable[Window[Tag]], side: Side) -> Iterator[Encoded[Tag]]:
    with closing(ahead(given)) as read:  # An error keeps its frames, and with them an unclosed stage, alive.
        for window in read:
            yield _encode(encoder, window, side)


def _encode(encoder: Encoder, window: Window[Tag], side: Side) -> Encoded[Tag]:
    if not window.texts:
        return Encoded(window.tag, Vectors(np.empty((0, encoder.dim), np.float32)), 0, 0)
    if isinstance(encoder, Staged):
        tokens = encoder.tokenize(window.texts, side)
        return Encoded(window.tag, encoder.encode_tokens(tokens), tokens.total, tokens.cut)
    return Encoded(window.tag, encode_sorted(encoder, window.texts, side=side))


def encode_sorted(encoder: Encoder, texts: Sequence[str], *, side: Side = "documents") -> Vectors:
    """One vector a text, in order; the encoder sees them sorted by length, so that one which pads pads little.

    BadInput when it gives one vector a token, Mismatch when it gives too few or vectors of another size.
    """
    order = sorted(range(len(texts)), key=lambda row: -len(texts[row]))
    encode = encoder.encode_queries if side == "queries" else encoder.encode_documents
    found = encode([texts[row] for row in order])
    if not isinstance(found, Vectors):
        raise BadInput("This encoder gives one vector a token; here one vector a text is needed. Choose another.")
    if found.values.shape != (len(texts), encoder.dim):
        raise Mismatch(
            f"The encoder gave vectors of the shape {list(found.values.shape)} for {len(texts)} texts; "
            f"it must give one a text, of its dim {encoder.dim}."
        )
    values: Floats = np.empty_like(found.values)
    values[order] = found.values
    return Vectors(values)
