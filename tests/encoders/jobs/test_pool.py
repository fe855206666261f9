"""Jobs over workers that die, lie and are late: the folder is that of a run here, or the job says why not."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders.bulk import BulkSettings, Record, encode_records, encode_with, open_vectors
from retr.encoders.jobs import JobEncoder, JobSettings, JobWorkers
from retr.encoders.jobs.pool import AHEAD, Call, Lost, Pool
from retr.encoders.jobs.worker import Hello, Worker
from retr.encoders.running.pipeline import WindowSettings
from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.protocols import TokenAware
from retr.retrieval.version import VERSION

SETTINGS = BulkSettings(shard_texts=8, window=WindowSettings(texts=4))


class Letters:
    """A text's vector counts four letters."""

    dim, similarity, fingerprint = 4, "cosine", "letters"

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        if any("bad" in text for text in texts):
            raise BadInput("bad text")
        counts = [[1 + text.count(letter) for letter in "0123"] for text in texts]
        return Vectors(np.array(counts, np.float32).reshape(-1, 4))

    def encode_queries(self, texts: Sequence[str]) -> Embeddings:
        return self.encode_documents([f"0{text}" for text in texts])


class Tokens(Letters):
    """A vector a word; it shows what it cuts by."""

    max_tokens, tokenizer = 8, None

    def encode_documents(self, texts: Sequence[str]) -> Embeddings:
        words = [text.split() for text in texts]
        values = np.array([[len(word)] * 4 for each in words for word in each], np.float32).reshape(-1, 4)
        return TokenVectors(values, np.cumsum([0, *map(len, words)]).astype(np.int64))


@dataclass(eq=False)
class Promise:
    """A call that has been made, and the worker whose it is."""

    worker: "Hand"
    method: str
    arguments: Sequence[Any]


@dataclass(eq=False)
class Hand:
    """A worker of the crew below; `dead` from when the crew has it die."""

    inner: Worker
    waiting: list[Promise] = field(default_factory=list)
    dead: bool = False


class Crew:
    """Workers in this process. `deaths` says of each call whether its worker dies: 0 not, 1 before it, 2 after it."""

    def __init__(self, size: int = 3, encoder: Any = None, deaths: Iterator[int] | None = None) -> None:
        self.size, self.started, self.asked = size, 0, 0
        self._encoder, self._deaths = encoder or Letters(), deaths or iter(lambda: 0, 1)
        self._rng = random.Random(size)
        self.hands: list[Hand] = []

    def start(self) -> Hand:
        worker = Worker("letters")
        worker._loaded = self._encoder
        self.started += 1
        self.hands.append(Hand(worker))
        return self.hands[-1]

    def ask(self, worker: Hand, method: str, arguments: Sequence[Any]) -> Promise:
        worker.waiting.append(Promise(worker, method, arguments))
        self.asked += method != "hello"
        return worker.waiting[-1]

    def ready(self, promises: Sequence[Any], seconds: float) -> Iterable[Any]:
        first = [one for one in promises if one.worker.dead or one is one.worker.waiting[0]]
        return self._rng.sample(first, k=min(len(first), 1))

    def answer(self, promise: Promise) -> Any:
        death = next(self._deaths) if promise.method != "hello" else 0
        promise.worker.dead |= death == 1
        if promise.worker.dead:
            raise Lost("killed")
        promise.worker.waiting.remove(promise)
        found = getattr(promise.worker.inner, promise.method)(*promise.arguments)
        if death == 2:
            promise.worker.dead = True
            raise Lost("killed when it was done")
        return found

    def stop(self, worker: Hand) -> None:
        worker.dead = True


def workers(crew: Crew, **settings: Any) -> JobWorkers:
    return JobWorkers(Pool(crew, replace(JobSettings(tries=100), **settings)))


