"""The bench of decoders compares only what every variant was trained with."""

import argparse
from pathlib import Path
from typing import Any

import pytest

ARGS = argparse.Namespace(
    layers=6, max_tokens=64, steps=40, batch_size=16, rank=16, learning_rate=5e-4, precision="bfloat16"
)


METRICS = ("ndcg@10", "mrr@10", "recall@100")


def cell(name: str, value: float, **more: Any) -> dict[str, Any]:
    values = {metric: {f"q{n}": value + n / 100 for n in range(8)} for metric in METRICS}
    training = {"steps": 40, "objective": "GRL", "settings": {}, "seconds": 1.0}
    about = {"training": training, "training_cpu_seconds": 60.0, "cpu_seconds": 1.0, "commit": "0"} if more else {}
    return {"cell": name, "values": values, **about, **more}


def test_a_seed_that_a_variant_lacks_is_shown_and_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "bench"))
    import training_llm_tables as tables

    names = [name for name in tables.TITLES if not name.startswith("start")]
    cells = {f"{name}-1": cell(f"{name}-1", 0.3, variant=name, seed=1) for name in names}
    cells |= {"causal-2": cell("causal-2", 0.9, variant="causal", seed=2), "start-causal": cell("start-causal", 0.1)}
    found = tables.result(cells, ARGS)
    assert found["seeds"] == [1]
    means = {row["system"]: row["metrics"]["ndcg@10"]["mean"] for row in found["rows"]}
    assert means["causal"] == pytest.approx(0.335)
    gained = next(row for row in found["rows"] if row["system"] == "causal")["against"]["start-causal"]
    assert gained["difference"] == pytest.approx(0.2)
    assert any("causal-2" in row for row in found["tables"][1]["rows"])
    assert "Seeds that every variant has: 1." in found["caption"]
