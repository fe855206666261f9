"""Test sets from files: what is read, and what is refused by file and line."""

import gzip
import json
from pathlib import Path

import pytest

from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.evaluation.reading.beir import CorpusReport, open_beir
from retr.retrieval.evaluation.reading.candidates import read_candidates
from retr.retrieval.evaluation.reading.evidence import read_evidence
from retr.retrieval.evaluation.reading.pairs import read_pairs
from retr.retrieval.evaluation.reading.rows import read_rows


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.tsv", 'a\tb\n1\t"x\n2\ty\n'),
        ("t.tsv.gz", '\ufeffa\tb\r\n1\t"x\r\n\r\n2\ty\r\n'),
        ("t.csv", 'a,b\n1,"""x"\n2,y\n'),
        ("t.jsonl", '{"a": "1", "b": "\\"x"}\n\n{"a": "2", "b": "y"}\n'),
        ("t.json", '[{"a": "1", "b": "\\"x"}, {"a": "2", "b": "y"}]'),
    ],
)
def test_every_kind_of_table_gives_the_same_rows(tmp_path: Path, name: str, text: str) -> None:
    rows = read_rows(write(tmp_path / name, text))
    assert [dict(row.cells) for row in rows] == [{"a": "1", "b": '"x'}, {"a": "2", "b": "y"}]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.tsv", "a\tb\n1\n", "t.tsv:2: 1 cells, but the header has 2"),
        ("t.tsv", "a\ta\n", "names 'a' more than once"),
        ("t.tsv", "a\tb\n", "no rows in it"),
        ("t.csv", 'a,b\n1,"x\n', "unexpected end"),
        ("t.jsonl", '{"a": 1}\n{\n', "t.jsonl:2: broken JSON"),
        ("t.json", '{"a": 1}', "no list of objects"),
        ("t.json", "[", "not valid JSON"),
        ("t.parquet", "PAR1", "is no table that is read here"),
        ("t.tsv.gz", "a\tb\n1\t2\n", ""),
    ],
)
def test_a_broken_table_is_refused_by_file_and_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = write(tmp_path / name, text)
    if name.endswith(".gz"):
        path.write_bytes(path.read_bytes()[:-9])
        said = "cannot be read"
    with pytest.raises(BadInput, match=said):
        read_rows(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="No file or folder"):
        read_rows(tmp_path / "t.tsv")


def test_pairs_with_scores_are_similarity_and_files_are_joined(tmp_path: Path) -> None:
    one = write(tmp_path / "1.tsv", "pair_id\tsentence1\tsentence2\tscore\n7\ta\tb\t2.5\n")
    other = write(tmp_path / "2.jsonl", '{"text1": "c", "text2": " d", "score": 4}\n')
    pairs = read_pairs([one, other])
    assert (pairs.task, pairs.left, pairs.right, pairs.values) == ("sts", ("a", "c"), ("b", "d"), (2.5, 4.0))
    assert pairs.ids == ("1", "2")


def test_pairs_with_labels_are_classes(tmp_path: Path) -> None:
    pairs = read_pairs([write(tmp_path / "t.csv", "question,sentence,label\nq,s,1\nq,t,False\n")])
    assert (pairs.task, pairs.values) == ("pairs", (1, 0))


def test_the_task_chooses_between_a_score_and_a_label(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "sentence1\tsentence2\tscore\tlabel\na\tb\t3\t1\n")
    assert read_pairs([path]).values == (3.0,)
    assert read_pairs([path], task="pairs").values == (1,)


def test_columns_may_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", "x\ty\tz\na\tb\t3\n")
    assert read_pairs([path], task="sts", columns=["y", "x", "z"]).left == ("b",)
    with pytest.raises(BadInput, match="task must be given"):
        read_pairs([path], columns=["y", "x", "z"])
    with pytest.raises(BadInput, match="no column of that name"):
        read_pairs([path], task="sts", columns=["y", "x", "w"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x\ty\tscore\na\tb\t1\n", "no two columns of texts"),
        ("text1\ttext2\tn\na\tb\t1\n", "no score or label"),
        ("text1\ttext2\tscore\na\t \t1\n", "t.tsv:2: no text in 'text2'"),
        ("text1\ttext2\tscore\na\tb\thigh\n", "t.tsv:2: 'score' is 'high'"),
        ("text1\ttext2\tscore\na\tb\tnan\n", "a finite number is needed"),
        ("text1\ttext2\tlabel\na\tb\t2\n", "t.tsv:2: 'label' is '2'"),
    ],
)
def test_bad_pairs_are_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_pairs([write(tmp_path / "t.tsv", text)])


def test_files_of_different_meaning_are_not_joined(tmp_path: Path) -> None:
    one = write(tmp_path / "1.tsv", "text1\ttext2\tscore\na\tb\t1\n")
    other = write(tmp_path / "2.tsv", "text1\ttext2\tlabel\na\tb\t1\n")
    with pytest.raises(BadInput, match=r"2.tsv:2: no column of scores"):
        read_pairs([one, other])
    with pytest.raises(BadInput, match="No file of pairs"):
        read_pairs([])


