"""A static student of any encoder: the teacher's vector of each word, reduced, weighted, and fitted to a corpus.

After model2vec (Minish Lab, 2024): vocabulary through the teacher, principal components, weights by frequency. What the
corpus adds stands in `vocabulary` (whole words) and `fitting`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retr.distill.folder import check_new, new_folder
from retr.distill.static import weighting
from retr.distill.static.corpus import CorpusFacts, read_corpus
from retr.distill.static.figures import agreement
from retr.distill.static.fitting import Passages, fit
from retr.distill.static.projection import Projection, principal
from retr.distill.static.settings import SIF_ALONE, SIF_FITTED, StaticSettings
from retr.distill.static.vocabulary import bare, missing_words, texts_of, token_counts, widened
from retr.encoders.static.encoder import load
from retr.encoders.static.words import Words
from retr.encoders.static.writing import StaticModel, write_static
from retr.retrieval.corpus import read_documents
from retr.retrieval.embeddings import Floats, Vectors, check_finite
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder, TokenAware
from retr.retrieval.records import Document
from retr.retrieval.sample import sample_folder
from retr.retrieval.stamps import sha256_of
from retr.retrieval.version import VERSION

TEXTS_AT_ONCE = 256
MOST_TOKENS = 1 << 16
RECORD = "retr.json"

Report = Callable[[str, int, int], None]
"""What is counted, how many are done, of how many."""


@dataclass(frozen=True, slots=True, eq=False)
class Student:
    """A static model before it is written: what it is made of, and how much of the teacher's variance it keeps."""

    model: StaticModel
    projection: Projection
    added: Sequence[str]


def distil_static(
    teacher: Encoder,
    out: Path,
    settings: StaticSettings | None = None,
    *,
    documents: Iterable[Document] | None = None,
    seed: int = 0,
    report: Report = lambda unit, done, total: None,
) -> dict[str, Any]:
    """Make the folder `out`, which must be new, and say what is in it: the content of the table in its retr.json.

    The same teacher, settings, seed and documents give the same files. BadInput for a teacher that shows no tokenizer
    or gives a vector a token.
    """
    settings = settings or StaticSettings()
    check_new(out)
    if not isinstance(teacher, TokenAware):
        raise BadInput("This teacher shows no tokenizer, so it has no vocabulary to distil. Give another teacher.")
    if settings.dim > teacher.dim:
        raise BadInput(
            f"dim is {settings.dim}, but the teacher's vectors have {teacher.dim} numbers. Give at most that."
        )
    facts = None
    if documents is not None:
        facts = read_corpus(documents, passages=settings.fit + settings.held_out, seed=seed)
        _check_passages(facts, settings)
    student = make_student(teacher, settings, facts, report)
    with new_folder(out) as folder:
        files = write_static(folder, student.model, settings.storage)
        held_out = facts.passages[: settings.held_out] if facts else _sample(settings.held_out, seed)
        used = _used(teacher, settings, facts, held_out)
        figures = _figures(teacher, folder, held_out, student, report)
        hashes = {path.name: sha256_of(path) for path in files}
        told = {"kind": "static", "retr": VERSION, "seed": seed, **used, "figures": figures, "files": hashes}
        text = json.dumps({"distilled": told}, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / RECORD).write_text(text + "\n", encoding="utf-8")
    return told


def make_student(teacher: Any, settings: StaticSettings, facts: CorpusFacts | None, report: Report) -> Student:
    """The student in memory; `teacher` is an Encoder with a tokenizer."""
    tokenizer = bare(teacher.tokenizer)
    parts = facts.parts if facts else {}
    added = missing_words(tokenizer, parts, most=settings.words, least=settings.least)
    tokenizer = widened(tokenizer, added)
    texts = texts_of(tokenizer)
    rows = np.flatnonzero([bool(text) for text in texts])
    vectors = encoded(teacher, [texts[row] for row in rows], "words", report)
    projection = principal(vectors, settings.dim)
    table = np.zeros((len(texts), projection.basis.shape[1]), np.float32)
    weights = _weights(settings, token_counts(tokenizer, parts, len(texts))[rows] if facts else None, len(rows))
    table[rows] = projection(vectors) * weights[:, None]
    student = Student(StaticModel(table, tokenizer), projection, added)
    if facts is None or not settings.fit:
        return student
    moved = _fitted(teacher, student, facts.passages[settings.held_out :], settings.prior, report)
    return replace(student, model=StaticModel(moved, tokenizer))


