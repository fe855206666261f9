"""The retrieval sets of RETR_DATA: queries, judgements, candidates where a set gives them, and what its page states."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retr.retrieval.corpus import ReadSettings, read_documents
from retr.retrieval.evaluation.reading.beir import open_beir
from retr.retrieval.evaluation.reading.candidates import read_candidates
from retr.retrieval.records import Document, Query
from retr.retrieval.runs import Qrels, Run


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that the set's page gives for one of our systems: its value, and who found it how."""

    metric: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class DataSet:
    """One set. With `given`, a run, its documents are all that may be ranked; with `own` each query has its own ones.

    Grades from `relevant` on count as relevant where a metric knows no grades.
    """

    name: str
    folder: str
    about: str
    figures: Mapping[str, Figure]
    given: str = ""
    own: bool = False
    relevant: int = 1

    @property
    def reranking(self) -> bool:
        """Whether candidates are given, so that there is nothing to find."""
        return self.own or bool(self.given)


@dataclass(frozen=True, slots=True)
class Loaded:
    """The test split: texts, the judged queries, the judgements; a run of the candidates where they are given."""

    documents: Mapping[str, Document]
    queries: tuple[Query, ...]
    qrels: Qrels
    candidates: Run


def _bm25(value: float, how: str = "k1=1.5, b=0.75") -> Figure:
    return Figure("ndcg@10", value, f"bm25s, {how}, Porter stemmer, stop words removed (the set's page)")


_MTEB = "MTEB results repository"
SETS = {
    one.name: one
    for one in (
        DataSet(
            "scifact",
            "scifact",
            "scientific claims to abstracts",
            {
                "bm25": _bm25(0.686),
                "dense": Figure("ndcg@10", 0.6451, f"all-MiniLM-L6-v2, {_MTEB}"),
                "dense-float32": Figure("ndcg@10", 0.6451, f"all-MiniLM-L6-v2, {_MTEB}"),
            },
        ),
        DataSet("cranfield", "cranfield", "aerodynamics, graded", {"bm25": _bm25(0.365)}),
        DataSet("cisi", "cisi", "library science", {"bm25": _bm25(0.396)}),
        DataSet("med", "med", "medical abstracts", {"bm25": _bm25(0.696)}),
        DataSet("medquad", "medquad", "health questions to answers", {"bm25": _bm25(0.561, "k1=1.2, b=0.75")}),
        DataSet("pubmedqa", "pubmedqa", "research questions to abstracts", {"bm25": _bm25(0.979, "k1, b not stated")}),
        DataSet("cosqa", "cosqa", "web queries to Python functions", {"bm25": _bm25(0.336, "k1=1.2, b=0.75")}),
        DataSet("limit-small", "limit-small", "who likes what", {"bm25": _bm25(0.992, "k1, b not stated")}),
        DataSet("hotpotqa-mini", "hotpotqa-mini", "two hops", {"bm25": _bm25(0.793, "k1, b not stated")}),
        DataSet("musique-mini", "musique-mini", "two to four hops", {"bm25": _bm25(0.539, "k1, b not stated")}),
        DataSet("msmarco-dl19", "msmarco-dl19", "web passages, pooled corpus of 14,581", {}, relevant=2),
        DataSet(
            "msmarco-dl19-top100",
            "msmarco-dl19",
            "the given BM25 top 100, reranked",
            {
                "bm25": Figure("ndcg@10", 0.5058, "Anserini's run, over all 8.8M passages (the set's page)"),
                "cross": Figure("ndcg@10", 0.7431, "ms-marco-MiniLM-L-12-v2, its model card, of 1,000 candidates"),
            },
            given="runs/bm25.top100.tsv",
            relevant=2,
        ),
        DataSet(
            "noveleval",
            "noveleval",
            "20 given candidates a query, graded",
            {
                "bm25": Figure("ndcg@10", 0.5577, "RankGPT paper (the set's page)"),
                "cross": Figure("ndcg@10", 0.7967, "int8 ONNX file, measured (the set's page)"),
            },
            own=True,
        ),
        DataSet(
            "trecqa",
            "trecqa",
            "given answer sentences",
            {"bm25": Figure("map", 0.630, "BM25 of the dataset-sts repository (the set's page)")},
            own=True,
        ),
    )
}
"""By name, small ones of a kind together. Figures are for the system named; `cross` is the reranked given list."""


def data_root() -> Path:
    """The folder that RETR_DATA names."""
    root = os.environ.get("RETR_DATA", "")
    if not root or not Path(root).is_dir():
        raise SystemExit("Set RETR_DATA to the folder that holds scifact/, cranfield/ and the other sets.")
    return Path(root)


def load_set(name: str) -> Loaded:
    """The test split of a set."""
    chosen = SETS[name]
    folder = data_root() / chosen.folder
    if chosen.folder == "trecqa":
        return _lists(folder / "test.tsv")
    found = open_beir(folder)
    # Cranfield has two documents without a text, which no system can find.
    rows = read_documents([folder], ReadSettings(metadata_fields=(), on_error="skip"))
    documents = {document.id: document for document in rows}
    candidates = Run()
    if chosen.given:
        candidates = given_run(folder / chosen.given)
    elif chosen.own:
        candidates = Run({query: dict.fromkeys(grades, 0.0) for query, grades in found.qrels.grades.items()})
    return Loaded(documents, found.queries, found.qrels, candidates)


def sample(queries: Sequence[Query], most: int, seed: int) -> tuple[Query, ...]:
    """At most so many queries, always the same ones: the first by a hash of seed and id."""
    if len(queries) <= most:
        return tuple(queries)
    return tuple(sorted(queries, key=lambda query: hashlib.sha256(f"{seed} {query.id}".encode()).digest())[:most])


def given_run(path: Path) -> Run:
    """A set's own run."""
    found: dict[str, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, _, score = line.split("\t")
        found.setdefault(query, {})[document] = float(score)
    return Run(found)


def _lists(path: Path) -> Loaded:
    """Each question's own answers; questions with right answers only, or wrong ones only, are left out, as is usual."""
    lists = [one for one in read_candidates(path) if 0 < sum(map(bool, one.grades)) < len(one.grades)]
    documents: dict[str, Document] = {}
    grades: dict[str, dict[str, int]] = {}
    for one in lists:
        ids = [f"{one.id}-{place}" for place in range(len(one.candidates))]
        documents |= {id: Document(id, text) for id, text in zip(ids, one.candidates, strict=True)}
        grades[one.id] = dict(zip(ids, one.grades, strict=True))
    queries = tuple(Query(one.id, one.query) for one in lists)
    return Loaded(documents, queries, Qrels(grades), Run({id: dict.fromkeys(each, 0.0) for id, each in grades.items()}))
