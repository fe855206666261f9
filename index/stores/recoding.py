"""Which codec new tokens of a store get, and the coding anew of those that were few when they came.

As in an index folder: some hundred thousand tokens are kept in 8 bits, which needs no training. Once there are more, a
codec of as few bits as was chosen is trained, which new tokens get from then on, and the old ones are coded by it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from retr.index.late.codec import Codec
from retr.index.late.segment import chosen_codec, unit
from retr.index.late.settings import LateSettings
from retr.index.late.training import SCANNED, Sample, train_codec
from retr.index.stores.coding import codec_of, coded, to_bytes
from retr.index.stores.tokens import ALL, StoreTokens
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.store import StoreSnapshot, VectorStore

_ROWS = 1_000
"""Passages that are coded anew in one transaction."""


def codec_for(store: VectorStore, blocks: Sequence[TokenVectors], settings: LateSettings) -> Codec:
    """The codec for new tokens, which the store knows from now on."""
    codecs = _codecs(store)
    chosen = chosen_codec(blocks, settings, codecs.values(), few=SCANNED if _trained(codecs, settings) is None else 0)
    if chosen.key not in codecs:
        store.keep_codec(chosen.key, to_bytes(chosen))
    return chosen


def settle(store: VectorStore, settings: LateSettings) -> int:
    """Code anew what has no centroids, where there is a trained codec or it is time for one; gives the generation.

    Killed, the next call goes on.
    """
    codecs, used = _codecs(store), store.codecs()
    raw = {key: codec for key, codec in codecs.items() if not codec.coded and used[key].passages}
    tokens = sum(used[key].bytes // codec.width for key, codec in raw.items())
    generation, trained = 0, _trained(codecs, settings)
    if not tokens or (trained is None and tokens <= SCANNED):
        return generation
    if trained is None:
        trained = _train(store, raw, tokens, settings)
        store.keep_codec(trained.key, to_bytes(trained))
    for key in raw:
        rows = store.rows(ALL, None, key)
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            again = coded(trained, StoreTokens(store).vectors(some))
            generation = store.recode(dict(zip(some.tolist(), again, strict=True)))
    return generation


def _codecs(snapshot: StoreSnapshot) -> dict[str, Codec]:
    return {key: codec_of(snapshot, key) for key in snapshot.codecs()}


def _trained(codecs: Mapping[str, Codec], settings: LateSettings) -> Codec | None:
    return next((codec for codec in codecs.values() if codec.coded and codec.bits == settings.bits), None)


def _train(store: VectorStore, raw: Mapping[str, Codec], tokens: int, settings: LateSettings) -> Codec:
    sample = Sample(settings.sample_tokens, settings.seed)
    rows = np.sort(np.concatenate([store.rows(ALL, None, key) for key in raw]))
    for start in range(0, len(rows), _ROWS):
        sample.take(unit(StoreTokens(store).vectors(rows[start : start + _ROWS]).values))
    return train_codec(sample.values, tokens, settings)