def records(count: int) -> list[Record]:
    return [Record(f"id {number}", f"text {number}") for number in range(count)]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What 200 records become in this process."""
    folder = tmp_path_factory.mktemp("straight") / "v"
    encode_records(Letters(), records(200), folder, name="letters", settings=SETTINGS)
    return files(folder)


def job(by: JobWorkers, folder: Path, given: Iterable[Record] | None = None) -> Any:
    return encode_with(by, records(200) if given is None else given, folder, name="letters", settings=SETTINGS)


@pytest.mark.parametrize("seed", range(6))
def test_whichever_workers_die_the_folder_is_that_of_this_process(
    tmp_path: Path, straight: dict[str, bytes], seed: int
) -> None:
    rng = random.Random(seed)
    crew = Crew(1 + seed % 3, deaths=iter(lambda: rng.choices([0, 1, 2], [6, 2, 1])[0], 3))
    by = workers(crew)
    report = job(by, tmp_path / "v")
    assert files(tmp_path / "v") == straight
    assert (report.texts, report.encoded) == (200, 200)
    assert by.lost > 0 and crew.started == by.lost + crew.size


def test_a_worker_that_does_not_see_the_folder_sends_its_file_along(
    tmp_path: Path, straight: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retr.encoders.jobs.worker.Sight.holds", lambda self: False)
    job(workers(Crew()), tmp_path / "v")
    assert files(tmp_path / "v") == straight


def test_what_a_machine_taken_for_dead_writes_late_is_no_part_of_the_result(
    tmp_path: Path, straight: dict[str, bytes]
) -> None:
    late: list[Any] = []

    class Taken(Crew):
        def answer(self, promise: Promise) -> Any:
            if promise.method == "write" and not late:
                late.append(promise)
                promise.worker.dead = True
                raise Lost("no heartbeat")
            return super().answer(promise)

    given = iter(records(200))

    def slowly() -> Iterator[Record]:
        for number, record in enumerate(given):
            if number == 190 and late:
                late[0].worker.inner.write(*late[0].arguments)
            yield record

    job(workers(Taken()), tmp_path / "v", slowly())
    assert late
    assert files(tmp_path / "v") == straight


def test_a_job_that_was_stopped_goes_on(tmp_path: Path, straight: dict[str, bytes]) -> None:
    def stopped() -> Iterator[Record]:
        yield from records(150)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        job(workers(Crew()), tmp_path / "v", stopped())
    crew = Crew()
    report = job(workers(crew), tmp_path / "v")
    assert report.reused > 50 and report.reused + report.encoded == 200
    assert crew.asked == report.shards - report.shards_reused
    assert files(tmp_path / "v") == straight


def test_few_calls_wait_however_many_there_are() -> None:
    taken, crew = 0, Crew(2)

    def calls() -> Iterator[Call]:
        nonlocal taken
        for _ in range(100):
            taken += 1
            yield Call(None, "embed", (["text"], "documents"))

    pool = Pool(crew, JobSettings())
    answers = pool.run(calls())
    next(answers)
    assert taken <= AHEAD * 2 * 2 + 3
    assert len(list(answers)) == 99


def test_calls_without_a_method_pass_in_their_turn() -> None:
    calls = [Call(number, "embed" if number % 3 else "", ([str(number)], "documents")) for number in range(30)]
    found = list(Pool(Crew(), JobSettings()).run(calls))
    assert [call.tag for call, _ in found] == list(range(30))
    assert [answer is None for _, answer in found] == [number % 3 == 0 for number in range(30)]


def test_texts_that_end_every_worker_end_the_job(tmp_path: Path) -> None:
    by = workers(Crew(2, deaths=iter(lambda: 1, 0)), tries=3)
    with pytest.raises(Mismatch, match="3 workers ended over the same texts: killed"):
        job(by, tmp_path / "v")


def test_what_a_worker_raises_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="bad text"):
        job(workers(Crew()), tmp_path / "v", [*records(30), Record("x", "bad")])
    assert not list((tmp_path / "v").rglob("*.npy.*")) and not list((tmp_path / "v").glob("mark-*"))


def test_workers_that_never_come_or_end_at_once_are_waited_for_no_longer() -> None:
    class Absent(Crew):
        def ready(self, promises: Sequence[Any], seconds: float) -> Iterable[Any]:
            return []

    class Short(Crew):
        def answer(self, promise: Promise) -> Any:
            raise Lost("No module named 'retr'")

    with pytest.raises(Mismatch, match=r"No worker was there within 0\.01 seconds"):
        workers(Absent(), start_seconds=0.01)
    with pytest.raises(Mismatch, match="Workers end before they can work: No module named 'retr'"):
        workers(Short(), tries=2)


def test_a_job_whose_workers_are_all_gone_and_come_back_no_more_ends(tmp_path: Path) -> None:
    class Leaving(Crew):
        def ready(self, promises: Sequence[Any], seconds: float) -> Iterable[Any]:
            return super().ready([one for one in promises if one.worker in self.hands[:3]], seconds)

    crew = Leaving(3, deaths=iter([0] * 9 + [1] * 3))
    by = workers(crew, start_seconds=0.05)
    with pytest.raises(Mismatch, match="What is finished stays finished"):
        job(by, tmp_path / "v")
    assert by.lost == 3
    assert job(workers(Crew()), tmp_path / "v").shards_reused == 9


def test_workers_of_another_version_or_encoder_are_refused() -> None:
    said = iter([("1", "a"), (VERSION, "a"), (VERSION, "b"), (VERSION, "a")])

    class Mixed(Crew):
        def answer(self, promise: Promise) -> Any:
            promise.worker.waiting.remove(promise)
            version, fingerprint = next(said)
            return Hello(version, 4, "cosine", fingerprint)

    with pytest.raises(Mismatch, match="A worker has retr 1"):
        workers(Mixed())
    by = Pool(Mixed(), JobSettings())
    with pytest.raises(Mismatch, match="different encoders"):
        list(by.run([Call(None, "embed", (["text"], "documents"))] * 9))


@pytest.mark.parametrize("encoder", [Letters(), Tokens()])
def test_an_encoder_over_a_pool_gives_what_the_encoder_gives(encoder: Any) -> None:
    texts = [f"some text {'word ' * (number % 5)}{number}" for number in range(50)]
    pool = Pool(Crew(encoder=encoder, deaths=iter([0, 1, 0, 2, *[0] * 99])), JobSettings())
    wide = JobEncoder(encoder, pool, WindowSettings(texts=7))
    found, wanted = wide.encode_documents(texts), encoder.encode_documents(texts)
    assert type(found) is type(wanted) and np.array_equal(found.values, wanted.values)
    if isinstance(found, TokenVectors):
        assert np.array_equal(found.offsets, wanted.offsets)
    assert np.array_equal(wide.encode_queries(texts[:3]).values, encoder.encode_queries(texts[:3]).values)
    assert len(wide.encode_documents([])) == 0 and pool.lost == 2
    assert (wide.dim, wide.similarity, wide.fingerprint, wide.passages) == (4, "cosine", "letters", 7 * 3 * 4)
    assert isinstance(wide, TokenAware) == isinstance(encoder, TokenAware)


def test_a_job_refuses_an_encoder_that_is_not_its_workers_own() -> None:
    other = Letters()
    other.fingerprint = "others"
    with pytest.raises(Mismatch, match="the one here others"):
        JobEncoder(other, Pool(Crew(), JobSettings()))


@pytest.mark.parametrize("given", [{"workers": 0}, {"worker_cpus": -1}, {"tries": 0}, {"start_seconds": 0.0}])
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        JobSettings(**given)


def test_reading_a_finished_job_checks_every_file(tmp_path: Path) -> None:
    job(workers(Crew()), tmp_path / "v")
    blocks = list(open_vectors(tmp_path / "v").blocks())
    assert [id for block in blocks for id in block.ids] == [record.id for record in records(200)]
