"""Judgements given on the page: BEIR qrels and the questions they are about, in two files beside the index."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from retr.retrieval.errors import BadInput
from retr.retrieval.runs import Qrels

HEADER = "query-id\tcorpus-id\tscore\n"
MOST_JUDGEMENTS = 100_000
_ID_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Judgements:
    """`qrels` has lines `query-id TAB corpus-id TAB score`, `queries` lines `{"_id", "text"}`.

    The two are what `retr search --queries` and `retr eval --qrels` read. Both are replaced whole, under a lock, so
    that several workers may write and a reader never sees half a file.
    """

    qrels: Path

    @classmethod
    def beside(cls, index: Path) -> "Judgements":
        """Those next to an index folder: `NAME.qrels.tsv` and `NAME.queries.jsonl`."""
        folder = index.resolve()
        return cls(folder.with_name(f"{folder.name}.qrels.tsv"))

    @property
    def queries(self) -> Path:
        """The file of questions."""
        return self.qrels.with_name(f"{self.qrels.name.removesuffix('.tsv').removesuffix('.qrels')}.queries.jsonl")

    def put(self, query: str, document: str, grade: int | None) -> None:
        """Keep a grade of a document for a question; None takes it back. On disk when this returns."""
        text, id = _one_line(query), query_id(query)
        if any(ord(character) < 32 for character in document):
            raise BadInput(f"The document id {document!r} has a tab or line break, which a qrels file cannot hold.")
        with self._locked():
            grades, texts = self._grades(), self._texts()
            row = dict(grades.get(id, {}))
            row.pop(document, None)
            if grade is not None:
                row[document] = grade
            grades = {**grades, id: row}
            if sum(map(len, grades.values())) > MOST_JUDGEMENTS:
                raise BadInput(f"{MOST_JUDGEMENTS} judgements are kept already, which is the most. Start another file.")
            judged = {one: row for one, row in grades.items() if row}
            _replace(self.queries, _jsonl({**texts, id: text}, judged))
            _replace(self.qrels, HEADER + "".join(_lines(judged)))

    def of(self, query: str) -> dict[str, int]:
        """The grades given for a question, by document."""
        return dict(self._grades().get(query_id(query), {}))

    def _grades(self) -> Mapping[str, Mapping[str, int]]:
        return Qrels.load(self.qrels).grades if self.qrels.exists() else {}

    def _texts(self) -> dict[str, str]:
        if not self.queries.exists():
            return {}
        rows = (json.loads(line) for line in self.queries.read_text(encoding="utf-8").splitlines() if line.strip())
        return {str(row["_id"]): str(row["text"]) for row in rows}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        file = os.open(self.qrels.with_name(f".{self.qrels.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)


def query_id(query: str) -> str:
    """A question's id: the same for the same words, whatever the space between them."""
    return "q-" + hashlib.sha256(_one_line(query).encode()).hexdigest()[:_ID_CHARACTERS]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _lines(grades: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for id, row in grades.items():
        for document, grade in row.items():
            yield f"{id}\t{document}\t{grade}\n"


def _jsonl(texts: Mapping[str, str], judged: Mapping[str, object]) -> str:
    rows = ({"_id": id, "text": text} for id, text in texts.items() if id in judged)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _replace(path: Path, text: str) -> None:
    """The file with this content, or as it was."""
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
