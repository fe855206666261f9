"""How good the student is while it learns: by retrieval, by similarity of pairs, or by ranking candidates."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from retr.encoders.objectives.scores import Scored, gives_scores, scores_by_student
from retr.encoders.objectives.similarity import Similarity, every_pair, row_by_row
from retr.encoders.trainable.student import Student
from retr.encoders.training.rows import Rows, RowsSettings
from retr.retrieval.errors import BadInput
from retr.retrieval.evaluation.pairs import evaluate_pairs
from retr.retrieval.evaluation.ranking import evaluate, parse_metric
from retr.retrieval.evaluation.reading.beir import open_beir
from retr.retrieval.evaluation.similarity import CORRELATIONS, evaluate_similarity
from retr.retrieval.records import Document
from retr.retrieval.runs import Qrels, Run, ranked

TEXTS_AT_ONCE = 64
PAIR_METRICS = (*CORRELATIONS, "auc")
"""Of pairs with a label; auc where it is 0 or 1."""


@dataclass(frozen=True, slots=True)
class ValidationSettings:
    """What is measured, of which higher is better; exactly one of `beir` and `rows`.

    `beir` is a folder of corpus, queries and qrels of `split`: every document is ranked by its vector, or, with `run`,
    a file of what a first stage found, the first `depth` of each query by the student's scores; a student without
    vectors needs that. `rows` are files like those of training: with a label, `metric` is spearman or pearson of the
    student's scores with it, or auc where it is 0 or 1; with negatives, it is a metric of the ranking of each row's
    positive among them, such as mrr@10.
    """

    beir: Path | None = None
    split: str = "dev"
    run: Path | None = None
    depth: int = 30
    rows: RowsSettings | None = None
    metric: str = "ndcg@10"
    student: Scored = "auto"
    similarity: Similarity = "cosine"

    def __post_init__(self) -> None:
        """Refuse both or neither, and a metric that does not fit."""
        if (self.beir is None) == (self.rows is None):
            raise BadInput("Give exactly one of beir, a folder, and rows, a table like that of the training data.")
        if self.run is not None and self.beir is None:
            raise BadInput("run is a first stage's and needs beir, the folder of its queries. Name that, or leave it.")
        if self.depth < 1:
            raise BadInput(f"depth is {self.depth}; give at least 1.")
        if self.of_pairs != (self.metric in PAIR_METRICS):
            known = ", ".join(PAIR_METRICS) if self.of_pairs else "such as ndcg@10 or mrr@10"
            raise BadInput(f"metric is {self.metric!r}, which does not fit this validation. Accepted: {known}.")
        if not self.of_pairs:
            parse_metric(self.metric)

    @property
    def of_pairs(self) -> bool:
        """Whether the data is pairs with a grade."""
        return self.rows is not None and self.rows.label is not None


Floats64 = NDArray[np.float64]
Validation = Callable[[Student], float]
"""From a student to one number, higher is better; the student's mode and gradients are seen to by the caller."""


def make_validation(settings: ValidationSettings, folder: Path) -> Validation:
    """Read the data now, so that what is wrong with it is said before training; `folder` holds what is read."""
    if settings.beir is not None:
        kind = _Retrieval if settings.run is None else _Reranking
        return kind(settings, settings.beir)
    assert settings.rows is not None
    rows = Rows(settings.rows, folder)
    return _Pairs(settings, rows) if settings.of_pairs else _Candidates(settings, rows)


def measure_pairs(metric: str, scores: Floats64, labels: Floats64) -> float:
    """One of `PAIR_METRICS` of float64 [pairs] scores and labels; BadInput for labels that it is not defined for."""
    if metric == "auc":
        return evaluate_pairs(scores, labels).auc
    return evaluate_similarity(scores, labels).means[metric]


def measure(validation: Validation, student: Student) -> float:
    """The validation without dropout and gradients; the student's modules are in the modes they were in afterwards."""
    modes = [(part, part.training) for part in student.module.modules()]
    student.module.eval()
    try:
        with torch.no_grad():
            return validation(student)
    finally:
        for part, mode in modes:
            part.training = mode


