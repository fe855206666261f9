"""The times of bench/distil_dse.py: every sentence of one side with every one of the other, on one thread."""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import recording
from distil_dse_cells import SEEDS, TASKS, Bench

from retr.distill.dse.classifier import load_classifier
from retr.encoders.distilled.model import load_model

TIMED = "stsb"


def measured_times(bench: Bench, count: int, sampled: int, repeats: int) -> dict[str, Any]:
    """CPU seconds of all pairs by the student, measured whole; of a drawn part of them by the teacher, said as such."""
    os.environ["RETR_THREADS"] = "1"
    pairs, _ = bench.pairs(TIMED, "test")
    left, right = ([pair[side] for pair in pairs[:count]] for side in (0, 1))
    load = os.getloadavg()[0]
    teacher = load_classifier(str(bench.folder(TIMED, "teacher", SEEDS[0])), TASKS[TIMED])
    student = load_model(str(bench.folder(TIMED, "concat-0.5", SEEDS[0])))
    rng = np.random.default_rng(0)
    drawn = [(left[a], right[b]) for a, b in zip(*rng.integers(0, len(left), (2, sampled)), strict=True)]
    rounds = []
    for _ in range(repeats):
        found: dict[str, float] = {}
        found["teacher_sample"], _logits = timed(lambda: teacher.logits(drawn))
        found["encode"], vectors = timed(lambda: (student.vectors(left), student.vectors(right)))
        found["concat"], scores = timed(lambda vectors=vectors: student.every(*vectors))
        found["dot"], _products = timed(lambda vectors=vectors: vectors[0] @ vectors[1].T)
        rounds.append(found)
    return {
        "rounds": rounds, "left": len(left), "right": len(right), "pairs": int(scores.shape[0] * scores.shape[1]),
        "sampled": sampled, "load_1_minute": round(load, 2), **recording.commit(),
    }  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what was made."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found
