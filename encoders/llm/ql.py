"""The kind `ql`: a decoder's folder as a scorer, by how likely it thinks the query is after each document."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from retr.encoders.llm.folder import read_llm
from retr.encoders.llm.ql_settings import QlTable
from retr.encoders.on_torch.compute import Compute
from retr.encoders.reading import hub
from retr.encoders.reading.folder import read_json, reading
from retr.encoders.reading.hashes import hashes
from retr.encoders.trained import TrainedScorer
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import NotFound, missing_package
from retr.retrieval.settings import settings_from


def load(source: str, device: str = "") -> TrainedScorer:
    """The scorer of a decoder's folder or hub name, with its layer of logits; its scores are `comparable`.

    A score is log P(query | document), the sum or the mean over the query's tokens, at most 0.
    """
    path = Path(source).expanduser()
    if not path.is_dir():
        if not hub.is_hub_name(source):
            raise NotFound(f"No folder {source!r} of a decoder. Give a folder that transformers saved, or a hub name.")
        path = hub.fetch(source)
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise missing_package(package, needed_for="The scorer ql", extra="train")
    with reading(path):
        return _load_folder(path, device)


def read_table(path: Path) -> QlTable:
    """The table `ql` of the folder's retr.json; of one without, the published instruction, all of it seen."""
    told = read_json(path / "retr.json", missing={}).get("ql")
    return settings_from(QlTable, told, f"{path}/retr.json: ql") if isinstance(told, dict) else QlTable()


def _load_folder(path: Path, device: str) -> TrainedScorer:
    import torch

    from retr.encoders.trainable.llm.ql_opening import open_ql

    folder, table = read_llm(path), read_table(path)
    placement = Compute.asked(device).place()
    likelihood, tokenizer_hash = open_ql(folder, table, placement)

    def answer(query: str, texts: Sequence[str]) -> Floats:
        with torch.inference_mode():
            return np.asarray(likelihood.score(query, texts).float().cpu().numpy(), np.float32)

    identity = {
        "weights": hashes(path, list(folder.weight_files)),
        "tokenizer": tokenizer_hash,
        "precision": placement.precision,
        "ql": asdict(table),
    }
    about = {"name": path.resolve().name, "source": str(path), "runtime": f"torch on {placement.device}"}
    return TrainedScorer(answer, True, identity, about)
