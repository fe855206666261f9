"""MTEB runs our models: its own offline tasks to the end, and scores that are those of `retr eval`.

Without the package mteb, every test here is skipped by name.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retr
from retr.integrations.mteb import MtebCollection, MtebEncoder, MtebReranker
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.corpus import read_documents, read_queries
from retr.retrieval.embeddings import Vectors
from retr.retrieval.evaluation.pairs import evaluate_pairs
from retr.retrieval.evaluation.ranking import evaluate
from retr.retrieval.evaluation.similarity import evaluate_similarity
from retr.retrieval.runs import Qrels, Run
from retr.retrieval.sample import sample_folder
from retr.retrieval.scoring import SIMILARITIES

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # Both are read when the packages are imported.
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
datasets = pytest.importorskip("datasets", reason="needs the package 'mteb'")
mteb = pytest.importorskip("mteb", reason="needs the package 'mteb'")
mocks = pytest.importorskip("mteb.mocks.mock_tasks", reason="needs the offline tasks of mteb 2.26")

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning"),  # Mock data hold 2 examples.
    pytest.mark.filterwarnings("ignore:The number of unique classes is greater:UserWarning"),
    pytest.mark.filterwarnings("ignore:To copy construct from a tensor:UserWarning"),  # mteb copies similarities so.
]

SAME = 1e-6
METRICS = {"ndcg@10": "ndcg_cut_10", "map@100": "map_cut_100", "recall@10": "recall_10", "precision@10": "P_10"}
"""Our name of a metric to trec_eval's, which is mteb's."""

TEXT_TASKS = [
    "MockBitextMiningTask",
    "MockClassificationTask",
    "MockInstructionReranking",
    "MockInstructionRetrieval",
    "MockMultilabelClassification",
    "MockMultilingualRetrievalTask",
    "MockPairClassificationTask",
    "MockRegressionTask",
    "MockRerankingTask",
    "MockRetrievalDialogTask",
    "MockRetrievalTask",
    "MockSTSTask",
    "MockSummarizationTask",
    "MockTextZeroShotClassificationTask",
    "LegacyMockClusteringFastTask",
]
SEARCH_TASKS = [name for name in TEXT_TASKS if "Retrieval" in name or "Reranking" in name]


def run(model: Any, task: Any) -> dict[str, Any]:
    """The scores of a task's test split, nothing kept on disk."""
    task.filter_eval_splits(["test"])
    result = mteb.evaluate(model, task, cache=None, co2_tracker=False, show_progress_bar=False)
    return dict(result.task_results[0].scores["test"][0])


