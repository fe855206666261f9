"""Pairs in files, and recipes of tiny Trans-Encoders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

TEXTS = ["the red fish swims", "a stone falls", "cold water", "blue sky", "in the sky", "red stone", "query water", "a"]
PAIRS = [(text, TEXTS[(at * 3 + 1) % len(TEXTS)]) for at, text in enumerate(TEXTS)]
Pairs = Sequence[tuple[str, str]]


@pytest.fixture
def write_pairs(tmp_path: Path) -> Callable[..., str]:
    """`write_pairs(name, pairs, labels)` to the path of a file of rows."""

    def write(name: str = "pairs", pairs: Pairs = tuple(PAIRS), labels: Sequence[float] | None = None) -> str:
        path = tmp_path / f"{name}.jsonl"
        grades = labels if labels is not None else [at / len(pairs) for at in range(len(pairs))]
        rows = [{"query": a, "positive": b, "label": label} for (a, b), label in zip(pairs, grades, strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def recipe(tmp_path: Path, write_pairs: Any) -> Callable[..., Path]:
    """`recipe(files, **tables)` to a recipe's path; a table is laid over the one that is there."""

    def write(files: str, **told: Any) -> Path:
        phase = {"steps": 3, "batch_size": 4, "learning_rate": 1e-3, "accelerator": "cpu", "log_every": 1}
        phase["checkpoint_every"] = 1
        tables: dict[str, Mapping[str, Any]] = {"trans-encoder": {"cycles": 1}, "start": phase}
        tables |= {"cross": phase, "bi": phase, "data": {"files": files, "label": "label"}}
        if told.pop("validated", False):
            held_out = {"files": write_pairs("held-out", PAIRS[:4][::-1], [0.1, 0.9, 0.4, 0.6]), "label": "label"}
            tables |= {"validation": {"metric": "spearman", "rows": held_out}}
        top = {"method": "trans-encoder", "out": str(tmp_path / "out")}
        for name, value in told.items():
            if isinstance(value, dict):
                tables[name] = {**tables.get(name, {}), **value}
            else:
                top[name] = value
        lines = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
        for name, table in tables.items():
            lines += [f"[{name}]"] + [f"{key} = {_toml(value)}" for key, value in table.items()]
        path = tmp_path / "recipe.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)
