"""A scorer as MTEB's CrossEncoderProtocol: for reranking tasks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from retr.integrations.mteb.facts import Facts, name_of
from retr.integrations.mteb.texts import Batch, texts_in
from retr.retrieval.embeddings import Floats
from retr.retrieval.protocols import Scorer


@dataclass(frozen=True, slots=True)
class MtebReranker:
    """Give it to `mteb.evaluate` with reranking tasks. `name` stands in the results; empty: the scorer's own."""

    scorer: Scorer
    name: str = ""

    @property
    def mteb_model_meta(self) -> Any:
        """As `mteb.ModelMeta`; the revision is made from the scorer's fingerprint."""
        return Facts(
            name=self.name or name_of(self.scorer),
            identity={"scorer": self.scorer.fingerprint},
            kind="cross-encoder",
        ).to_meta()

    def predict(self, inputs1: Iterable[Batch], inputs2: Iterable[Batch], **rest: Any) -> Floats:
        """float32 [pairs]. Pairs of one query that follow each other are scored in one call, as listwise scorers need.

        `inputs1` are the queries, one a pair, and `inputs2` their documents; nothing depends on `rest`.
        """
        pairs = zip(_queries(inputs1), texts_in(inputs2), strict=True)
        scored = [
            self.scorer.score(text, [document for _, document in group])
            for (_, text), group in groupby(pairs, key=lambda pair: pair[0])
        ]
        return np.concatenate([np.empty(0, np.float32), *scored])


def _queries(batches: Iterable[Batch]) -> Iterator[tuple[str, str]]:
    """The id and the text of each pair's query: two queries may have one text."""
    for batch in batches:
        texts = texts_in([batch])
        yield from zip(batch.get("id", [""] * len(texts)), texts, strict=True)
