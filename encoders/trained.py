"""Serving, by torch, of scorers that training wrote: what uni and poly share."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from retr.encoders.on_torch.compute import Compute, Placement
from retr.encoders.reading.folder import read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.reading.tokenizing import check_list
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, NotFound, missing_package

if TYPE_CHECKING:
    import torch

Answer = Callable[[str, Sequence[str]], "torch.Tensor"]


@dataclass(frozen=True, slots=True, eq=False)
class TrainedScorer:
    """A trained model as a `Scorer`: its answer [texts] for a query and its texts, without gradients and dropout."""

    answer: Answer
    comparable: bool
    identity: Mapping[str, Any]
    about: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, the scores may: sha256 of what they depend on, as hex."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()

    def score(self, query: str, texts: Sequence[str]) -> Floats:
        """One float32 a text; where `comparable` is false, scores of this call alone may be compared."""
        import torch

        check_list(texts)
        if not texts:
            return np.empty(0, np.float32)
        with torch.inference_mode():
            return np.asarray(self.answer(query, texts).float().cpu().numpy(), np.float32)

    def describe(self) -> dict[str, Any]:
        """What `retr info` shows: everything that the scores depend on, the name, the runtime."""
        return {**self.about, **self.identity, "comparable": self.comparable, "fingerprint": self.fingerprint}


def load_trained(
    source: str, kind: str, device: str, make: Callable[[Path, Placement], tuple[Answer, bool]]
) -> TrainedScorer:
    """The scorer of a folder that training saved, whose retr.json has a table of that kind."""
    path = Path(source).expanduser()
    if not path.is_dir():
        raise NotFound(f"No folder {source!r} of a {kind} scorer. Give the folder that training wrote.")
    _check_torch(kind)
    with reading(path):
        told = read_json(path / "retr.json", missing={}).get(kind)
        if not isinstance(told, dict):
            raise BadInput(f"{source} is no {kind} scorer: its retr.json has no table {kind!r}. Give a trained folder.")
        placement = Compute.asked(device).place()
        answer, comparable = make(path, placement)
        files = sorted([*path.rglob("*.safetensors"), *path.rglob("tokenizer.json"), *path.rglob("vocab.txt")])
        identity = {"weights": hashes(path, files), "precision": placement.precision, kind: told}
    about = {"name": path.resolve().name, "source": str(path), "runtime": f"torch on {placement.device}"}
    return TrainedScorer(answer, comparable, identity, about)


def _check_torch(kind: str) -> None:
    from importlib.util import find_spec

    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise missing_package(package, needed_for=f"The scorer {kind}", extra="train")
