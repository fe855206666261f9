"""The sample corpus: whole, readable, and what its README says."""

from collections import Counter

from retr.retrieval.corpus import ReadReport, read_documents, read_queries
from retr.retrieval.sample import sample_folder


def judgements() -> list[tuple[str, str, str]]:
    lines = (sample_folder() / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "query-id\tcorpus-id\tscore"
    return [tuple(line.split("\t")) for line in lines[1:]]  # type: ignore[misc]


def test_every_document_is_read_and_has_an_id_of_its_own() -> None:
    report = ReadReport()
    documents = list(read_documents([sample_folder()], None, report))
    assert len({document.id for document in documents}) == len(documents) == report.documents == 402
    assert report.problems == [] and report.notes == []
    assert report.bytes == report.bytes_total > 0


def test_every_document_has_a_title_a_topic_and_its_source() -> None:
    for document in read_documents([sample_folder()]):
        assert document.title and document.text
        assert set(document.metadata) == {"source", "topic", "medquad_id"}


def test_some_documents_are_too_long_for_one_passage() -> None:
    longer = [document.id for document in read_documents([sample_folder()]) if len(document.text.split()) > 256]
    assert 50 < len(longer) < 200


def test_every_question_has_an_answer_among_the_documents() -> None:
    ids = {document.id for document in read_documents([sample_folder()])}
    answered = Counter(query for query, document, grade in judgements() if document in ids and grade == "1")
    assert sum(answered.values()) == len(judgements())
    assert set(answered) == {query.id for query in read_queries(sample_folder())}
    assert len(answered) == 60


def test_the_sample_is_small_and_says_where_it_comes_from() -> None:
    folder = sample_folder()
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 500_000
    assert "CC BY 4.0" in (folder / "README.md").read_text(encoding="utf-8")
