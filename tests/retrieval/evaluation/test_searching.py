"""Queries to runs, by searches and scorers made for the test."""

from collections.abc import Sequence

import numpy as np
import pytest

from retr.retrieval.errors import Mismatch
from retr.retrieval.evaluation.searching import rerank_run, search_run
from retr.retrieval.records import Document, Hit, Query
from retr.retrieval.runs import Run, ranked

QUERIES = [Query("1", "one"), Query("2", "two"), Query("3", "three")]


def test_queries_are_searched_in_parts_and_keep_their_ids() -> None:
    asked, done = [], []

    def search(texts: list[str]) -> list[list[Hit]]:
        asked.append(texts)
        return [[Hit(f"d-{text}", 2.0), Hit("x", 1.0)] for text in texts]

    run = search_run(QUERIES, search, at_once=2, watch=done.append)
    assert asked == [["one", "two"], ["three"]]
    assert done == [2, 1]
    assert run == Run({query.id: {f"d-{query.text}": 2.0, "x": 1.0} for query in QUERIES})


def test_a_document_of_several_passages_has_its_best_score() -> None:
    run = search_run(QUERIES[:1], lambda texts: [[Hit("d", 3.0), Hit("e", 2.0), Hit("d", 1.0)]])
    assert run.scores["1"] == {"d": 3.0, "e": 2.0}


class Longer:
    comparable, fingerprint = True, "longer"

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        return np.array([len(text) for text in texts], np.float32)


DOCUMENTS = {id: Document(id, "x" * size) for id, size in (("a", 1), ("b", 5), ("c", 9))}


def test_a_run_is_reranked_to_the_depth_and_the_rest_stays_below() -> None:
    run = Run({"1": {"a": 9.0, "b": 8.0, "c": 7.0}, "other": {"a": 1.0}})
    again = rerank_run(run, QUERIES[:2], DOCUMENTS, Longer(), depth=2)
    assert ranked(again.scores["1"]) == ["b", "a", "c"]
    assert list(again) == ["1"]
    assert ranked(rerank_run(run, QUERIES[:1], DOCUMENTS, Longer()).scores["1"]) == ["c", "b", "a"]


def test_a_document_without_a_text_is_named() -> None:
    with pytest.raises(Mismatch, match="names the document 'z'"):
        rerank_run(Run({"1": {"z": 1.0}}), QUERIES, DOCUMENTS, Longer())
