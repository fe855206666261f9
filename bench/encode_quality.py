"""How far an encoder's vectors are from sentence-transformers in float32, and what its answers on SciFact are worth."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DEPTH = 100
METRIC = "ndcg@10"
SEED = 7
Quality = dict[str, Any]


def qualities(vectors: Mapping[str, Path], inputs: Path, baseline: str) -> dict[str, Quality]:
    """Of each system whose vectors are there: cosines to the baseline's vectors, nDCG@10, its paired difference."""
    import numpy as np
    from scoring import difference, per_query

    there = {name: path for name, path in vectors.items() if path.exists()}
    if not there:
        return {}
    ids = json.loads((inputs / "ids.json").read_text(encoding="utf-8"))
    loaded = {name: dict(np.load(path)) for name, path in there.items()}
    values = {
        name: per_query(answers(found, ids["documents"], ids["queries"]), ids["qrels"], [METRIC])[METRIC]
        for name, found in loaded.items()
    }
    result = {}
    for name, found in loaded.items():
        base = loaded.get(baseline)
        quality: Quality = {METRIC: sum(values[name].values()) / len(values[name])}
        if base is not None:
            quality["minus"] = difference(values[name], values[baseline], seed=SEED)
            quality["cosine"] = {kind: drift(found[kind], base[kind]) for kind in ("documents", "queries")}
        result[name] = quality
    return result


def answers(found: Mapping[str, Any], documents: Sequence[str], queries: Sequence[str]) -> dict[str, dict[str, float]]:
    """Exact search by cosine: the best documents of each query with their scores."""
    import numpy as np

    scores = unit(found["queries"]) @ unit(found["documents"]).T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    return {query: {documents[at]: float(scores[row, at]) for at in best[row]} for row, query in enumerate(queries)}


def drift(one: Any, other: Any) -> dict[str, float] | None:
    """Mean and worst cosine of text and text; None between spaces of different sizes."""
    if one.shape != other.shape:
        return None
    cosines = (unit(one) * unit(other)).sum(1)
    return {"mean": float(cosines.mean()), "worst": float(cosines.min())}


def unit(vectors: Any) -> Any:
    """Of length 1, in float64, so that a cosine of 1 is one."""
    import numpy as np

    wide = np.asarray(vectors, np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)
