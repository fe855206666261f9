"""Lists of candidates with the right ones marked, from JSON lines or tables: response selection and reranking sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retr.retrieval.errors import BadInput
from retr.retrieval.evaluation.reading.rows import Row, column, found_column, read_rows

QUERIES = ("context", "query", "question", "text")
IDS = ("qid", "query_id", "query-id", "_id", "id")
CANDIDATES = ("candidates", "options", "responses")
ANSWERS = ("answer", "candidate", "response", "passage", "document", "sentence")
LABELS = ("label", "labels", "answer_index", "relevance")


@dataclass(frozen=True, slots=True)
class CandidateList:
    """One query with its candidates and a grade for each: 0 is wrong, more is right."""

    id: str
    query: str
    candidates: tuple[str, ...]
    grades: tuple[int, ...]


def read_candidates(path: str | Path) -> list[CandidateList]:
    """The lists of a file, in order.

    Either a row is a list: `context`, `candidates` and `label`, the number of the right one counted from 0 or a grade
    for each. Or a row is a candidate: `qid`, `question`, `answer`, `label`, rows of one id being a list.
    BadInput names file and line of the first thing wrong.
    """
    rows = read_rows(path)
    query = column(rows, QUERIES, "query")
    label = column(rows, LABELS, "label")
    id = found_column(rows, IDS)
    if (many := found_column(rows, CANDIDATES)) is not None:
        return _unique([_whole(row, number, (id, query, many, label)) for number, row in enumerate(rows, start=1)])
    return _grouped(rows, id or query, query, column(rows, ANSWERS, "candidates or answer"), label)


def _whole(row: Row, number: int, names: tuple[str | None, str, str, str]) -> CandidateList:
    id, query, many, label = names
    candidates = row.cells.get(many)
    if not isinstance(candidates, list) or not all(isinstance(text, str) and text.strip() for text in candidates):
        raise row.refuse(f"{many!r} is no list of texts. Write it as a JSON list of strings.")
    if len(candidates) < 2:
        raise row.refuse(f"{many!r} has {len(candidates)} candidates; a choice needs 2.")
    named = number if id is None else row.cells.get(id)
    return CandidateList(str(named), row.text(query), tuple(candidates), _grades(row, label, len(candidates)))


def _grades(row: Row, label: str, count: int) -> tuple[int, ...]:
    given = row.cells.get(label)
    if isinstance(given, list):
        if len(given) != count:
            raise row.refuse(f"{label!r} has {len(given)} grades for {count} candidates. Give one for each.")
        return tuple(_grade(row, label, grade) for grade in given)
    place = _grade(row, label, given)
    if not 0 <= place < count:
        raise row.refuse(f"{label!r} is {place}, but there are {count} candidates, counted from 0.")
    return tuple(int(number == place) for number in range(count))


def _grade(row: Row, label: str, given: object) -> int:
    try:
        grade = int(given)  # type: ignore[call-overload]
        if isinstance(given, str | bool) or grade == given:
            return int(grade)
    except (TypeError, ValueError, OverflowError):
        pass
    raise row.refuse(f"{label!r} holds {str(given)[:40]!r}; a whole number is needed.")


def _grouped(rows: Sequence[Row], id: str, query: str, answer: str, label: str) -> list[CandidateList]:
    lists: dict[str, list[tuple[str, int]]] = {}
    queries: dict[str, str] = {}
    for row in rows:
        key = str(row.cells.get(id))
        asked = queries.setdefault(key, row.text(query))
        if asked != row.text(query):
            raise row.refuse(f"the id {key!r} has another {query!r} than above. Give each query an id of its own.")
        lists.setdefault(key, []).append((row.text(answer), _grade(row, label, row.cells.get(label))))
    return [
        CandidateList(key, queries[key], tuple(text for text, _ in given), tuple(grade for _, grade in given))
        for key, given in lists.items()
    ]


def _unique(lists: list[CandidateList]) -> list[CandidateList]:
    seen: set[str] = set()
    for each in lists:
        if each.id in seen:
            raise BadInput(f"The list {each.id!r} comes twice. Give each list an id of its own.")
        seen.add(each.id)
    return lists
