"""Query likelihood: how likely a decoder thinks a query is after a document, or after its vector's token alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from retr.encoders.llm.ql_settings import MARK, QlTable
from retr.encoders.reading.tokenizing import check_list
from retr.encoders.trainable.llm.decoder import Decoder, LogProbs
from retr.encoders.trainable.llm.one_token import OneToken
from retr.encoders.trainable.llm.texts import filled, plain


@dataclass(frozen=True, slots=True, eq=False)
class QueryTexts:
    """Documents and queries as token numbers; `tokenizer` cuts none. A query has a quarter of `most` tokens at most."""

    tokenizer: Any
    table: QlTable
    start: tuple[int, ...]
    end: int
    most: int

    def queries(self, texts: Sequence[str], *, ended: bool) -> list[list[int]]:
        """Each query's tokens, and the end token where `ended`."""
        last = [self.end] if ended else []
        return [[*ids[: max(1, self.most // 4 - len(last))], *last] for ids in plain(self.tokenizer, texts)]

    def documents(self, texts: Sequence[str], queries: Sequence[Sequence[int]]) -> list[list[int]]:
        """Each document in its prompt, cut to what its query leaves; with `stop` as it is `alone`."""
        if self.table.stop:
            return self.alone(texts)
        rooms = [max(1, self.most - len(query)) for query in queries]
        return [
            row or [self.end] for row in filled(self.tokenizer, (self.table.prompt, MARK), texts, rooms, self.start)
        ]

    def alone(self, texts: Sequence[str]) -> list[list[int]]:
        """Each document in its prompt and the end token, cut to what any query leaves: the same beside all of them."""
        rooms = [max(1, self.most - self.most // 4 - 1)] * len(texts)
        rows = filled(self.tokenizer, (self.table.prompt, MARK), texts, rooms, self.start)
        return [[*row, self.end] for row in rows]


@dataclass(frozen=True, slots=True, eq=False)
class QueryLikelihood:
    """A decoder, causal, and how it is asked (Ponte & Croft 1998; by a decoder Zhang et al. 2025, arXiv 2504.05216)."""

    decoder: Decoder
    texts: QueryTexts

    def score(self, query: str, documents: Sequence[str]) -> torch.Tensor:
        """float32 [documents], sum over t of log P(q_t | document, q_<t), or with `normalise` the mean."""
        check_list(documents)
        queries = self.texts.queries([query], ended=False) * len(documents)
        found, counts = self.decoder.log_probs(self.texts.documents(documents, queries), queries, stop=self._stop)
        return found / counts.clamp(min=1) if self.texts.table.normalise else found

    def log_probs(self, queries: Sequence[str], documents: Sequence[str], document_weight: float = 0.0) -> LogProbs:
        """Row by row, log P(query and its end | document) and of how many tokens.

        With a `document_weight`, what stands before the query counts too, each token by that weight.
        """
        check_list(queries)
        check_list(documents)
        ids = self.texts.queries(queries, ended=True)
        prompts = self.texts.documents(documents, ids)
        return self.decoder.log_probs(prompts, ids, stop=self._stop, prompt_weight=document_weight)

    @property
    def _stop(self) -> bool:
        return self.texts.table.stop


@dataclass(frozen=True, slots=True, eq=False)
class KeptLikelihood:
    """The same behind a `stop`, in two steps: what is kept of a document, and from that alone any query's score."""

    likelihood: QueryLikelihood
    token: OneToken

    def read(self, documents: Sequence[str]) -> torch.Tensor:
        """float32 [documents, dim]: position, last state, keys and values of each document's end token."""
        check_list(documents)
        return self.token.read(self.likelihood.texts.alone(documents))

    def score(self, query: str, kept: torch.Tensor) -> torch.Tensor:
        """float32 [documents] for documents that were `read`: what `QueryLikelihood.score` gives them."""
        texts = self.likelihood.texts
        target = texts.queries([query], ended=False)[0]
        found = self.token.log_probs(kept, target)
        return found / max(1, len(target)) if texts.table.normalise else found
