"""Questions with the facts that their answers rest on, as MultiHop-RAG gives them."""

from dataclasses import dataclass
from pathlib import Path

from retr.retrieval.evaluation.reading.rows import Row, column, found_column, read_rows

QUESTIONS = ("query", "question", "text")
FACTS = ("evidence_list", "facts", "evidence", "gold_list")
IDS = ("_id", "id", "qid")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the facts to be found for it; none for a question that nothing answers."""

    id: str
    text: str
    facts: tuple[str, ...]


def read_evidence(path: str | Path) -> list[Question]:
    """The questions of a JSON list or of JSON lines: `query`, and `evidence_list` of texts or of `{"fact": text}`.

    An id is the row's number where there is none. BadInput names file and line of the first thing wrong.
    """
    rows = read_rows(path)
    text, facts, id = column(rows, QUESTIONS, "query"), column(rows, FACTS, "facts"), found_column(rows, IDS)
    questions: dict[str, Question] = {}
    for number, row in enumerate(rows, start=1):
        key = str(number if id is None else row.cells.get(id))
        if key in questions:
            raise row.refuse(f"the id {key!r} comes twice. Give each question an id of its own.")
        questions[key] = Question(key, row.text(text), _facts(row, facts))
    return list(questions.values())


def _facts(row: Row, name: str) -> tuple[str, ...]:
    given = row.cells.get(name)
    if not isinstance(given, list):
        raise row.refuse(f"{name!r} is no list. Write the facts as a JSON list.")
    facts = [item.get("fact") if isinstance(item, dict) else item for item in given]
    for fact in facts:
        if not isinstance(fact, str) or not fact.strip():
            raise row.refuse(f"{name!r} holds something that is no fact: a text, or an object with a text as 'fact'.")
    return tuple(str(fact) for fact in facts)
