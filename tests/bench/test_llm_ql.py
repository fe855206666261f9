"""The bench of query likelihood: words by hand, and only what every seed has is compared."""

import argparse
import math
from pathlib import Path
from typing import Any

import pytest

from retr.retrieval.records import Document, Query
from retr.retrieval.runs import Qrels

ARGS = argparse.Namespace(
    seeds=[1, 2], layers=6, telling_steps=60, telling_rate=2e-4, corruption=0.6, steps=40, longer_steps=80,
    batch_size=16, telling_tokens=84, queries=8, depth=20,
)  # fmt: skip


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "bench"))


def test_dirichlets_prior_by_hand() -> None:
    from llm_ql_words import Pool, dirichlet

    texts = {"a": "fish and fish, Water", "b": "stone water"}
    documents = {id: Document(id=id, text=text) for id, text in texts.items()}
    pool = Pool(documents, (Query("q", "the fish? water unheard"),), Qrels({"q": {"a": 1}}), None)
    found = dirichlet({"q": {"a": 1.0, "b": 2.0}}, pool, 5)
    # Five words in all, fish and water twice each; "unheard" is in no answer.
    assert found["q"]["a"] == pytest.approx(math.log((2 + 5 * 0.4) / 8) + math.log((1 + 5 * 0.4) / 8))
    assert found["q"]["b"] == pytest.approx(math.log((0 + 5 * 0.4) / 7) + math.log((1 + 5 * 0.4) / 7))


def cell(value: float, *, trained: bool = True) -> dict[str, Any]:
    values = {name: {f"q{n}": value + n / 100 for n in range(8)} for name in ("ndcg@10", "mrr@10")}
    training = {"steps": 40, "objective": "GRL", "settings": {}, "seconds": 1.0}
    about = {"training": training, "training_cpu_seconds": 60.0, "cpu_seconds": 1.0, "commit": "0", "seed": 1}
    return {"values": values, **(about if trained else {})}


def test_a_seed_that_is_not_whole_is_shown_and_not_compared() -> None:
    from llm_ql_tables import result
    from tables import Table

    cells = {f"{name}-1": cell(value) for name, value in (("alone", 0.3), ("both", 0.4), ("longer", 0.5))}
    cells |= {"telling-1": cell(0.2), "telling-2": cell(0.9), "bm25": cell(0.6, trained=False)}
    cells |= {"dirichlet": {**cell(0.5, trained=False), "weight": 500}}
    form = {"cpu_seconds": 1.0, "largest_difference": 1e-6, "same_order": 4}
    cells |= {"keys": {"forms": {"whole": form, "float16": form}, "numbers": 100, "pairs": 80, "lists": 4}}
    found = result(cells, ARGS)
    assert found["seeds"] == [1]
    against = {row["system"]: row["against"] for row in found["rows"]}
    assert against["both"]["alone"]["difference"] == pytest.approx(0.1)
    assert against["telling"]["bm25"]["difference"] == pytest.approx(-0.4)
    assert set(found["values"]) == {"vectors", "rankings"}
    assert any("telling-2" in row for row in found["tables"][2]["rows"])
    assert found["tables"][3]["rows"][1][1] == "200"  # bytes of 100 numbers in float16
    assert all("| " in Table.read(one).markdown() for one in found["tables"])
    assert {(one["data"].count("BM25"), one["model"]) for one in found["findings"]} >= {
        (0, "six layers, stage 1, then stage 2"), (1, "query likelihood of words, Dirichlet's prior")
    }  # fmt: skip
    assert "weight of 500" in found["caption"] and "have: 1." in found["caption"].replace("has", "have")