def encoded(teacher: Any, texts: Sequence[str], unit: str, report: Report) -> Floats:
    """The teacher's vectors of the texts, float32 [texts, dim], some at a time."""
    found = []
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        vectors = teacher.encode_documents(texts[first : first + TEXTS_AT_ONCE])
        if not isinstance(vectors, Vectors):
            raise BadInput("This teacher gives a vector a token; a static student needs one a text. Give another.")
        check_finite(vectors)
        found.append(vectors.values)
        report(unit, min(first + TEXTS_AT_ONCE, len(texts)), len(texts))
    return np.concatenate(found) if found else np.empty((0, teacher.dim), np.float32)


def _weights(settings: StaticSettings, counts: NDArray[np.int64] | None, rows: int) -> Floats:
    if settings.weighting == "none":
        return np.ones(rows, np.float32)
    if settings.weighting == "zipf":
        return weighting.zipf(rows)
    shares = weighting.zipf_shares(rows) if counts is None else weighting.shares_of(counts)
    alone = counts is None or not settings.fit
    return weighting.sif(shares, settings.sif or (SIF_ALONE if alone else SIF_FITTED))


def _fitted(teacher: Any, student: Student, texts: Sequence[str], prior: float, report: Report) -> Floats:
    """The table, fitted to the teacher's vectors of the passages in the directions that the student has."""
    targets = encoded(teacher, texts, "passages", report) @ student.projection.basis
    targets /= np.maximum(np.linalg.norm(targets, axis=1, keepdims=True), 1e-12)
    ids, lengths = Words(student.model.tokenizer, MOST_TOKENS).ids(texts)
    return fit(student.model.table, Passages(ids, lengths), targets, prior, report)


def _check_passages(facts: CorpusFacts, settings: StaticSettings) -> None:
    least = 2 * settings.held_out if settings.fit else settings.held_out
    if len(facts.passages) < least:
        raise BadInput(
            f"The corpus gives {len(facts.passages):,} different passages; with held_out {settings.held_out} at least "
            f"{least:,} are needed. Give more text, or set held_out to less."
        )


def _sample(passages: int, seed: int) -> list[str]:
    """Passages of the corpus that comes with retr, to measure by where there is no other."""
    return read_corpus(read_documents([sample_folder() / "corpus.jsonl.gz"]), passages=passages, seed=seed).passages


def _figures(
    teacher: Any, folder: Path, texts: Sequence[str], student: Student, report: Report
) -> Mapping[str, int | float]:
    """What was made and how near it comes, measured on the folder as it was written."""
    by_teacher = encoded(teacher, texts, "held-out passages", report)
    by_student = load(str(folder)).encode_documents(texts).values
    by_teacher /= np.maximum(np.linalg.norm(by_teacher, axis=1, keepdims=True), 1e-12)
    rows, dim = student.model.table.shape
    return {
        "rows": rows,
        "dim": dim,
        "words_added": len(student.added),
        "variance_kept": round(student.projection.kept, 4),
        **{name: round(value, 4) for name, value in agreement(by_teacher, by_student).items()},
    }


def _used(
    teacher: Any, settings: StaticSettings, facts: CorpusFacts | None, held_out: Sequence[str]
) -> dict[str, object]:
    """What the student was made from; places on this machine are left out."""
    described: dict[str, Any] = getattr(teacher, "describe", dict)()
    named = described.get("name", type(teacher).__name__)
    measured = {"texts": len(held_out), "of": "the corpus" if facts else "retr's sample corpus"}
    corpus: dict[str, object] = {}
    if facts:
        fitted = max(len(facts.passages) - settings.held_out, 0) if settings.fit else 0
        corpus = {"corpus": {"documents": facts.documents, "sha256": facts.sha256, "passages": fitted}}
    source = {"name": named, "fingerprint": teacher.fingerprint}
    return {"teacher": source, "settings": asdict(settings), **corpus, "held_out": measured}
