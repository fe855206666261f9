"""MedQuAD's held-out answers ranked by their words: BM25's best, and query likelihood with Dirichlet's prior."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from retr import CollectionSettings, SearchSettings, create
from retr import open as open_collection
from retr.index.lexical.postings import analyzer
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.evaluation.reading.beir import open_beir
from retr.retrieval.records import Document, Query
from retr.retrieval.runs import Qrels


@dataclass(frozen=True)
class Pool:
    """Answers, questions and judgements of a BEIR folder, and an index of the answers' words."""

    documents: Mapping[str, Document]
    queries: tuple[Query, ...]
    qrels: Qrels
    collection: Any

    @classmethod
    def open(cls, folder: Path, split: str, index: Path) -> "Pool":
        """The index is made once."""
        found = open_beir(folder, split)
        documents = {document.id: document for document in found.documents()}
        if index.exists():
            collection = open_collection(index)
        else:
            index.parent.mkdir(parents=True, exist_ok=True)
            collection = create(index, encoder=None, settings=CollectionSettings(chunk=ChunkSettings(max_tokens=0)))
        if len(collection) != len(documents):
            collection.add(documents.values())
        return cls(documents, tuple(found.queries), found.qrels, collection)

    def best(self, questions: Sequence[Query], depth: int) -> dict[str, dict[str, float]]:
        """BM25's best answers of each question, with their scores."""
        texts = [question.text for question in questions]
        found = self.collection.search_many(texts, depth, settings=SearchSettings("lexical"))
        return {query.id: {hit.id: hit.score for hit in hits} for query, hits in zip(questions, found, strict=True)}

    def text_of(self, question: str) -> str:
        """A question's text."""
        return self._texts[question]

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {query.id: query.text for query in self.queries}

    @cached_property
    def words(self) -> dict[str, Counter[str]]:
        """Each answer's words, as the index cuts and stems them."""
        return {id: Counter(_words(document.text)) for id, document in self.documents.items()}

    @cached_property
    def all_words(self) -> Counter[str]:
        """The words of all answers."""
        found: Counter[str] = Counter()
        for counts in self.words.values():
            found.update(counts)
        return found


def dirichlet(lists: Mapping[str, Mapping[str, float]], pool: Pool, weight: float) -> dict[str, dict[str, float]]:
    """The lists' answers by sum over the question's words of log((n + weight p) / (length + weight)).

    n is how often the answer has the word, p its share of all answers' words; words of no answer count for none (Zhai
    & Lafferty 2001, "A study of smoothing methods for language models").
    """
    total = pool.all_words.total()
    found = {}
    for id, answers in lists.items():
        shares = {word: pool.all_words[word] / total for word in _words(pool.text_of(id))}
        asked = [word for word in _words(pool.text_of(id)) if shares[word]]
        found[id] = {
            answer: sum(
                math.log((pool.words[answer][word] + weight * shares[word]) / (pool.words[answer].total() + weight))
                for word in asked
            )
            for answer in answers
        }
    return found


def _words(text: str) -> list[str]:
    found: list[str] = analyzer("english").analyze(text)
    return found
