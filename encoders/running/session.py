"""Running a model with ONNX Runtime: one session of one thread, shared by as many workers as there are cores."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.encoders.graphs.graph import BuiltModel
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput, Damaged

Ids = NDArray[np.int64]
"""Token numbers or segments, [texts, tokens]."""


def threads() -> int:
    """Cores to use: RETR_THREADS, or those that this process may run on."""
    asked = os.environ.get("RETR_THREADS", "").strip()
    if not asked:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not asked.isdecimal() or int(asked) < 1:
        raise BadInput(f"RETR_THREADS is {asked!r}; give a whole number from 1, or unset it to use every core.")
    return int(asked)


def open_session(model: BuiltModel | Path) -> Any:
    """An ONNX Runtime session on one CPU thread that sleeps, not spins, between runs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # it would keep a plan for every length of text
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    if isinstance(model, BuiltModel) and model.constants:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in model.constants.values()]
        options.add_external_initializers(list(model.constants), values)
    source = str(model) if isinstance(model, Path) else model.file
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions share no public base
        name = model if isinstance(model, Path) else "the model built in memory"
        raise Damaged(f"ONNX Runtime cannot open {name}: {' '.join(str(error).split())[:300]}") from None


def equal_lengths(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Rows in runs of exactly equal length, longest first, each of at most `budget` tokens or of one row."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    runs: list[list[int]] = []
    for row in order:
        length = lengths[row]
        if runs and lengths[runs[-1][0]] == length and (len(runs[-1]) + 1) * length <= budget:
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def on_all_cores(runs: Sequence[list[int]], work: Callable[[list[int]], Floats], out: Floats) -> Floats:
    """`out` with `work(rows)` written into the rows of every run."""

    def fill(rows: list[int]) -> None:
        out[rows] = work(rows)

    workers = min(threads(), len(runs))
    if workers <= 1:
        for rows in runs:
            fill(rows)
        return out
    with ThreadPoolExecutor(workers, thread_name_prefix="retr-encode") as pool:
        for _ in pool.map(fill, runs):
            pass
    return out
