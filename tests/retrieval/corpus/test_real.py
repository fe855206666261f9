"""Real corpora, where they are at hand: every document and question of them is read."""

import os
from pathlib import Path

import pytest

from retr.retrieval.corpus import ReadReport, ReadSettings, read_documents, read_queries

pytestmark = pytest.mark.data


def corpus(name: str) -> Path:
    if "RETR_DATA" not in os.environ:
        pytest.skip("set RETR_DATA to the folder of the evaluation corpora")
    return Path(os.environ["RETR_DATA"]) / name


def test_scifact_is_read_whole() -> None:
    report = ReadReport()
    documents = list(read_documents([corpus("scifact")], None, report))
    assert (len({document.id for document in documents}), report.skipped, report.repaired) == (5183, 0, 0)
    assert report.bytes == report.bytes_total
    assert len(read_queries(corpus("scifact"))) == 1109


def test_cranfields_empty_documents_are_problems() -> None:
    report = ReadReport()
    count = sum(1 for _ in read_documents([corpus("cranfield")], ReadSettings(on_error="skip"), report))
    assert count + report.skipped == 1400
    assert all(problem.reason == "empty text" for problem in report.problems)
