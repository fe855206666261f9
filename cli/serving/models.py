"""The models that a server holds: one encoder and one scorer, each behind a batcher, and the names they go by."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retr.cli.serving.failures import Failure
from retr.cli.serving.metrics import Metrics
from retr.cli.serving.settings import ServeSettings
from retr.encoders import DEFAULT_MODEL, load_encoder, load_scorer
from retr.encoders.batching.batcher import Batch
from retr.encoders.batching.encoder import SharedEncoder, SharedScorer, shared
from retr.encoders.batching.pairs import PairBatcher
from retr.encoders.batching.settings import BatchSettings
from retr.encoders.batching.texts import TextBatcher
from retr.index.token_scoring import by_stored_tokens
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder, Scorer


class Models:
    """Loaded once, replaced when the index moves on to another encoder."""

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._batching = BatchSettings(settings.batch_tokens, settings.waiting_tokens)
        self._encoder: tuple[str, SharedEncoder] | None = None
        self._old: list[SharedEncoder] = []
        self._loading = threading.Lock()
        self._scorer: SharedScorer | None = None
        if settings.rerank and not by_stored_tokens(settings.rerank):
            self.take_scorer(load_scorer(settings.rerank, device=settings.device))

    def load_encoder(self, spec: str) -> Encoder:
        """The encoder of a spec, shared; one that gives a vector a token, as it is. The settings' spec comes first."""
        wanted = self._settings.encoder or spec
        with self._loading:
            if self._encoder is not None and self._encoder[0] == wanted:
                return self._encoder[1]
            loaded = load_encoder(wanted, device=self._settings.device)
            return loaded if loaded.similarity == "maxsim" else self.take_encoder(loaded, wanted)

    def load_late(self, spec: str) -> Encoder:
        """A late encoder, which stands beside the index's encoder, as it is."""
        return load_encoder(spec, device=self._settings.device)

    def take_encoder(self, encoder: Encoder, spec: str) -> SharedEncoder:
        """Serve this encoder from now on. BadInput where it has fewer numbers than `matryoshka` says."""
        if any(dim > encoder.dim for dim in self._settings.matryoshka):
            told = max(self._settings.matryoshka)
            raise BadInput(f"--matryoshka {told} is more than the encoder's {encoder.dim} numbers. Give shorter ones.")
        batcher = TextBatcher(encoder, self._batching, seen=self._seen("encoder"))
        if self._encoder is not None:
            self._old.append(self._encoder[1])
        self._encoder = spec, shared(batcher)
        return self._encoder[1]

    def take_scorer(self, scorer: Scorer) -> SharedScorer:
        """Serve this scorer from now on."""
        batcher = PairBatcher(scorer, self._batching, seen=self._seen("reranker"))
        self._scorer = SharedScorer(batcher)
        return self._scorer

    @property
    def encoder(self) -> SharedEncoder:
        """The encoder; a Failure where there is none with one vector a text."""
        if self._encoder is None:
            raise Failure(
                404, "This server has no encoder with one vector a text. Start it with --encoder.", "no_model"
            )
        return self._encoder[1]

    @property
    def has_scorer(self) -> bool:
        """Whether a scorer is served."""
        return self._scorer is not None

    @property
    def scorer(self) -> SharedScorer:
        """The scorer; a Failure where there is none."""
        if self._scorer is None:
            raise Failure(404, "This server has no reranker. Start it with --rerank cross=FOLDER.", "no_model")
        return self._scorer

    @property
    def encoder_names(self) -> list[str]:
        """What the encoder may be called, its own name first."""
        if self._encoder is None:
            return []
        spec, encoder = self._encoder
        return _names(spec or DEFAULT_MODEL, encoder.describe(), self._settings.names)

    @property
    def scorer_names(self) -> list[str]:
        """What the scorer may be called."""
        if self._scorer is None:
            return []
        tell = getattr(self._scorer.batcher.scorer, "describe", dict)
        return _names(self._settings.rerank, tell(), self._settings.names)

    def dims(self) -> list[int]:
        """The vector lengths that may be asked for, shortest first; the last is the whole vector's."""
        encoder = self.encoder
        known = {*_trained_dims(str(encoder.describe().get("source", ""))), *self._settings.matryoshka}
        return [*sorted(dim for dim in known if dim < encoder.dim), encoder.dim]

    def waiting(self) -> dict[str, int]:
        """Tokens that wait, by queue."""
        found = {} if self._encoder is None else {"encoder": self._encoder[1].batcher.batcher.waiting}
        return found if self._scorer is None else {**found, "reranker": self._scorer.batcher.batcher.waiting}

    def close(self) -> None:
        """Finish what waits."""
        for encoder in (*self._old, *([self._encoder[1]] if self._encoder else [])):
            encoder.batcher.batcher.close(self._settings.drain_seconds)
        if self._scorer is not None:
            self._scorer.batcher.batcher.close(self._settings.drain_seconds)

    def _seen(self, queue: str) -> Callable[[Batch], None]:
        return lambda batch: self._metrics.saw(queue, batch)


def checked_name(asked: str | None, known: list[str]) -> str:
    """The name to answer under; a Failure for a model that is not served."""
    if asked is None or asked in known:
        return asked or known[0]
    raise Failure(
        404,
        f"The model {asked[:80]!r} is not served here; known: {', '.join(known)}. --name gives it another name.",
        "model_not_found",
    )


def _names(spec: str, described: dict[str, Any], extra: tuple[str, ...]) -> list[str]:
    own = str(described.get("name") or spec.rpartition("=")[2].rstrip("/").rpartition("/")[2] or spec)
    return list(dict.fromkeys([own, spec, *extra]))


def _trained_dims(source: str) -> list[int]:
    """The lengths that training recorded in a model folder."""
    path = Path(source) / "retr.json"
    if not source or not path.is_file():
        return []
    tables = json.loads(path.read_text(encoding="utf-8"))
    dims = tables.get("bi", {}).get("matryoshka", []) if isinstance(tables, dict) else []
    return [dim for dim in dims if isinstance(dim, int) and dim > 0]
