"""The kind `ql`: a decoder's folder as a scorer, by how likely it thinks the query is after each document."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from retr.encoders.llm.folder import read_llm
from retr.encoders.llm.ql_folder import check_packages, folder_of, identity_of, read_table
from retr.encoders.llm.ql_kept import is_kept, load_kept
from retr.encoders.on_torch.compute import Compute
from retr.encoders.reading.folder import reading
from retr.encoders.trained import TrainedScorer
from retr.retrieval.embeddings import Floats


def load(source: str, device: str = "") -> TrainedScorer:
    """The scorer of a decoder's folder or hub name, with its layer of logits; its scores are `comparable`.

    A score is log P(query | document), the sum or the mean over the query's tokens, at most 0. Of a folder that
    `keep_keys` wrote, texts that it holds are not read again.
    """
    path = folder_of(source)
    check_packages()
    if is_kept(path):
        return load_kept(path, device)
    with reading(path):
        return _load_folder(path, device)


def _load_folder(path: Path, device: str) -> TrainedScorer:
    import torch

    from retr.encoders.trainable.llm.ql_opening import open_ql

    folder, table = read_llm(path), read_table(path)
    placement = Compute.asked(device).place()
    likelihood, tokenizer = open_ql(folder, table, placement)

    def answer(query: str, texts: Sequence[str]) -> Floats:
        with torch.inference_mode():
            return np.asarray(likelihood.score(query, texts).float().cpu().numpy(), np.float32)

    about = {"name": path.resolve().name, "source": str(path), "runtime": f"torch on {placement.device}"}
    return TrainedScorer(answer, True, identity_of(folder, table, tokenizer, placement.precision), about)
