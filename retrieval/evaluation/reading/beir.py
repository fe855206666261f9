"""BEIR folders: a corpus, queries and judgements that belong together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from retr.retrieval.corpus import Problem, ReadReport, ReadSettings, read_documents, read_queries
from retr.retrieval.corpus.sources import BEIR_CORPORA, check_exists
from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.records import Document, Query
from retr.retrieval.runs import Qrels

_ENDINGS = (".tsv", ".tsv.gz", ".txt", ".trec", ".json")


class CorpusReport(ReadReport):
    """Counts documents without a text, which test collections have (Cranfield two) and no search can find."""

    def take(self, problem: Problem, on_error: str) -> None:
        """Count the problem when it is an empty text; BadInput for any other."""
        if problem.outcome != "noted" and problem.reason != "empty text":
            raise BadInput(f"{str(problem).rstrip('.')}. Put the corpus right.")
        super().take(problem, "skip")


@dataclass(frozen=True, slots=True)
class BeirFolder:
    """A test collection; `queries` are those that the split judges."""

    folder: Path
    split: str
    queries: tuple[Query, ...]
    qrels: Qrels

    def documents(self, report: CorpusReport | None = None) -> Iterator[Document]:
        """The corpus as a stream, without metadata; what has no text is left out and counted. NotFound without one."""
        if not any((self.folder / name).is_file() for name in BEIR_CORPORA):
            raise NotFound(f"No {' or '.join(BEIR_CORPORA)} in the folder {str(self.folder)!r}. It is needed here.")
        return read_documents([self.folder], ReadSettings(metadata_fields=()), report or CorpusReport())


def open_beir(folder: str | Path, split: str = "test", qrels: Qrels | None = None) -> BeirFolder:
    """Queries and judgements of `qrels/SPLIT.tsv`, unless others are given; the corpus is read when it is asked for.

    NotFound names the splits there are; Mismatch when no judged query is among the queries.
    """
    place = check_exists(str(folder))
    if not place.is_dir():
        raise BadInput(f"{str(folder)!r} is a file; a BEIR folder is needed: corpus.jsonl, queries.jsonl, qrels/.")
    judged = Qrels.load(_judgements(place, split)) if qrels is None else qrels
    return BeirFolder(place, split, judged_queries(read_queries(place), judged), judged)


def judged_queries(queries: list[Query], qrels: Qrels) -> tuple[Query, ...]:
    """The queries that have a judgement, in order; Mismatch when there is none."""
    judged = tuple(query for query in queries if qrels.grades.get(query.id))
    if not judged:
        first = next(iter(qrels), "none")
        raise Mismatch(
            f"No query is judged: the queries have {queries[0].id!r}, the qrels {first!r}. Are they of the same data?"
        )
    return judged


def _judgements(folder: Path, split: str) -> Path:
    for ending in _ENDINGS:
        if (folder / "qrels" / f"{split}{ending}").is_file():
            return folder / "qrels" / f"{split}{ending}"
    there = sorted({path.name.partition(".")[0] for path in (folder / "qrels").glob("*") if path.is_file()})
    named = f"Splits there: {', '.join(there)}; name one with --split." if there else "It has no qrels folder."
    raise NotFound(f"No judgements {split!r} in {str(folder / 'qrels')!r}. {named}")
