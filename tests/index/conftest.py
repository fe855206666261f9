"""An encoder of words without a model, and collections made with it."""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.late import segment
from retr.index.writing import commits, merging
from retr.retrieval.embeddings import TokenVectors, Vectors
from retr.retrieval.records import Document


class WordEncoder:
    """Each word has a fixed random direction; a text's vector is their sum, made unit. Counts what it encodes."""

    dim = 32
    similarity = "cosine"

    def __init__(self, fingerprint: str = "words-1") -> None:
        self.fingerprint = fingerprint
        self.encoded: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return Vectors(np.array([self._vector(text) for text in texts], np.float32).reshape(-1, self.dim))

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        self.encoded += texts
        return self.encode_queries(texts)

    def _vector(self, text: str) -> np.ndarray:
        total = np.full(self.dim, 1e-3)
        for word in re.findall(r"\w+", text.lower()):
            total += direction(word, self.dim)
        return total / np.linalg.norm(total)


class TokenEncoder:
    """Each word has a fixed random direction, which is its vector; before them stands one of no word, as [CLS] does."""

    dim = 32
    similarity = "maxsim"

    def __init__(self, fingerprint: str = "tokens-1") -> None:
        self.fingerprint = fingerprint
        self.encoded: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> TokenVectors:
        each = [[token.lower() for token, _ in named] for named in self.spans(texts)]
        made = [direction(token, self.dim) for tokens in each for token in tokens]
        values = np.array([one / np.linalg.norm(one) for one in made], np.float32).reshape(-1, self.dim)
        return TokenVectors(values, np.cumsum([0, *(len(tokens) for tokens in each)]).astype(np.int64))

    def encode_documents(self, texts: Sequence[str]) -> TokenVectors:
        self.encoded += texts
        return self.encode_queries(texts)

    def spans(self, texts: Sequence[str], task: str = "document") -> list[list[tuple[str, tuple[int, int]]]]:
        found = [[(match.group(), match.span()) for match in re.finditer(r"\w+", text)] for text in texts]
        return [[("[CLS]", (0, 0)), *words] for words in found]


ENCODERS = {"dense": WordEncoder, "late": TokenEncoder}
"""By the mode that compares what they give."""


def direction(word: str, dim: int) -> np.ndarray:
    """A random vector of a word's own."""
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
    return np.random.default_rng(seed).normal(size=dim)


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture
def token_encoder() -> TokenEncoder:
    return TokenEncoder()


@pytest.fixture
def collection(tmp_path: Path, encoder: WordEncoder) -> Collection:
    """A new, empty collection in tmp_path/index."""
    return Collection.create(tmp_path / "index", encoder=encoder)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is room for one, so that thousands of syncs cost nothing."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 32 << 20:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="retr-test-") as name:
        yield Path(name)


