"""A decoder that learns to embed, and where asked to, to generate: the student of the kind `llm`."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import normalize

from retr.encoders.llm.latent import LatentPooling
from retr.encoders.llm.settings import LATENT_LAYERS, LlmTable
from retr.encoders.reading.tokenizing import check_list, token_ids
from retr.encoders.trainable.llm.decoder import Decoder, LogProbs, without_adapters
from retr.encoders.trainable.llm.ql import QueryLikelihood
from retr.encoders.trainable.llm.texts import GenerationTexts
from retr.encoders.trainable.llm.writing import write_likelihood, write_llm
from retr.encoders.trainable.pooling import POOLINGS, kept_tokens
from retr.encoders.trainable.rows import in_passes
from retr.encoders.trainable.student import check_groups
from retr.retrieval.errors import BadInput


class LlmModule(torch.nn.Module):
    """The decoder less its layer of logits, learned pooling, and the two layers that are for training alone."""

    def __init__(self, encoder: torch.nn.Module, pooling: LatentPooling | None, head: torch.nn.Module | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.head = head


@dataclass(frozen=True, slots=True, eq=False)
class LlmStudent:
    """A `Student` with one vector a text; it also tells how likely a document is after a query.

    `frozen` is the decoder as it was at the beginning, or None. `own_adapters`: the folder's low-rank updates learn.
    `likelihood` is how it is asked for a query's probability, or None.
    """

    module: LlmModule
    decoder: Decoder
    tokenizer: Any
    table: LlmTable
    generation: GenerationTexts
    frozen: Decoder | None = None
    own_adapters: bool = False
    likelihood: QueryLikelihood | None = None

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.decoder.device

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.decoder.dim * (1 if self.module.pooling else len(self.table.modes))

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim], of unit length where the model is so."""
        return self._encode(texts, self.table.query_prompt)

    def encode_documents(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim], of unit length where the model is so."""
        return self._encode(texts, self.table.document_prompt)

    def score(self, queries: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[torch.Tensor]:
        """Inner products, which are cosines where the vectors have unit length."""
        check_groups(queries, candidates)
        found = self.encode_documents(list(chain.from_iterable(candidates)))
        parts = torch.split(found, [len(texts) for texts in candidates])
        return [part @ query for part, query in zip(parts, self.encode_queries(queries), strict=True)]

    def projected(self, vectors: torch.Tensor) -> torch.Tensor:
        """[texts, dim] behind the two layers that are for training alone; the same where there are none."""
        return vectors if self.module.head is None else self.module.head(vectors)

    def log_probs(self, queries: Sequence[str], documents: Sequence[str]) -> LogProbs:
        """log P(document | query), row by row: the sum over its tokens, and how many they are."""
        return self._log_probs(self.decoder, queries, documents)

    def reference_log_probs(self, queries: Sequence[str], documents: Sequence[str]) -> LogProbs:
        """As `log_probs`, by the model as it was before training, without gradients.

        That is the base without its low-rank updates, or a copy; BadInput where there is neither.
        """
        with torch.no_grad(), without_adapters(self.decoder.model) as switched:
            if switched:
                return self._still(self.decoder, queries, documents)
            if self.frozen is None:
                raise BadInput(
                    "There is no reference: no low-rank update to switch off, and no copy. Train with [train.lora], "
                    "set reference = true in [student], or reference_free = true in [objective]."
                )
            self.frozen.model.to(self.device)
            return self._still(self.frozen, queries, documents)

    def query_log_probs(self, queries: Sequence[str], documents: Sequence[str], document_weight: float) -> LogProbs:
        """Row by row log P(query and its end | document), and of how many tokens; see `QueryLikelihood.log_probs`."""
        if self.likelihood is None:
            raise BadInput('The student tells no query\'s probability. Set query_likelihood = "stop" in [student].')
        return self.likelihood.log_probs(queries, documents, document_weight)

    def save(self, folder: Path) -> None:
        """Write a folder that `load_encoder` opens, and, where the pooling is a rule, sentence-transformers."""
        write_llm(folder, self.decoder, self.table, self.tokenizer, self.module.pooling, own_adapters=self.own_adapters)
        if self.likelihood is not None:
            write_likelihood(folder, self.likelihood.texts.table)

    def _encode(self, texts: Sequence[str], prompt: str) -> torch.Tensor:
        check_list(texts)
        tokens = token_ids(self.tokenizer, texts, prompt)
        skip = 0 if self.table.include_prompt else tokens.skip
        rows = [row.tolist() or [self.generation.end] for row in tokens.ids]

        def work(group: list[int]) -> torch.Tensor:
            if not group:
                return torch.zeros(0, self.dim, device=self.device)
            return self._pooled([rows[row] for row in group], skip)

        vectors = in_passes([len(row) for row in rows], self.device, work)
        return normalize(vectors, dim=1) if self.table.normalised else vectors

    def _pooled(self, ids: list[list[int]], skip: int) -> torch.Tensor:
        table, pooling = self.table, self.module.pooling
        rows = self.decoder.rows(ids)
        every = table.pooling == LATENT_LAYERS
        states = self.decoder.states(rows, causal=not table.bidirectional, every=every)
        states = tuple(layer.to(torch.promote_types(layer.dtype, torch.float32)) for layer in states)
        kept = kept_tokens([len(row) for row in ids], skip, self.device)
        if pooling is None:
            return torch.cat([POOLINGS[mode](states[0], kept) for mode in table.modes], dim=1)
        of_text = POOLINGS["mean" if table.bidirectional else "lasttoken"]
        if every:
            found: torch.Tensor = pooling(torch.stack([of_text(layer, kept) for layer in states], dim=1))
        elif table.bidirectional:
            found = pooling(states[0].masked_fill(~kept[:, :, None], 0.0), kept)
        else:
            found = pooling(of_text(states[0], kept)[:, None])
        return found

    def _still(self, decoder: Decoder, queries: Sequence[str], documents: Sequence[str]) -> LogProbs:
        """Without dropout: a reference is one number, not a draw."""
        mode = decoder.model.training
        decoder.model.eval()
        try:
            return self._log_probs(decoder, queries, documents)
        finally:
            decoder.model.train(mode)

    def _log_probs(self, decoder: Decoder, queries: Sequence[str], documents: Sequence[str]) -> LogProbs:
        check_list(queries)
        check_list(documents)
        prompts = self.generation.prompts(queries)
        targets = self.generation.targets(documents, prompts)
        return decoder.log_probs(prompts, targets)
