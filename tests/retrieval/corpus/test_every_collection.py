"""Every retrieval collection at hand, in BEIR's layout, is read whole: compared with what plain json and csv read.

Texts are kept as they stand; of titles and queries, white space at the ends goes.
"""

import csv
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retr.retrieval.corpus import ReadReport, ReadSettings, read_documents, read_queries
from retr.retrieval.runs import Qrels

DATA = Path(os.environ.get("RETR_DATA", "/nowhere"))
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("RETR_DATA" not in os.environ, reason="set RETR_DATA to the folder of the evaluation corpora"),
]

COLLECTIONS = [
    *("scifact", "msmarco-dl19", "noveleval", "cranfield", "cisi", "med", "medquad", "pubmedqa", "cosqa"),
    *("limit-small", "hotpotqa-mini", "musique-mini"),
]

WITHOUT_SOME = {"msmarco-dl19"}
"""Collections that hold only part of the documents that are judged."""


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file, gzipped or not."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def judgements(path: Path) -> dict[str, dict[str, int]]:
    """The grades of a BEIR file, its header left out."""
    table: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for query, document, grade in list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]:
            table.setdefault(query, {})[document] = int(grade)
    return table


def test_no_collection_in_beirs_layout_is_left_out() -> None:
    assert {path.parent.parent.name for path in DATA.glob("*/qrels/*.tsv")} == set(COLLECTIONS)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_every_document_is_read_as_it_stands(name: str) -> None:
    report = ReadReport()
    documents = read_documents([DATA / name], ReadSettings(on_error="skip"), report)
    read = {one.id: (one.title, one.text) for one in documents}
    wanted = {
        row["_id"]: ((row.get("title") or "").strip(), row["text"]) for row in rows(DATA / name / "corpus.jsonl.gz")
    }
    empty = {id for id, (_, text) in wanted.items() if not text.strip()}
    assert read == {id: both for id, both in wanted.items() if id not in empty}
    assert (report.skipped, report.repaired) == (len(empty), 0)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_every_query_is_read_as_it_stands(name: str) -> None:
    read = {query.id: query.text for query in read_queries(DATA / name)}
    assert read == {row["_id"]: row["text"].strip() for row in rows(DATA / name / "queries.jsonl")}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_every_judgement_is_read_and_is_of_a_query_and_a_document_there_are(name: str) -> None:
    queries = {row["_id"] for row in rows(DATA / name / "queries.jsonl")}
    documents = {row["_id"] for row in rows(DATA / name / "corpus.jsonl.gz")}
    files = sorted((DATA / name / "qrels").glob("*.tsv"))
    assert files
    for path in files:
        grades = Qrels.load(path).grades
        assert grades == judgements(path)
        assert set(grades) <= queries
        judged = {id for of_query in grades.values() for id in of_query}
        assert name in WITHOUT_SOME or judged <= documents