class Judged(mocks.MockRetrievalTask):  # type: ignore[misc,name-defined]
    """Part of the sample corpus; keeps what mteb found and trec_eval's unrounded scores of each query."""

    def load_data(self, num_proc: int | None = None, **_: Any) -> None:
        qrels = Qrels.load(sample_folder() / "qrels" / "test.tsv").grades
        queries = [query for query in read_queries(sample_folder() / "queries.jsonl") if query.id in qrels][:12]
        self.grades = {query.id: {**qrels[query.id]} for query in queries}
        wanted = {id for grades in self.grades.values() for id in grades}
        documents = list(read_documents([sample_folder()]))
        self.documents = documents[:40] + [document for document in documents[40:] if document.id in wanted]
        self.texts = {query.id: query.text for query in queries}
        for number, document in enumerate(self.documents[:12]):  # Grades that differ, and one below zero.
            self.grades[queries[number].id][document.id] = (2, 3, -1)[number % 3]
        rows = [{"id": one.id, "title": one.title, "text": one.text} for one in self.documents]
        split = {
            "corpus": datasets.Dataset.from_list(rows),
            "queries": datasets.Dataset.from_list([{"id": id, "text": text} for id, text in self.texts.items()]),
            "relevant_docs": self.grades,
            "top_ranked": self.candidates(),
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True

    def candidates(self) -> Mapping[str, list[str]] | None:
        """All documents are searched."""
        return None

    def task_specific_scores(self, scores: Any, qrels: Any, results: Any, **_: Any) -> dict[str, float]:
        self.by_query, self.found = scores, results
        return {}


class Listed(Judged):
    """The same as a reranking task: of each query, every second document and those that are judged."""

    def candidates(self) -> Mapping[str, list[str]] | None:
        half = [document.id for document in self.documents[::2]]
        return {id: list(dict.fromkeys([*half, *grades])) for id, grades in self.grades.items()}


@pytest.fixture(params=["tiny", "default", "a user's"])
def encoder(request: pytest.FixtureRequest, make_bi: Any, users: Any) -> Any:
    """A seeded two-layer model whose sides have prompts, the model that comes with retr, and a plain class."""
    if request.param == "a user's":
        return users.LetterPairs()
    if request.param == "default":
        return retr.load_encoder()
    return retr.load_encoder(str(make_bi(seed=3, settings={"prompts": {"query": "query: ", "document": "a "}})))


def assert_ours(task: Any, scores: Mapping[str, Any], ours: Run) -> None:
    """What mteb found and made of it is what we find and make of it, query by query."""
    mine = evaluate(ours, Qrels(task.grades), [*METRICS, "mrr@10"])
    again = evaluate(Run(task.found), Qrels(task.grades), [*METRICS, "mrr@10"])
    assert 0.02 < mine.means["ndcg@10"] < 0.98
    for name, theirs in METRICS.items():
        for id in task.grades:
            assert mine.per_query[name][id] == pytest.approx(task.by_query[id][theirs], abs=SAME)
            assert again.per_query[name][id] == pytest.approx(task.by_query[id][theirs], abs=SAME)
    assert scores["ndcg_at_10"] == pytest.approx(mine.means["ndcg@10"], abs=1e-5)  # mteb rounds means to 5 digits.
    assert scores["mrr_at_10"] == pytest.approx(mine.means["mrr@10"], abs=1e-5)


def whole(document: Any) -> str:
    return f"{document.title} {document.text}".strip()


def scored_by(encoder: Any, task: Any) -> Run:
    """Every document of the task for every query, without mteb and without an index."""
    queries = encoder.encode_queries(list(task.texts.values()))
    documents = encoder.encode_documents([whole(document) for document in task.documents])
    scores = SIMILARITIES[encoder.similarity](queries, documents)
    ids = [document.id for document in task.documents]
    return Run({id: dict(zip(ids, map(float, row), strict=True)) for id, row in zip(task.texts, scores, strict=True)})


def among(run: Run, lists: Mapping[str, list[str]]) -> Run:
    return Run({id: {one: run.scores[id][one] for one in ids} for id, ids in lists.items()})


@pytest.mark.parametrize("name", TEXT_TASKS)
def test_an_encoder_ends_mtebs_own_text_tasks(name: str) -> None:
    model = MtebEncoder(retr.load_encoder())
    assert np.isfinite(run(model, getattr(mocks, name)())["main_score"])


@pytest.mark.parametrize("name", SEARCH_TASKS)
def test_a_collection_ends_mtebs_own_search_tasks(name: str, make_bi: Any) -> None:
    model = MtebCollection(str(make_bi()))
    assert 0 < run(model, getattr(mocks, name)())["main_score"] <= 1


@pytest.mark.parametrize("name", [name for name in SEARCH_TASKS if "Reranking" in name])
def test_a_scorer_ends_mtebs_own_reranking_tasks(name: str, make_cross: Any) -> None:
    model = MtebReranker(retr.load_scorer(str(make_cross())))
    assert 0 < run(model, getattr(mocks, name)())["main_score"] <= 1


def test_an_encoder_scores_as_we_do(encoder: Any) -> None:
    task = Judged()
    assert_ours(task, run(MtebEncoder(encoder), task), scored_by(encoder, task))


def test_an_encoder_reranks_as_we_do(encoder: Any) -> None:
    task = Listed()
    scores = run(MtebEncoder(encoder), task)
    assert_ours(task, scores, among(scored_by(encoder, task), task.candidates() or {}))


def test_a_vector_a_token_scores_as_we_do(users: Any) -> None:
    encoder = users.WordsOfLetters()
    task, listed = Judged(), Listed()
    assert_ours(task, run(MtebEncoder(encoder), task), scored_by(encoder, task))
    scores = run(MtebEncoder(encoder), listed)
    assert_ours(listed, scores, among(scored_by(encoder, listed), listed.candidates() or {}))


def test_a_scorer_reranks_as_we_do(users: Any) -> None:
    task, scorer = Listed(), users.SharedLetters()
    scores = run(MtebReranker(scorer), task)
    texts = {document.id: whole(document) for document in task.documents}
    ours = {
        id: dict(
            zip(ids, map(float, users.SharedLetters().score(task.texts[id], [texts[one] for one in ids])), strict=True)
        )
        for id, ids in (task.candidates() or {}).items()
    }
    assert_ours(task, scores, Run(ours))
    assert len(scorer.calls) == len(task.texts)


@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid", "reranked"])
def test_a_collection_scores_as_the_collection_does(mode: str, users: Any, tmp_path: Path) -> None:
    search = retr.SearchSettings(mode="hybrid" if mode == "reranked" else mode, rerank_depth=20)  # type: ignore[arg-type]
    scorer = users.SharedLetters() if mode == "reranked" else None
    task, settings = Judged(), retr.CollectionSettings(chunk=ChunkSettings(max_tokens=40))
    scores = run(MtebCollection(users.LetterPairs(), settings=settings, search=search, rerank=scorer), task)
    collection = retr.create(tmp_path / "own", encoder=users.LetterPairs(), settings=settings)
    collection.add(task.documents)
    assert collection.manifest.live_passages > 2 * len(collection)
    found = collection.search_many(list(task.texts.values()), 1000, settings=search, rerank=scorer)
    ours = {id: {hit.id: hit.score for hit in hits} for id, hits in zip(task.texts, found, strict=True)}
    assert_ours(task, scores, Run(ours))


def test_dense_search_of_whole_documents_is_the_encoders_own_ranking(users: Any) -> None:
    encoder, task = users.LetterPairs(), Judged()
    settings = retr.CollectionSettings(chunk=ChunkSettings(max_tokens=0))
    model = MtebCollection(encoder, settings=settings, search=retr.SearchSettings(mode="dense"))
    assert_ours(task, run(model, task), scored_by(encoder, task))


def test_a_collection_reranks_the_listed_documents_alone(users: Any) -> None:
    task = Listed()
    settings = retr.CollectionSettings(chunk=ChunkSettings(max_tokens=0))
    model = MtebCollection(users.LetterPairs(), settings=settings, search=retr.SearchSettings(mode="dense"))
    scores = run(model, task)
    assert_ours(task, scores, among(scored_by(users.LetterPairs(), task), task.candidates() or {}))


def test_sentence_similarity_is_ours(encoder: Any) -> None:
    gold = [5.0, 4.0, 1.0, 0.0, 2.5]
    left = ["a red fish", "cold water", "a stone falls", "the blue sky", "fish swims"]
    right = ["the red fish", "water, cold", "fish swims", "a stone", "in water"]

    class Graded(mocks.MockSTSTask):  # type: ignore[misc,name-defined]
        max_score = 5

        def load_data(self, num_proc: int | None = None, **_: Any) -> None:
            columns = {"sentence1": left, "sentence2": right, "score": gold}
            self.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_dict(columns)})
            self.data_loaded = True

    scores = run(MtebEncoder(encoder), Graded())
    ours = evaluate_similarity(paired(encoder, left, right), gold)
    assert scores["spearman"] == pytest.approx(ours.means["spearman"], abs=SAME)
    assert scores["pearson"] == pytest.approx(ours.means["pearson"], abs=SAME)


