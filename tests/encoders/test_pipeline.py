"""Stages in threads: order, bounds, errors, and that nothing is left running."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from retr.encoders.reading.tokenizing import Tokens
from retr.encoders.running.pipeline import (
    Window,
    WindowSettings,
    ahead,
    encode_sorted,
    encode_stream,
    encode_windows,
    windows,
)
from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors
from retr.retrieval.errors import BadInput, Mismatch


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold; the wait is long only where the test fails."""
    for _ in range(500):
        if holds():
            return True
        time.sleep(0.01)
    return False


def stages() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "retr-ahead"]


class Lengths:
    """An encoder: a text's length and its first character's number; keeps what it was called with."""

    dim, similarity, fingerprint = 2, "dot", "lengths"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        self.calls.append(list(texts))
        return Vectors(np.array([[len(text), ord(text[:1] or "\0")] for text in texts], np.float32).reshape(-1, 2))

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        found = self.encode_documents(texts)
        return Vectors(-found.values)


def test_items_come_in_order() -> None:
    assert list(ahead(iter(range(100)), depth=3)) == list(range(100))
    assert list(ahead([])) == []
    assert soon(lambda: not stages())


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_is_made_than_may_wait(depth: int) -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    stream = ahead(source(), depth=depth)
    assert not made  # Nothing starts before the first item is asked for.
    assert next(stream) == 0
    assert soon(lambda: len(made) == depth + 2)
    time.sleep(0.05)
    assert len(made) == depth + 2  # One used, `depth` waiting, one made and not yet taken in.
    stream.close()


def test_an_error_comes_once_and_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("three")

    stream = ahead(source(), depth=5)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(KeyError, match="three"):
        next(stream)
    assert list(stream) == []
    assert soon(lambda: not stages())


def test_closing_stops_every_stage_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    stream = ahead(number + 1 for number in ahead(source()))
    assert next(stream) == 1
    stream.close()
    assert closed.wait(60)
    assert soon(lambda: not stages())


def test_an_error_in_the_use_stops_every_stage() -> None:
    encoder = Lengths()
    stream = encode_stream(encoder, (str(n) for n in range(10**9)), settings=WindowSettings(texts=2))
    with pytest.raises(ZeroDivisionError):
        for _ in stream:
            1 / 0  # noqa: B018
    stream.close()
    assert soon(lambda: not stages())
    assert len(encoder.calls) < 10


def test_an_error_of_the_encoder_surfaces_and_stops_the_reading() -> None:
    class Failing(Lengths):
        def encode_documents(self, texts: Sequence[str]) -> Embeddings:
            if "5" in texts:
                raise BadInput("five")
            return super().encode_documents(texts)

    stream = encode_stream(Failing(), (str(n) for n in range(10**9)), settings=WindowSettings(texts=2))
    done = []
    with pytest.raises(BadInput, match="five"):
        done.extend(stream)
    assert [len(vectors) for vectors in done] == [2, 2]
    assert soon(lambda: not stages())


def test_a_depth_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="depth is 0"):
        ahead([], depth=0)


def test_windows_are_bounded_by_texts_and_characters() -> None:
    settings = WindowSettings(texts=3, characters=10)
    texts = ["aa", "b", "c", "d", "e" * 30, "f" * 6, "g" * 4, "h"]
    assert list(windows(texts, settings)) == [["aa", "b", "c"], ["d"], ["e" * 30], ["f" * 6, "g" * 4], ["h"]]
    with pytest.raises(BadInput, match="texts is 0"):
        WindowSettings(texts=0)


def test_a_stream_gives_what_one_call_gives() -> None:
    texts = [chr(97 + n % 26) * (n * 7 % 11 + 1) for n in range(50)]
    encoder = Lengths()
    for side, whole in (("documents", encoder.encode_documents(texts)), ("queries", encoder.encode_queries(texts))):
        parts = list(encode_stream(encoder, iter(texts), side=side, settings=WindowSettings(texts=8)))  # type: ignore[arg-type]
        assert [len(part) for part in parts] == [8] * 6 + [2]
        assert np.array_equal(np.concatenate([part.values for part in parts]), whole.values)


def test_the_encoder_sees_the_longest_first() -> None:
    encoder = Lengths()
    assert encode_sorted(encoder, ["b", "ccc", "aa"]).values[:, 0].tolist() == [1, 3, 2]
    assert encoder.calls == [["ccc", "aa", "b"]]


def test_a_window_without_texts_passes_in_its_turn_and_is_not_encoded() -> None:
    encoder = Lengths()
    given = [Window("first", ["a"]), Window("none", []), Window("last", ["b", "c"])]
    done = list(encode_windows(encoder, iter(given)))
    assert [(one.tag, len(one.vectors), one.vectors.dim) for one in done] == [
        ("first", 1, 2),
        ("none", 0, 2),
        ("last", 2, 2),
    ]
    assert len(encoder.calls) == 2


def test_token_vectors_and_wrong_shapes_are_refused() -> None:
    class PerToken(Lengths):
        def encode_documents(self, texts: Sequence[str]) -> Embeddings:
            return TokenVectors(np.zeros((1, 2), np.float32), np.array([0, 1]))

    class TooFew(Lengths):
        def encode_documents(self, texts: Sequence[str]) -> Embeddings:
            return Vectors(np.zeros((1, 2), np.float32))

    with pytest.raises(BadInput, match="one vector a token"):
        encode_sorted(PerToken(), ["a"])
    with pytest.raises(Mismatch, match=r"\[1, 2\] for 2 texts"):
        encode_sorted(TooFew(), ["a", "b"])


def test_an_encoder_in_two_steps_says_what_it_read() -> None:
    class Stepped(Lengths):
        def tokenize(self, texts: Sequence[str], side: str) -> Tokens:
            return Tokens([np.arange(min(len(text), 3), dtype=np.int32) for text in texts], cut=1)

        def encode_tokens(self, tokens: Tokens) -> Vectors:
            return Vectors(np.array([[len(row), 0] for row in tokens.ids], np.float32))

    [done] = encode_windows(Stepped(), [Window(None, ["a", "bbbb"])])
    assert (done.vectors.values[:, 0].tolist(), done.tokens, done.cut) == ([1, 3], 4, 1)
