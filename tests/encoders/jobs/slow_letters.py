"""An encoder for jobs in other processes: four letters are counted, LETTERS_SECONDS a call are slept.

While the folder LETTERS_TOGETHER is there, none is counted until three processes have been asked for some.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tests.waiting import wait_for

from retr.retrieval.embeddings import Vectors


class SlowLetters:
    """As slow as it is told to be, so that a job has a middle."""

    dim, similarity, fingerprint = 4, "cosine", "slow letters"

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        together = Path(os.environ.get("LETTERS_TOGETHER", "/nowhere"))
        if together.is_dir():
            (together / str(os.getpid())).touch()
            wait_for(lambda: len(list(together.iterdir())) >= 3, 120)
        time.sleep(float(os.environ.get("LETTERS_SECONDS", "0")))
        counts = np.array([[1 + text.count(letter) for letter in "0123"] for text in texts], np.float32).reshape(-1, 4)
        return Vectors(counts / np.linalg.norm(counts, axis=1, keepdims=True))

    encode_queries = encode_documents


def load(source: str) -> SlowLetters:
    """For `--encoder slow_letters:load=any`."""
    return SlowLetters()