def test_pair_classification_is_ours(encoder: Any) -> None:
    left, right = ["a red fish", "cold water", "stone", "blue sky"], ["red fish", "a stone", "the stone", "fish swims"]
    labels = [1, 0, 1, 0]

    class Labelled(mocks.MockPairClassificationTask):  # type: ignore[misc,name-defined]
        def load_data(self, num_proc: int | None = None, **_: Any) -> None:
            columns = {"sentence1": [left], "sentence2": [right], "labels": [labels]}
            self.dataset = datasets.DatasetDict({"test": datasets.Dataset.from_dict(columns)})
            self.data_loaded = True

    scores = run(MtebEncoder(encoder), Labelled())
    ours = evaluate_pairs(paired(encoder, left, right), labels)
    assert scores["similarity_ap"] == pytest.approx(ours.ap, abs=SAME)
    # mteb's best F1 leaves out the threshold that takes every pair, so it may be the lower one.
    assert scores["similarity_f1"] <= ours.f1 + SAME


def paired(encoder: Any, left: list[str], right: list[str]) -> list[float]:
    both = zip(encoder.encode_documents(left).values, encoder.encode_documents(right).values, strict=True)
    compare = SIMILARITIES[encoder.similarity]
    return [compare(Vectors(one[None]), Vectors(other[None])).item() for one, other in both]
