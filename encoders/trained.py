"""Serving of scorers that training wrote: what uni and poly share. By torch only where nothing else can run them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retr.encoders.graphs.transformer import BUILDER
from retr.encoders.on_torch.compute import Compute, Placement
from retr.encoders.rankers.opening import Ranker, check_table, is_servable
from retr.encoders.reading.folder import reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.tokenizing import check_list
from retr.encoders.running.devices import asked_for
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import NotFound, missing_package

if TYPE_CHECKING:
    import torch

Answer = Callable[[str, Sequence[str]], "torch.Tensor"]


@dataclass(frozen=True, slots=True, eq=False)
class TrainedScorer:
    """A trained model as a `Scorer`: its answer float32 [texts] for a query and its texts."""

    answer: Callable[[str, Sequence[str]], Floats]
    comparable: bool
    identity: Mapping[str, Any]
    about: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the scores may: sha256 of what they depend on, as hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text; where `comparable` is false, scores of this call alone may be compared."""
        check_list(texts)
        return self.answer(query, texts) if texts else np.empty(0, np.float32)

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows: everything that the scores depend on, the name, the runtime."""
        return {**self.about, **self.identity, "comparable": self.comparable, "fingerprint": self.fingerprint}


@dataclass(frozen=True, slots=True)
class Makers:
    """How a kind is opened: without torch, from the folder and its table; and by torch, with `comparable`.

    `table` reads a folder's table of a kind, and `servable` says whether it can do without torch.
    """

    kind: str
    free: Callable[[Path, Mapping[str, Any]], Ranker]
    by_torch: Callable[[Path, Placement], tuple[Answer, bool]]
    table: Callable[[Path, str], Mapping[str, Any]] = check_table
    servable: Callable[[Path, str], bool] = is_servable


def load_trained(source: str, device: str, makers: Makers) -> TrainedScorer:
    """The scorer of a folder that training or `retr export` wrote, whose retr.json has a table of that kind."""
    path, kind = Path(source).expanduser(), makers.kind
    if not path.is_dir():
        raise NotFound(f"No folder {source!r} of a {kind} scorer. Give the folder that training wrote.")
    with reading(path):
        table = makers.table(path, kind)
        usual = asked_for(device).usual
        free = usual and makers.servable(path, kind)
        return load_folder(path, makers, table) if free else _torch(path, makers, table, device)


def load_folder(path: Path, makers: Makers, table: Mapping[str, Any]) -> TrainedScorer:
    """The scorer of a folder, without torch; it is tried, so that parts that do not fit are told here."""
    opened = makers.free(path, table)
    identity = {
        "weights": hashes(path, list(opened.files)),
        "tokenizer": opened.tokenizer,
        "precision": opened.precision,
        "builder": BUILDER,
        makers.kind: table,
    }
    about = {"name": path.resolve().name, "source": str(path), "runtime": opened.runtime}
    opened.score("a", ["b"])
    return TrainedScorer(opened.score, getattr(opened.score.settings, "comparable", True), identity, about)


def _torch(path: Path, makers: Makers, table: Mapping[str, Any], device: str) -> TrainedScorer:
    _check_torch(makers.kind)
    placement = Compute.asked(device).place()
    answer, comparable = makers.by_torch(path, placement)
    files = sorted([*path.rglob("*.safetensors"), *path.rglob("tokenizer.json"), *path.rglob("vocab.txt")])
    identity = {"weights": hashes(path, files), "precision": placement.precision, makers.kind: table}
    about = {"name": path.resolve().name, "source": str(path), "runtime": f"torch on {placement.device}"}

    def score(query: str, texts: Sequence[str]) -> Floats:
        import torch

        with torch.inference_mode():
            return np.asarray(answer(query, texts).float().cpu().numpy(), np.float32)

    return TrainedScorer(score, comparable, identity, about)


def _check_torch(kind: str) -> None:
    """missing_package where torch or transformers is not installed."""
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise missing_package(package, needed_for=f"The scorer {kind} of this architecture", extra="train")
