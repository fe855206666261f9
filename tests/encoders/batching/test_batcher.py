"""What a batcher promises its callers: order, bounds, cancelling, no failing for another's sake, nothing lost."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import pytest

from retr.encoders.batching.batcher import Batch, Batcher, Closed, Full
from retr.encoders.batching.settings import BatchSettings
from retr.retrieval.errors import BadInput

SECONDS = 10


class Gate:
    """Work that doubles numbers and waits at a gate, so that a test decides when a batch ends."""

    def __init__(self) -> None:
        self.open, self.entered = threading.Event(), threading.Semaphore(0)
        self.batches: list[list[Any]] = []

    def __call__(self, key: Any, works: Sequence[Any]) -> list[Any]:
        self.batches.append(list(works))
        self.entered.release()
        assert self.open.wait(SECONDS)
        if any(work == "bad" for work in works):
            raise BadInput("a bad one")
        return [work * 2 for work in works]


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


def test_results_come_in_the_order_of_the_works() -> None:
    batcher = Batcher(lambda key, works: [work * 2 for work in works], BatchSettings(batch=3))
    assert batcher.submit(list(range(10)), [1] * 10).result(SECONDS) == [n * 2 for n in range(10)]
    assert batcher.submit([], []).result(SECONDS) == []
    assert batcher.close(SECONDS)


def test_requests_that_wait_share_a_batch(gate: Gate) -> None:
    seen: list[Batch] = []
    batcher = Batcher(gate, BatchSettings(batch=10), seen=seen.append)
    first = batcher.submit([1], [1])
    gate.entered.acquire(timeout=SECONDS)
    others = [batcher.submit([n], [2]) for n in (2, 3, 4)]
    gate.open.set()
    assert [one.result(SECONDS) for one in (first, *others)] == [[2], [4], [6], [8]]
    assert gate.batches == [[1], [2, 3, 4]]
    assert batcher.close(SECONDS)
    assert [(one.weight, one.pieces, one.requests) for one in seen] == [(1, 1, 1), (6, 3, 3)]


def test_a_request_is_refused_when_too_much_waits(gate: Gate) -> None:
    batcher = Batcher(gate, BatchSettings(batch=10, waiting=10))
    batcher.submit([0], [1])
    gate.entered.acquire(timeout=SECONDS)
    kept = batcher.submit([1, 2], [4, 5])
    with pytest.raises(Full, match="9 of 10 wait, and this request has 2") as refused:
        batcher.submit([3], [2])
    assert refused.value.retry_seconds >= 1
    assert batcher.waiting == 9
    gate.open.set()
    assert kept.result(SECONDS) == [2, 4]


def test_a_request_heavier_than_the_queue_is_taken_when_nothing_waits() -> None:
    batcher = Batcher(lambda key, works: works, BatchSettings(batch=10, waiting=10))
    assert batcher.submit(list(range(8)), [7] * 8).result(SECONDS) == list(range(8))


def test_a_cancelled_request_costs_nothing(gate: Gate) -> None:
    batcher = Batcher(gate, BatchSettings(batch=4))
    first = batcher.submit([1], [1])
    gate.entered.acquire(timeout=SECONDS)
    dropped, kept = batcher.submit([7] * 8, [1] * 8), batcher.submit([2], [1])
    assert dropped.cancel()
    gate.open.set()
    assert (first.result(SECONDS), kept.result(SECONDS)) == ([2], [4])
    assert gate.batches == [[1], [2]]
    with pytest.raises(CancelledError):
        dropped.result(SECONDS)


def test_one_bad_request_fails_alone(gate: Gate) -> None:
    batcher = Batcher(gate, BatchSettings(batch=10))
    batcher.submit([0], [1])
    gate.entered.acquire(timeout=SECONDS)
    good, bad, fine = (batcher.submit([work], [1]) for work in (1, "bad", 3))
    gate.open.set()
    assert (good.result(SECONDS), fine.result(SECONDS)) == ([2], [6])
    with pytest.raises(BadInput, match="a bad one"):
        bad.result(SECONDS)


def test_what_was_accepted_is_finished_before_closing(gate: Gate) -> None:
    batcher = Batcher(gate, BatchSettings(batch=1))
    accepted = [batcher.submit([n], [1]) for n in range(5)]
    gate.entered.acquire(timeout=SECONDS)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    while True:
        try:
            batcher.submit([9], [1]).cancel()
        except Closed:
            break
    gate.open.set()
    closing.join(SECONDS)
    assert [one.result(0) for one in accepted] == [[0], [2], [4], [6], [8]]


def test_many_threads_get_their_own_answers() -> None:
    batcher = Batcher(lambda key, works: [(key, work) for work in works], BatchSettings(batch=7, workers=3))
    wrong: list[object] = []

    def ask(number: int) -> None:
        for turn in range(40):
            key = (number + turn) % 3
            found = batcher.submit([number, turn], [1, 2], key=key, urgent=bool(turn % 2)).result(SECONDS)
            if found != [(key, number), (key, turn)]:
                wrong.append(found)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert wrong == []
    assert batcher.close(SECONDS)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"waiting": 0}, {"workers": 0}, {"wait_seconds": 2}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        BatchSettings(**wrong)
