"""Every metric of runs equal to pytrec-eval and ir-measures: on a set full of ties, and on real test collections."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.retrieval.evaluation.ranking import evaluate
from retr.retrieval.evaluation.reading.beir import open_beir
from retr.retrieval.evaluation.searching import search_run
from retr.retrieval.runs import Qrels, Run, ranked

DATA = os.environ.get("RETR_DATA", "")
DEPTHS = (1, 5, 10, 100)
IR_DEPTHS = [f"@{k}" for k in DEPTHS]
TREC = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P", "success": "success"}
WHOLE = {"ndcg": "ndcg", "map": "map", "mrr": "recip_rank", "recall": "set_recall", "precision": "set_P"}
IR = {"ndcg": "nDCG", "map": "AP", "mrr": "RR", "recall": "R", "precision": "P", "hits": "Success"}


def check(run: Run, qrels: Qrels) -> None:
    """Both tools say the same as `evaluate`, ties included."""
    check_trec_eval(run, qrels)
    check_ir_measures(run, qrels, [name for name in IR if name != "mrr"], IR_DEPTHS)
    check_ir_measures(run, qrels, ["mrr", "ndcg", "map"], ("",))
    # Its RR@k is MS MARCO's program, which puts equal scores in another order than trec_eval: it gets a run without.
    apart = {qid: {id: -float(rank) for rank, id in enumerate(ranked(found))} for qid, found in run.scores.items()}
    check_ir_measures(Run(apart), qrels, ["mrr"], IR_DEPTHS)


def check_trec_eval(run: Run, qrels: Qrels) -> None:
    """Each query's own value."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    names = {f"{name}@{k}": f"{theirs}_{k}" for name, theirs in TREC.items() for k in DEPTHS} | WHOLE
    cuts = {f"{theirs}.{','.join(map(str, DEPTHS))}" for theirs in TREC.values()}
    oracle = pytrec_eval.RelevanceEvaluator(plain(qrels.grades), cuts | set(WHOLE.values())).evaluate(plain(run.scores))
    ours = evaluate(run, qrels, [*names, *(f"mrr@{k}" for k in DEPTHS)])
    for qid in qrels:
        theirs = oracle.get(qid, {})
        for name, column in names.items():
            assert ours.per_query[name][qid] == pytest.approx(theirs.get(column, 0.0), abs=1e-9), (name, qid)
        first = theirs.get("recip_rank", 0.0)
        for k in DEPTHS:
            assert ours.per_query[f"mrr@{k}"][qid] == pytest.approx(first if first * k > 0.999 else 0.0, abs=1e-9)


def check_ir_measures(run: Run, qrels: Qrels, names: Sequence[str], depths: Sequence[str]) -> None:
    """The means."""
    ir_measures = pytest.importorskip("ir_measures")
    parsed = {name + depth: ir_measures.parse_measure(IR[name] + depth) for name in names for depth in depths}
    means = ir_measures.calc_aggregate(list(parsed.values()), plain(qrels.grades), plain(run.scores))
    mine = evaluate(run, qrels, list(parsed)).means
    for name, measure in parsed.items():
        assert mine[name] == pytest.approx(means[measure], abs=1e-9), name


def plain(table: Any) -> dict[str, dict[str, Any]]:
    return {qid: dict(values) for qid, values in table.items()}


def test_a_set_full_of_ties() -> None:
    """60 queries, 150 documents each, three different scores; some queries unjudged, some not found."""
    rng = np.random.default_rng(0)
    run, qrels = {}, {}
    for number in range(60):
        documents = [f"d{place}" for place in rng.permutation(400)[:150]]
        scores = rng.choice([0.5, 1.0, 1.0 + 1e-9], 150)
        run[f"q{number}"] = dict(zip(documents, map(float, scores), strict=True))
        judged = rng.permutation(400)[:80]
        qrels[f"q{number + 5}"] = {f"d{place}": int(rng.integers(0, 4)) for place in judged}
    check(Run(run), Qrels(qrels))


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="set RETR_DATA to the folder of the evaluation corpora")
@pytest.mark.parametrize("name", ["scifact", "cranfield", "cisi", "med"])
def test_our_own_search_over_a_real_collection(name: str, tmp_path: Path) -> None:
    import retr

    data = open_beir(Path(DATA) / name)
    collection = retr.create(tmp_path / "index", encoder=None)
    collection.add(data.documents())
    settings = retr.SearchSettings(mode="lexical")
    run = search_run(data.queries, lambda texts: collection.search_many(texts, 100, settings=settings))
    check(run, data.qrels)
    rounded = {qid: {id: round(score, 0) for id, score in found.items()} for qid, found in run.scores.items()}
    check(Run(rounded), data.qrels)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="set RETR_DATA to the folder of the evaluation corpora")
@pytest.mark.parametrize("system", ["bm25", "bm25-rm3", "openai-ada2", "repllama", "splade-pp-ed", "tasb"])
def test_runs_of_others_over_ms_marco(system: str) -> None:
    folder = Path(DATA) / "msmarco-dl19"
    run = Run.load(folder / "runs" / f"{system}.top100.tsv")
    qrels = Qrels.load(folder / "qrels" / "test.tsv")
    check(run, qrels)
    published = {"bm25": 0.5058, "bm25-rm3": 0.5216, "tasb": 0.7210, "splade-pp-ed": 0.7308, "openai-ada2": 0.7035}
    published["repllama"] = 0.7384
    assert evaluate(run, qrels, ["ndcg@10"]).means["ndcg@10"] == pytest.approx(published[system], abs=5e-5)
