"""A process forked with a collection open answers, refreshes and writes as its parent does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import retr
from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.disk.checking import check_folder
from retr.index.settings import CollectionSettings
from retr.retrieval.records import Document

Open = Callable[[], Collection]
Python = Callable[[str, Path], Any]

# In a process of its own, whose threads are only those that retr has made; a child that hangs is killed by its alarm.
FORK = """
import os, signal, traceback

def in_child(work):
    child = os.fork()
    if not child:
        signal.alarm(120)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
"""


@pytest.fixture
def lone(python: Python) -> Python:
    """A Python program that may fork."""
    return lambda program, folder: python(FORK + program, folder)


def test_a_child_answers_the_same_refreshes_and_writes(filled: Collection, lone: Python) -> None:
    program = """
def see():
    return [answers(collection), collection.ids("number < 7"), collection.ids("id = 'd5'")]

before = see()

def child():
    assert see() == before
    assert collection.ids("number >= 7") == [f"d{n}" for n in range(7, 20)]
    collection.add([Document("child", "red fish of a child", metadata={"number": 0})])
    assert "child" in [hit.id for hit in collection.search("a child", 3)]
    collection.compact()
    assert "child" in collection.ids("number < 7")
    second = Collection.open(sys.argv[1], load=lambda _: WordEncoder())
    assert answers(second) == answers(collection)

assert in_child(child) == 0
assert see() == before
assert collection.refresh() and see() != before
collection.add([Document("parent", "red fish of a parent")])
assert in_child(lambda: answers(collection)) == 0
print("sound", flush=True)
"""
    with lone(program, filled.folder) as process:
        assert process.hear() == "sound"
    assert filled.refresh() and {"child", "parent"} <= set(filled.ids())
    assert check_folder(filled.folder, load=None).problems == []


def test_a_child_of_a_process_with_threads_at_work_does_not_hang(filled: Collection, lone: Python) -> None:
    program = """
import threading
ended = threading.Event()
collection.search("red fish", 5, where="number < 9")  # Python itself cannot fork in the middle of an import.

def work(mode):
    while not ended.is_set():
        collection.search("red fish", 5, mode=mode, where="number < 9")
        collection.ids("number > 3")

threads = [threading.Thread(target=work, args=[mode]) for mode in ("dense", "lexical", "hybrid")]
for thread in threads:
    thread.start()

def child():
    collection.search("red fish", 5, where="number < 9")
    collection.ids("number > 4")
    collection.refresh()
    collection.add([Document("child", "red fish")], settings=WriteSettings(wait_seconds=60))

codes = [in_child(child) for _ in range(5)]
ended.set()
for thread in threads:
    thread.join()
print(codes, flush=True)
"""
    with lone(program, filled.folder) as process:
        assert process.hear() == "[0, 0, 0, 0, 0]"


@pytest.mark.parametrize("kind", ["pq", "hnsw", "ivf-sq8"])
def test_a_child_searches_and_builds_approximate_indexes(kind: Any, quick: Path, encoder: Any, lone: Python) -> None:
    dense = DenseSettings(kind=kind, storage="int8")
    collection = Collection.create(quick / "index", encoder=encoder, settings=CollectionSettings(dense=dense))
    collection.add([Document(f"d{n}", f"red fish {n} {n % 7} {n % 11}") for n in range(1200)])
    assert collection.describe()["dense"][0]["kind"] == kind
    program = """
before = answers(collection)
collection.search_many([f"red {n}" for n in range(100)], 5)

def child():
    assert answers(collection) == before
    collection.search_many([f"red {n}" for n in range(100)], 5)
    collection.delete(["d5"])
    collection.compact()
    assert len(answers(collection)[2]) == 5 and "d5" not in collection.ids()

print(in_child(child), flush=True)
"""
    with lone(program, collection.folder) as process:
        assert process.hear() == "0"
    assert check_folder(collection.folder, load=None).problems == []


def test_a_child_left_over_from_the_middle_of_a_write_does_not_keep_the_lock(
    filled: Collection, again: Open, lone: Python
) -> None:
    program = """
def stream():
    global child
    yield Document("first", "red")
    child = os.fork()
    if not child:
        sys.stdin.readline()
        os._exit(0)
    yield Document("second", "red")

collection.add(stream())
print("done", flush=True)
sys.stdin.readline()
"""
    with lone(program, filled.folder) as process:
        assert process.hear() == "done"
        assert again().delete(["d1"]) == 1
        process.kill()
        assert again().delete(["d2"]) == 1


def test_a_child_that_leaves_the_middle_of_a_write_does_not_free_its_parents_lock(
    filled: Collection, again: Open, lone: Python
) -> None:
    program = """
def stream():
    yield Document("first", "red")
    if not os.fork():
        raise KeyboardInterrupt
    os.wait()
    print("holding", flush=True)
    sys.stdin.readline()
    yield Document("second", "red")

try:
    collection.add(stream())
except KeyboardInterrupt:
    os._exit(0)
print("done", flush=True)
sys.stdin.readline()
"""
    with lone(program, filled.folder) as process:
        assert process.hear() == "holding"
        with pytest.raises(retr.RetrError, match=rf'"pid": {process.pid}\b'):
            again().delete(["d1"])
        assert process.ask("go on") == "done"
    assert {"first", "second"} <= set(again().ids())


def test_a_child_loads_an_encoder_of_its_own(filled: Collection, lone: Python) -> None:
    program = """
loads = []

def load(spec):
    loads.append(os.getpid())
    return WordEncoder()

collection = Collection.open(sys.argv[1], load=load)
before = answers(collection)

def child():
    assert answers(collection) == before and loads == [os.getppid(), os.getpid()], loads

print(in_child(child), answers(collection) == before, loads == [os.getpid()], flush=True)
"""
    with lone(program, filled.folder) as process:
        assert process.hear() == "0 True True"


def test_a_child_encodes_with_the_default_model_as_its_parent_does(quick: Path, lone: Python) -> None:
    folder = quick / "real"
    retr.create(folder).add([Document("fish", "Salmon swim up rivers."), Document("stone", "Granite is hard.")])
    program = """
import retr

collection = retr.open(sys.argv[1])

def see(query="animals in water"):
    hits = [[(hit.id, hit.score) for hit in collection.search(query, 2, mode=mode)] for mode in ("dense", "hybrid")]
    return [hits, collection.search_many([f"{query} {n}" for n in range(8)], 2)]

before = see()

def child():
    assert see() == before
    collection.add([Document("whale", "Whales are mammals that live in the sea.")])
    assert collection.search("mammals of the sea", 1)[0].id == "whale"

print(in_child(child), see() == before, collection.refresh(), collection.search("sea", 1)[0].id, flush=True)
"""
    with lone(program, folder) as process:
        assert process.hear() == "0 True True whale"
    assert check_folder(folder, load=retr.load_encoder).problems == []
