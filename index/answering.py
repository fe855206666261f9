"""Queries of one snapshot answered: encoded once, searched, explained, put in a new order where that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from retr.index.disk.manifest import EncoderFacts, Manifest
from retr.index.hits import hits
from retr.index.loading import NO_IMAGES, NO_TOKENS, Encoders
from retr.index.opened import Opened
from retr.index.ranking import Ranked
from retr.index.rescoring import over_stored, reads_stored
from retr.index.settings import Mode, SearchSettings
from retr.index.token_scoring import MAXSIM, over_scored, scoring_name
from retr.retrieval.embeddings import Embeddings, TokenVectors, Vectors
from retr.retrieval.errors import BadInput
from retr.retrieval.pictures import Picture
from retr.retrieval.protocols import Scorer
from retr.retrieval.records import Hit
from retr.retrieval.rerank import rerank

RerankBy = Scorer | str
"""What puts hits in a new order: a scorer that reads texts, or `late`, the token vectors that the collection holds.

`late` is MaxSim; `late:ot` and `late:xpool` are other scorings of these tokens.
"""

Question = str | Picture


@dataclass(frozen=True, slots=True, eq=False)
class Answering:
    """One generation, the encoders that read queries of it, and what is wanted."""

    snapshot: Opened
    encoders: Encoders
    settings: SearchSettings
    rerank: RerankBy | None = None

    def answers(self, queries: Sequence[Question], k: int) -> list[list[Hit]]:
        """The k best hits of each query, in the order given. BadInput where the collection has not what is needed.

        Queries are all texts, or all pictures with settings as `for_picture` gives them.
        """
        texts = ["" if isinstance(query, Picture) else query for query in queries]
        ranker = self.snapshot.ranker(self.settings)
        if self._scoring and self.snapshot.manifest.late is None:
            raise BadInput(NO_TOKENS)
        vectors = self._encoded(ranker.vectors, queries)
        tokens = vectors if ranker.vectors == "late" else self._encoded("late" if self._scoring else "", queries)
        found = ranker.search(texts, vectors, k if self.rerank is None else max(k, self.settings.rerank_depth))
        if self.settings.explain and isinstance(tokens, TokenVectors):
            self._explain(queries, tokens, found)
        answers = [hits(self.snapshot, ranked, explain=self.settings.explain) for ranked in found]
        scorers = self._scorers(texts, vectors, tokens, found)
        if scorers:
            depth = self.settings.rerank_depth
            answers = [rerank(*one, depth=depth) for one in zip(texts, answers, scorers, strict=True)]
        return [each[:k] for each in answers]

    @property
    def _scoring(self) -> str:
        """The scoring of stored tokens that is wanted; empty where texts are read instead, or none is."""
        return scoring_name(self.rerank) if isinstance(self.rerank, str) else ""

    def _encoded(self, kind: str | None, queries: Sequence[Question]) -> Embeddings | None:
        manifest = self.snapshot.manifest
        if not kind or not manifest.live_documents:
            return None
        if pictures := [query for query in queries if isinstance(query, Picture)]:
            return self.encoders.picture_vectors(manifest, kind, pictures)
        texts = [query for query in queries if isinstance(query, str)]
        return (self.encoders.query_tokens if kind == "late" else self.encoders.query_vectors)(manifest, texts)

    def _explain(self, queries: Sequence[Question], tokens: TokenVectors, found: Sequence[list[Ranked]]) -> None:
        """Which token matched which, in the passages that are scored by their tokens."""
        from retr.index.matching import explain_tokens

        encoder = self.encoders.late(self.snapshot.manifest)
        for query, values, ranked in zip(queries, tokens, found, strict=True):
            for one in ranked[: self.settings.rerank_depth] if self._scoring == MAXSIM else ():
                one.explain.setdefault("late", {})
            explain_tokens(self.snapshot, encoder, query, values, ranked)

    def _scorers(
        self, texts: Sequence[str], vectors: Embeddings | None, tokens: Embeddings | None, found: Sequence[list[Ranked]]
    ) -> Sequence[Scorer]:
        """For each query what puts its hits in a new order; nothing where none is wanted."""
        scorer, snapshot = self.rerank, self.snapshot
        if scorer is None or not snapshot.manifest.live_documents:
            return []
        if isinstance(scorer, str):
            assert isinstance(tokens, TokenVectors)
            return over_scored(snapshot, self.encoders.late(snapshot.manifest), self._scoring, tokens, found)
        if not reads_stored(scorer, snapshot):
            return [scorer] * len(texts)
        given = vectors if isinstance(vectors, Vectors) else self._encoded("dense", texts)
        assert isinstance(given, Vectors)
        return over_stored(scorer, snapshot, given, found)


def for_picture(manifest: Manifest, settings: SearchSettings, rerank: RerankBy | None) -> SearchSettings:
    """Settings as a search by a picture takes them: by vectors alone, and those of an encoder that reads images.

    BadInput where there is none, and for a reranker, which reads texts.
    """
    if rerank is not None and not isinstance(rerank, str):
        raise BadInput("A reranker reads texts and cannot be asked with an image. Leave it out, or rerank by late.")
    readers: list[tuple[Mode, EncoderFacts | None]] = [("late", manifest.late), ("dense", manifest.encoder)]
    modes = [mode for mode, facts in readers if facts is not None and facts.reads_images]
    if not modes:
        raise BadInput(NO_IMAGES)
    if settings.mode != "hybrid" and settings.mode not in modes:
        raise BadInput(f"An image is no question to --mode {settings.mode}. Use --mode {modes[0]}, or leave it out.")
    return replace(settings, mode=modes[0]) if settings.mode == "hybrid" else settings