@pytest.fixture
def thorough() -> bool:
    """Whether to try every case; otherwise a sample of them, in the time that a test may take."""
    return os.environ.get("RETR_LONG_TESTS", "") not in ("", "0")


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merges after a few documents: three segments of up to 6 rows within the commit, more beside the writer."""
    monkeypatch.setattr(merging, "FAN_OUT", 3)
    monkeypatch.setattr(merging, "SMALLEST_ROWS", 4)
    monkeypatch.setattr(merging, "DEAD_DOCUMENTS", 2)
    monkeypatch.setattr(merging, "SMALL_ROWS", 6)
    monkeypatch.setattr(commits, "SMALL_ROWS", 6)


@dataclass(frozen=True)
class State:
    """What was acknowledged: texts by id, and the names of snapshots."""

    texts: Mapping[str, str]
    snapshots: frozenset[str] = frozenset()


def _story(collection: Collection) -> Iterator[State]:
    texts: dict[str, str] = {}
    for step in range(7):
        new = {f"d{step}{n}": f"text {step} {n}" for n in range(2)}
        collection.add([Document(id, text) for id, text in new.items()])
        yield State(texts := {**texts, **new})
    collection.snapshot("early")
    early = frozenset(["early"])
    yield (then := State(texts, early))
    collection.add([Document("d00", "rewritten"), Document("d40", "this too")])
    yield State(texts := {**texts, "d00": "rewritten", "d40": "this too"}, early)
    collection.delete(["d11", "d00", "d10"])
    yield State(texts := {id: text for id, text in texts.items() if id not in ("d11", "d00", "d10")}, early)
    collection.compact()
    yield State(texts, early)
    for step in range(7, 13):
        new = {f"d{step}{n}": f"text {step} {n}" for n in range(3)}
        collection.add([Document(id, text) for id, text in new.items()])
        yield State(texts := {**texts, **new}, early)
    collection.rollback("early")
    yield then
    collection.drop_snapshot("early")
    yield State(then.texts)
    collection.add([Document("last", "of all")])
    yield State({**then.texts, "last": "of all"})


def _short_story(collection: Collection) -> Iterator[State]:
    texts: dict[str, str] = {}
    for step in range(3):
        new = {f"d{step}{n}": f"text {step} {n}" for n in range(2)}
        collection.add([Document(id, text) for id, text in new.items()])
        yield State(texts := {**texts, **new})
    collection.snapshot("early")
    early = frozenset(["early"])
    yield (then := State(texts, early))
    collection.add([Document("d00", "rewritten"), Document("d10", "text 1 0", metadata={"n": 1})])
    yield State(texts := {**texts, "d00": "rewritten"}, early)
    collection.delete(["d11"])
    yield State(texts := {id: text for id, text in texts.items() if id != "d11"}, early)
    collection.compact()
    yield State(texts, early)
    for step in range(3, 6):
        new = {f"d{step}{n}": f"text {step} {n}" for n in range(3)}
        collection.add([Document(id, text) for id, text in new.items()])
        yield State(texts := {**texts, **new}, early)
    collection.rollback("early")
    yield then


@pytest.fixture
def empty() -> State:
    """Before the story begins."""
    return State({})


@pytest.fixture
def story(eager: None) -> Callable[[Collection], Iterator[State]]:
    """Every kind of write, with merges within commits and beside the writer; yields what holds from then on."""
    return _story


@pytest.fixture
def coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Token vectors are kept in 4 bits from a dozen on."""
    monkeypatch.setattr(segment, "SCANNED", 12)


@pytest.fixture
def short_story(eager: None, coded: None) -> Callable[[Collection], Iterator[State]]:
    """As `story`, with fewer steps, for token vectors: raw in small segments, coded in merged ones."""
    return _short_story


class Python:
    """Another process, spoken to a line at a time."""

    def __init__(self, program: str, folder: Path, errors: Path) -> None:
        with errors.open("w") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _HEAD + program, str(folder), str(Path(__file__).parent)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        self._errors = errors
        self.pid = self._process.pid

    def hear(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said, self._errors.read_text()
        return said.strip()

    def say(self, text: str) -> None:
        """Write a line to it."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def ask(self, text: str) -> str:
        """Write a line to it and hear the answer."""
        self.say(text)
        return self.hear()

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "Python":
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                assert stream is not None
                stream.close()


_HEAD = """
import json, os, sys
sys.path.insert(0, sys.argv[2])
from conftest import WordEncoder, answers_of as answers
from retr.index.collection import Collection
from retr.index.settings import WriteSettings
from retr.retrieval.records import Document

collection = Collection.open(sys.argv[1], load=lambda _: WordEncoder())
"""


def answers_of(collection: Collection) -> list[object]:
    """What a reader sees, as JSON values."""
    found: list[object] = [collection.ids(), [one.text for one in collection.get(collection.ids())]]
    for mode in ("dense", "lexical", "hybrid"):
        hits = collection.search("red fish", 5, mode=mode)  # type: ignore[arg-type]
        found.append([[hit.id, hit.text, hit.score] for hit in hits])
    return found


@pytest.fixture
def answers() -> Callable[[Collection], list[object]]:
    """All that a reader sees of a collection, to compare."""
    return answers_of


@pytest.fixture
def python(tmp_path: Path) -> Callable[[str, Path], Python]:
    """Starts a program in another process, with `collection` open on an index folder."""
    numbers = iter(range(100))
    return lambda program, folder: Python(program, folder, tmp_path / f"errors{next(numbers)}")


@pytest.fixture
def filled(quick: Path, encoder: WordEncoder) -> Collection:
    """Twenty documents in two segments, one of them deleted."""
    collection = Collection.create(quick / "index", encoder=encoder)
    for start in (0, 10):
        numbers = range(start, start + 10)
        collection.add([Document(f"d{n}", f"red fish {n}", metadata={"number": n}) for n in numbers])
    collection.delete(["d3"])
    return collection


@pytest.fixture
def again(filled: Collection, encoder: WordEncoder) -> Callable[[], Collection]:
    """Opens the same folder once more."""
    return lambda: Collection.open(filled.folder, load=lambda _: encoder)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETR_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
