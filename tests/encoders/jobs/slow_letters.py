"""An encoder for jobs in other processes: four letters are counted, LETTERS_SECONDS a call are slept.

With LETTERS_TOGETHER, `NUMBER:FOLDER`, none is counted until so many processes have been asked for some.
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
        if together := os.environ.get("LETTERS_TOGETHER"):
            number, _, folder = together.partition(":")
            (Path(folder) / str(os.getpid())).touch()
            wait_for(lambda: len(list(Path(folder).iterdir())) >= int(number), 120)
        time.sleep(float(os.environ.get("LETTERS_SECONDS", "0")))
        counts = np.array([[1 + text.count(letter) for letter in "0123"] for text in texts], np.float32).reshape(-1, 4)
        return Vectors(counts / np.linalg.norm(counts, axis=1, keepdims=True))

    encode_queries = encode_documents


def load(source: str) -> SlowLetters:
    """For `--encoder slow_letters:load=any`."""
    return SlowLetters()
