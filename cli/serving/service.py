"""What a worker holds and does, without HTTP: models, the collection, and the queues of searches and writes."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retr.cli.serving.failures import Failure, log
from retr.cli.serving.metrics import Metrics
from retr.cli.serving.models import Models
from retr.cli.serving.settings import ServeSettings
from retr.cli.serving.writing import Write, Written, write_all
from retr.encoders.batching.batcher import Batcher
from retr.encoders.batching.settings import BatchSettings
from retr.index.collection import Collection
from retr.index.loading import NO_TOKENS
from retr.index.searching import check_query
from retr.index.settings import SearchSettings
from retr.index.stores import Unreachable
from retr.index.token_scoring import MAXSIM, STORED, by_stored_tokens, scoring_name, scoring_of
from retr.opening import kept_by
from retr.retrieval.errors import BadInput, RetrError
from retr.retrieval.pictures import Picture
from retr.retrieval.records import Hit

SEARCHES_AT_ONCE = 16
_TRIES = 5
_WRITTEN_CHARACTERS = 32 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The hits of one search, and the generation that they are of."""

    hits: Sequence[Hit]
    generation: int


class Service:
    """Opened before the server listens, so that what is wrong with models or index is told at once."""

    def __init__(self, settings: ServeSettings, metrics: Metrics | None = None) -> None:
        self.settings, self.metrics = settings, metrics or Metrics()
        self.draining = False
        self.models = Models(settings, self.metrics)
        self._collection = self._opened()
        self._searches = Batcher(
            self._search,
            BatchSettings(SEARCHES_AT_ONCE, 4 * settings.max_requests, 0.0, settings.search_threads),
            name="search",
            seen=lambda batch: self.metrics.saw("search", batch),
        )
        self._writes = Batcher(
            self._write,
            BatchSettings(_WRITTEN_CHARACTERS, 2 * _WRITTEN_CHARACTERS, 0.0),
            name="write",
            seen=lambda batch: self.metrics.saw("write", batch),
        )
        self._following: asyncio.Task[None] | None = None
        self._moving = threading.Lock()
        self._away, self._trouble = False, ""

    @property
    def collection(self) -> Collection:
        """The collection; a Failure where none is served."""
        if self._collection is None:
            raise Failure(404, "This server has no index. Start it with --index DIR.", "no_index")
        return self._collection

    @property
    def has_index(self) -> bool:
        """Whether an index is served."""
        return self._collection is not None

    @property
    def reranker(self) -> str | None:
        """What hits are reranked by: the scorer's name, `late` where the index has token vectors; None without."""
        if self.models.has_scorer:
            return self.models.scorer_names[0]
        return self._by_tokens if self.has_index and self.collection.manifest.late is not None else None

    @property
    def _by_tokens(self) -> str:
        """How the index's tokens rerank, where they do: as `--rerank late:SCORING` says, or by MaxSim."""
        return self.settings.rerank or STORED

    def _by(self) -> Any:
        return self.models.scorer if self.models.has_scorer else self._by_tokens

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome: not at the end, nor while the store of the index does not answer."""
        return not (self.draining or self._away)

    async def search(self, query: str | Picture, k: int, settings: SearchSettings, *, rerank: bool) -> Found:
        """The k best hits of the live generation."""
        _ = self.collection
        if rerank and self.reranker is None:
            raise Failure(404, "This server has no reranker. Start it with --rerank cross=FOLDER.", "no_model")
        pictured = isinstance(query, Picture)
        if isinstance(query, str):
            check_query(query)
        # Reranked and explained searches share nothing, nor do those by a picture, and so they go alone.
        alone = object() if rerank or settings.explain or pictured else None
        waiting = self._searches.submit([query], [1], key=(k, settings, rerank, alone))
        found: list[Found] = await asyncio.wrap_future(waiting)
        return found[0]

    async def write(self, write: Write) -> Written:
        """Commit documents or deletions; on disk when this returns. Writes that wait share a commit."""
        _ = self.collection
        waiting = self._writes.submit([write], [write.weight])
        done: list[Written] = await asyncio.wrap_future(waiting)
        return done[0]

    def start(self) -> None:
        """Follow the index and the queues from now on; called in the event loop."""
        self._following = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        """Finish what was accepted."""
        if self._following is not None:
            self._following.cancel()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._searches.close(self.settings.drain_seconds)
        self._writes.close(self.settings.drain_seconds)
        self.models.close()

    def refresh(self) -> bool:
        """Move on to the live generation, its encoder loaded; whether there was a newer one."""
        collection = self.collection
        with self._moving:
            moved = collection.refresh()
            if moved:
                _load(collection)
            self._tell(collection)
        return moved

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self.settings.refresh_seconds)
            self.tell_queues()
            if self._collection is None:
                continue
            try:
                await asyncio.to_thread(self.refresh)
                self._note("", away=False)
            except (RetrError, OSError) as error:
                self._note(" ".join(str(error).split()), away=isinstance(error, Unreachable))

    def _note(self, trouble: str, *, away: bool) -> None:
        """Log what keeps the index from being followed, once until it changes."""
        if trouble and trouble != self._trouble:
            log.warning("the index cannot be refreshed: %s", trouble)
        elif self._trouble and not trouble:
            log.warning("the index is followed again")
        self._away, self._trouble = away, trouble

    def tell_queues(self) -> None:
        """Bring the counts of what waits up to date."""
        waiting = {"search": self._searches.waiting, "write": self._writes.waiting, **self.models.waiting()}
        for name, weight in waiting.items():
            self.metrics.waiting.labels(name).set(weight)

    def _opened(self) -> Collection | None:
        if self.settings.index is None:
            self.models.load_encoder(self.settings.encoder)
            if not self.models.encoder_names:
                raise BadInput(
                    f"{self.settings.encoder!r} gives a vector a token, which is no embedding of a text. Serve an "
                    "index of it, with --index, or rerank by it, with --rerank."
                )
            self._check_tokens(None)
            return None
        models = self.models
        home = self.settings.index
        collection = kept_by(home).open(home, load=models.load_encoder, late=models.load_late)
        _load(collection)
        self._check_tokens(collection)
        self._tell(collection)
        return collection

    def _check_tokens(self, collection: Collection | None) -> None:
        """BadInput or NotFound where hits shall be reranked by tokens that are not there, or in a way that is none."""
        if not by_stored_tokens(self.settings.rerank):
            return
        if collection is None or collection.manifest.late is None:
            raise BadInput(NO_TOKENS)
        if (name := scoring_name(self.settings.rerank)) != MAXSIM:
            scoring_of(collection.late_encoder, name)

    def _tell(self, collection: Collection) -> None:
        self.metrics.generation.set(collection.manifest.generation)
        self.metrics.documents.set(collection.manifest.live_documents)

    def _search(self, key: tuple[int, SearchSettings, bool, Any], queries: list[Any]) -> list[Found]:
        k, settings, rerank, _ = key
        collection = self.collection
        scorer = self._by() if rerank else None
        for _ in range(_TRIES):
            before = collection.manifest.generation
            found = _found(collection, queries, k, settings, scorer)
            if collection.manifest.generation == before:
                break  # else a refresh came between, and which generation answered is not known
        return [Found(hits, before) for hits in found]

    def _write(self, key: object, writes: list[Write]) -> list[Written]:
        collection = self.collection
        done = write_all(collection, writes, self.settings.write_wait_seconds)
        self._tell(collection)
        return done


def _found(
    collection: Collection, queries: list[Any], k: int, settings: SearchSettings, scorer: Any
) -> list[list[Hit]]:
    """The hits of queries in words, or of one picture."""
    if isinstance(queries[0], Picture):
        return [collection.search(image=queries[0], k=k, settings=settings, rerank=scorer)]
    return collection.search_many(queries, k, settings=settings, rerank=scorer)


def _load(collection: Collection) -> None:
    """Load the collection's encoders now, so that no request waits for it; Mismatch where one is not its own."""
    if collection.manifest.encoder is not None:
        _ = collection.encoder
    if collection.manifest.late is not None:
        _ = collection.late_encoder