def test_a_row_may_be_a_list_of_candidates(tmp_path: Path) -> None:
    rows = [
        {"_id": "a", "context": "q", "candidates": ["x", "y", "z"], "label": 2},
        {"_id": "b", "context": "p", "candidates": ["x", "y"], "label": [1, 0]},
    ]
    first, second = read_candidates(write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows))))
    assert (first.id, first.query, first.candidates, first.grades) == ("a", "q", ("x", "y", "z"), (0, 0, 1))
    assert second.grades == (1, 0)


def test_a_row_may_be_a_candidate(tmp_path: Path) -> None:
    text = "qid\tquestion\tanswer\tlabel\n1\tq\tx\t0\n2\tp\ty\t1\n1\tq\tz\t1\n"
    first, second = read_candidates(write(tmp_path / "t.tsv", text))
    assert (first.id, first.candidates, first.grades) == ("1", ("x", "z"), (0, 1))
    assert (second.query, second.grades) == ("p", (1,))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"query": "q", "candidates": ["x"], "label": 0}], "has 1 candidates"),
        ([{"query": "q", "candidates": "x", "label": 0}], "no list of texts"),
        ([{"query": "q", "candidates": ["x", " "], "label": 0}], "no list of texts"),
        ([{"query": "q", "candidates": ["x", "y"], "label": 2}], "'label' is 2, but there are 2"),
        ([{"query": "q", "candidates": ["x", "y"], "label": [1]}], "1 grades for 2 candidates"),
        ([{"query": "q", "candidates": ["x", "y"], "label": "best"}], "'best'; a whole number"),
        ([{"query": "q", "candidates": ["x", "y"], "label": 0.5}], "a whole number"),
        ([{"query": "", "candidates": ["x", "y"], "label": 0}], "no text in 'query'"),
        ([{"query": "q", "label": 0}], "no candidates or answer"),
        ([{"query": "q", "candidates": ["x", "y"]}], "no label"),
        ([{"id": 1, "query": "q", "candidates": ["x", "y"], "label": 0}] * 2, "'1' comes twice"),
        ([{"qid": 1, "query": q, "answer": "x", "label": 0} for q in "pq"], "another 'query'"),
    ],
)
def test_bad_candidates_are_refused(tmp_path: Path, rows: list[object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_candidates(write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows))))


def test_evidence_is_read_as_multihop_rag_gives_it(tmp_path: Path) -> None:
    rows = [
        {"query": "q", "evidence_list": [{"fact": "f", "title": "t"}, {"fact": "g"}]},
        {"query": "p", "evidence_list": []},
    ]
    first, second = read_evidence(write(tmp_path / "t.json", json.dumps(rows)))
    assert (first.id, first.text, first.facts) == ("1", "q", ("f", "g"))
    assert second.facts == ()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"query": "q"}], "no facts"),
        ([{"query": "q", "facts": "f"}], "item 1: 'facts' is no list"),
        ([{"query": "q", "facts": [{"text": "f"}]}], "something that is no fact"),
        ([{"id": "a", "query": "q", "facts": ["f"]}] * 2, "'a' comes twice"),
    ],
)
def test_bad_evidence_is_refused(tmp_path: Path, rows: list[object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        read_evidence(write(tmp_path / "t.json", json.dumps(rows)))


def beir(folder: Path) -> Path:
    write(folder / "corpus.jsonl", '{"_id": "d1", "title": "t", "text": "x", "year": 1}\n')
    write(folder / "queries.jsonl", '{"_id": "q1", "text": "one"}\n{"_id": "q2", "text": "two"}\n')
    write(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq2\td1\t1\n")
    return folder


def test_a_beir_folder_gives_its_judged_queries_and_documents(tmp_path: Path) -> None:
    found = open_beir(beir(tmp_path))
    assert [query.text for query in found.queries] == ["two"]
    assert [(one.id, one.title, one.text, dict(one.metadata)) for one in found.documents()] == [("d1", "t", "x", {})]


def test_documents_without_a_text_are_left_out_and_counted_but_nothing_else_is(tmp_path: Path) -> None:
    folder = beir(tmp_path)
    lines = ['{"_id": "d1", "text": "x"}', '{"_id": "d2", "title": "", "text": ""}', '{"_id": "d3", "text": "y"}']
    write(folder / "corpus.jsonl", "\n".join(lines))
    report = CorpusReport()
    assert [one.id for one in open_beir(folder).documents(report)] == ["d1", "d3"]
    assert report.skipped == 1
    write(folder / "corpus.jsonl", "\n".join([*lines, "{"]))
    with pytest.raises(BadInput, match=r"corpus\.jsonl:4: broken JSON.*Put the corpus right"):
        list(open_beir(folder).documents())


def test_a_split_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Splits there: test; name one with --split"):
        open_beir(beir(tmp_path), "dev")


def test_what_is_no_beir_folder_is_said(tmp_path: Path) -> None:
    folder = beir(tmp_path / "d")
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(NotFound, match=r"No corpus\.jsonl"):
        open_beir(folder).documents()
    with pytest.raises(BadInput, match="is a file"):
        open_beir(folder / "queries.jsonl")
    write(folder / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\nq9\td1\t1\n")
    with pytest.raises(Mismatch, match="the queries have 'q1', the qrels 'q9'"):
        open_beir(folder)
