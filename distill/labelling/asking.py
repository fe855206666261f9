"""A teacher asked about every row of training data, once, and gone on with where it was cut off."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from retr.distill.labelling.keys import Side, listed_id, pair_id, text_id
from retr.distill.labelling.store import Facts, Labels, writing
from retr.distill.labelling.teachers import Averaged, Question, Scale, Teacher, vectors_of
from retr.encoders.training.batches import Batch
from retr.encoders.training.rows import Rows
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder

Report = Callable[[str, int, int], object]
"""What is counted, how many are done, of how many."""

Missing = Callable[[Sequence[str]], set[str]]
"""Those of some ids that have no label yet."""


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How teachers are asked. `scale` is what becomes of each one's score before their mean is taken.

    `symmetric` takes both orders of a pair for one. A part of `part` labels is what a kill can cost at most.
    """

    scale: Scale = "raw"
    symmetric: bool = False
    part: int = 4096

    def __post_init__(self) -> None:
        """Refuse parts of nothing."""
        if self.part < 1:
            raise BadInput(f"part is {self.part}; give the labels of a file, at least 1.")


ROWS_AT_ONCE = 256


def label_pairs(
    rows: Rows,
    teachers: Sequence[Teacher],
    folder: Path,
    settings: LabelSettings | None = None,
    report: Report = lambda unit, done, total: None,
) -> Labels:
    """The mean of the teachers' scores of each query with its positive and negatives, by the pair's id.

    What the folder holds already is not asked again. Mismatch where that is another teacher's, or of another scale.
    """
    settings = settings or LabelSettings()
    if not teachers:
        raise BadInput("There is no teacher. Name at least one.")
    teacher = Averaged(tuple(teachers), settings.scale)
    listed = not teacher.comparable
    facts = Facts(
        "scores", teacher.name, teacher.fingerprint, teacher.width, settings.scale, settings.symmetric, listed
    )

    def labels_of(batch: Batch, missing: Missing) -> dict[str, Floats]:
        ids = ids_of(batch, facts)
        questions, keys = _questions(batch, ids, missing([id for row in ids for id in row]), whole=listed)
        found: dict[str, Floats] = {}
        for row, values in zip(keys, teacher.answer(questions), strict=True):
            found |= dict(zip(row, values, strict=True))
        return found

    return _ask(rows, facts, folder, settings.part, labels_of, report)


def label_texts(
    rows: Rows,
    encoder: Encoder,
    folder: Path,
    *,
    name: str,
    part: int = 4096,
    report: Report = lambda unit, done, total: None,
) -> Labels:
    """The encoder's vectors of every query and every document of the rows, by the text's id and side."""
    facts = Facts("vectors", name, encoder.fingerprint, encoder.dim)

    def labels_of(batch: Batch, missing: Missing) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        for side, texts in sides_of(batch):
            ids = {text_id(text, side): text for text in texts}
            wanted = missing(list(ids))
            asked = {id: text for id, text in ids.items() if id in wanted}
            if asked:
                found |= dict(zip(asked, vectors_of(encoder, list(asked.values()), side), strict=True))
        return found

    return _ask(rows, facts, folder, part, labels_of, report)


def ids_of(batch: Batch, facts: Facts) -> list[list[str]]:
    """For each row the ids of its positive and its negatives."""
    if facts.listed:
        pairs = zip(batch.queries, batch.candidates, strict=True)
        return [[listed_id(query, texts, text) for text in texts] for query, texts in pairs]
    return [
        [pair_id(query, text, symmetric=facts.symmetric) for text in texts]
        for query, texts in zip(batch.queries, batch.candidates, strict=True)
    ]


def sides_of(batch: Batch) -> tuple[tuple[Side, list[str]], tuple[Side, list[str]]]:
    """The texts of a batch that are queries, and those that are documents, each once, in order."""
    documents = dict.fromkeys(text for texts in batch.candidates for text in texts)
    return ("queries", list(dict.fromkeys(batch.queries))), ("documents", list(documents))


def _questions(
    batch: Batch, ids: list[list[str]], missing: set[str], *, whole: bool
) -> tuple[list[Question], list[list[str]]]:
    """What to ask for, and the ids of the answers: each missing pair once, or whole lists with a missing one."""
    questions: list[Question] = []
    keys: list[list[str]] = []
    for query, texts, row in zip(batch.queries, batch.candidates, ids, strict=True):
        wanted = {id: text for id, text in zip(row, texts, strict=True) if id in missing}
        if not wanted:
            continue
        missing -= wanted.keys()
        asked = dict(zip(row, texts, strict=True)) if whole else wanted
        questions.append(Question(query, tuple(asked.values())))
        keys.append(list(asked))
    return questions, keys


def _ask(
    rows: Rows,
    facts: Facts,
    folder: Path,
    part: int,
    labels_of: Callable[[Batch, Missing], dict[str, Floats]],
    report: Report,
) -> Labels:
    """Parts end where a batch ends, so a run that goes on asks in the very groups of one that was not cut off."""
    with writing(folder, facts) as writer:
        found: dict[str, Floats] = {}
        done = 0

        def missing(ids: Sequence[str]) -> set[str]:
            return writer.missing(ids) - found.keys()

        for batch in rows.every(ROWS_AT_ONCE):
            found |= labels_of(batch, missing)
            done += len(batch)
            if len(found) >= part or done == rows.count:
                writer.add(found)
                found = {}
            report("rows labelled", done, rows.count)
        writer.finish(rows.hashes)
    return Labels(folder)