class _Retrieval:
    """Every query against every document, exactly."""

    def __init__(self, settings: ValidationSettings, folder: Path) -> None:
        self._settings = settings
        self._data = open_beir(folder, settings.split)
        self._documents = {document.id: _text(document) for document in self._data.documents()}

    def __call__(self, student: Student) -> float:
        documents = _in_parts(student.encode_documents, list(self._documents.values()))
        queries = _in_parts(student.encode_queries, [query.text for query in self._data.queries])
        names, run = list(self._documents), {}
        _, cut = parse_metric(self._settings.metric)
        keep = min(max(cut or 1000, 100), len(names))
        for query, vector in zip(self._data.queries, queries, strict=True):
            found = every_pair(vector[None], documents, self._settings.similarity)[0].topk(keep)
            run[query.id] = {
                names[at]: score for at, score in zip(found.indices.tolist(), found.values.tolist(), strict=True)
            }
        return evaluate(Run(run), self._data.qrels, [self._settings.metric]).means[self._settings.metric]


class _Reranking:
    """What a first stage found for each query, in the order of the student's scores."""

    def __init__(self, settings: ValidationSettings, folder: Path) -> None:
        assert settings.run is not None
        self._settings, self._data = settings, open_beir(folder, settings.split)
        found = Run.load(settings.run).scores
        self._candidates = {query.id: ranked(found.get(query.id, {}))[: settings.depth] for query in self._data.queries}
        wanted = set(chain.from_iterable(self._candidates.values()))
        if not wanted:
            raise BadInput(f"{settings.run} has no query of {folder}, split {settings.split}. Give a run of these.")
        self._texts = {document.id: _text(document) for document in self._data.documents() if document.id in wanted}
        if missing := sorted(wanted - self._texts.keys()):
            raise BadInput(f"{settings.run} found {missing[0]!r}, which {folder} does not hold. Give a run over it.")

    def __call__(self, student: Student) -> float:
        run: dict[str, dict[str, float]] = {}
        for query in self._data.queries:
            ids = self._candidates[query.id]
            scores = student.score([query.text], [[self._texts[id] for id in ids]])[0].tolist() if ids else []
            run[query.id] = dict(zip(ids, scores, strict=True))
        return evaluate(Run(run), self._data.qrels, [self._settings.metric]).means[self._settings.metric]


class _Pairs:
    """The scores of pairs beside people's."""

    def __init__(self, settings: ValidationSettings, rows: Rows) -> None:
        self._settings, self._rows = settings, rows

    def __call__(self, student: Student) -> float:
        scores: list[float] = []
        labels: list[float] = []
        for batch in self._rows.every(TEXTS_AT_ONCE):
            labels += batch.labels or ()
            if gives_scores(student, self._settings.student):
                scores += torch.cat(student.score(batch.queries, [[text] for text in batch.positives])).tolist()
            else:
                left, right = student.encode_queries(batch.queries), student.encode_documents(batch.positives)
                scores += row_by_row(left, right, self._settings.similarity).tolist()
        return measure_pairs(self._settings.metric, np.array(scores), np.array(labels))


class _Candidates:
    """The positive of each row among its negatives."""

    def __init__(self, settings: ValidationSettings, rows: Rows) -> None:
        self._settings, self._rows = settings, rows

    def __call__(self, student: Student) -> float:
        run: dict[str, dict[str, float]] = {}
        for batch in self._rows.every(TEXTS_AT_ONCE):
            for row in scores_by_student(student, batch, self._settings.student, self._settings.similarity):
                run[str(len(run))] = {f"{at}": score for at, score in enumerate(row.tolist())}
        qrels = Qrels({name: {"0": 1} for name in run})
        return evaluate(Run(run), qrels, [self._settings.metric]).means[self._settings.metric]


def _text(document: Document) -> str:
    return f"{document.title} {document.text}".strip()


def _in_parts(encode: Callable[[list[str]], torch.Tensor], texts: list[str]) -> torch.Tensor:
    starts = range(0, len(texts), TEXTS_AT_ONCE)
    return torch.cat([encode(texts[start : start + TEXTS_AT_ONCE]) for start in starts])
