"""MVP without torch: views by ONNX Runtime, each candidate on its own, and the decoder's one step in NumPy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from retr.encoders.mvp.folder import FAMILIES, read_settings
from retr.encoders.mvp.graph import build_views
from retr.encoders.mvp.prompt import Prompt, read_prompt
from retr.encoders.mvp.settings import MVPSettings
from retr.encoders.mvp.weights import ACTIVATIONS, T5, read_t5
from retr.encoders.rankers.opening import Ranker
from retr.encoders.reading.folder import read_json
from retr.encoders.reading.safetensors_file import read_safetensors, weight_files
from retr.encoders.running.network import TOKENS_A_RUN
from retr.encoders.running.session import equal_lengths, on_all_cores, open_session
from retr.retrieval.embeddings import Floats


@dataclass(frozen=True, slots=True, eq=False)
class MVPRanker:
    """Scores of texts for a query, of which only those of one call may be compared."""

    session: Any
    t5: T5
    prompt: Prompt
    settings: MVPSettings

    def __call__(self, query: str, texts: Sequence[str]) -> Floats:
        """float32 [texts]."""
        views = self.read_views(self.prompt.read(query, texts))
        return np.asarray((views * self.t5.anchors(views)).sum(axis=-1).mean(axis=-1), np.float32)

    def read_views(self, rows: Sequence[Sequence[int]]) -> Floats:
        """float32 [rows, views, dim]; rows of one length share a run, which changes none of them."""

        def work(group: list[int]) -> Floats:
            ids = np.array([rows[row] for row in group], np.int64)
            found: Floats = self.session.run(["last_hidden_state"], {"input_ids": ids})[0]
            return found

        runs = equal_lengths([len(row) for row in rows], TOKENS_A_RUN)
        shape = (len(rows), self.settings.views, self.t5.words.shape[1])
        return on_all_cores(runs, work, np.empty(shape, np.float32))


def is_servable(folder: Path, kind: str) -> bool:
    """Whether the folder needs no torch: a T5's weights, with an activation that is known here."""
    config = read_json(folder / "config.json", missing={})
    known = config.get("model_type") in FAMILIES and config.get("feed_forward_proj") in ACTIVATIONS
    return known and bool(weight_files(folder))


def open_folder(folder: Path, table: Mapping[str, Any]) -> Ranker:
    """The scorer of a folder, whose retr.json has that table."""
    settings, files = read_settings(folder, table), weight_files(folder)
    t5 = read_t5(read_safetensors(files), read_json(folder / "config.json"))
    prompt, tokenizer = read_prompt(folder, settings)
    session = open_session(build_views(t5, settings.views, settings.max_tokens))
    return Ranker(MVPRanker(session, t5, prompt, settings), tuple(files), tokenizer, "float32", "onnxruntime, float32")
