"""Which of the believed candidates become negatives."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from retr.distill.mining.settings import MiningSettings


def taken(count: int, settings: MiningSettings, key: str) -> NDArray[np.int64]:
    """Places of the chosen among `count` candidates in the index's order, rising; all of them where that is fewer.

    `top` takes the first, `uniform` any with equal chance, `weighted` the n-th in proportion to 1/n, without
    replacement (Efraimidis and Spirakis, 2006). The draw hangs on the seed and the key alone, so that a row stays the
    same when others come or go.
    """
    wanted = min(count, settings.negatives)
    if settings.sample == "top" or wanted == count:
        return np.arange(wanted)
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    rng = np.random.default_rng([settings.seed, int.from_bytes(digest[:8], "big")])
    weights = np.ones(count) if settings.sample == "uniform" else 1 / np.arange(1, count + 1)
    keys = np.log1p(-rng.random(count)) / weights
    return np.sort(np.argsort(-keys, kind="stable")[:wanted])
