"""The table of bench/late.py: engines over one set of token vectors, recall beside every time."""

from collections.abc import Mapping, Sequence
from typing import Any

from tables import Table, number

Row = Mapping[str, Any]
NAMES = {"torch": "torch, exact, float32", "retr": "retr", "fast_plaid": "fast-plaid", "xtr_warp": "xtr-warp-rs"}
SETTINGS = {
    "bits": "{} bits",
    "candidates": "{} candidates",
    "n_full_scores": "{} full scores",
    "n_ivf_probe": "{} probes",
    "nprobe": "{} probes",
}


def tables(rows: Sequence[Row], busy: bool) -> list[Table]:
    """One table a number of documents; the times by the clock only where nothing else ran."""
    columns = ["recall@10", "nDCG@10", "CPU ms a query", "build, CPU s", "bytes a token"]
    columns += [] if busy else ["p50 ms", "p95 ms"]
    sizes = sorted({row["documents"] for row in rows})
    return [
        Table(
            [f"{size:,} documents", *columns],
            [
                [named(row), *cells(row, busy)]
                for row in rows
                if row["documents"] == size and row.get("recall") is not None
            ],
        )
        for size in sizes
    ]


def named(row: Row) -> str:
    """The engine and what was set."""
    set_here = [text.format(f"{row[key]:,}" if row[key] else "its own") for key, text in SETTINGS.items() if key in row]
    return ", ".join([NAMES.get(row["engine"], row["engine"]), *set_here])


def cells(row: Row, busy: bool) -> list[str]:
    """The figures of one engine."""
    built = number(row["build_cpu_s"], 1) if "build_cpu_s" in row else "-"
    found = [
        f"{row['recall']:.3f}",
        f"{row['ndcg']:.4f}",
        number(row["cpu_ms"], 2),
        built,
        number(row["bytes_a_token"], 1),
    ]
    return found if busy else [*found, number(row["wall_p50_ms"], 2), number(row["wall_p95_ms"], 2)]


def caption(rows: Sequence[Row], queries: int, machine: Mapping[str, Any], busy: bool) -> str:
    """What was measured, and on which machine."""
    tokens = ", ".join(f"{count:,}" for count in sorted({row["tokens"] for row in rows}))
    return (
        f"Passages of MS MARCO, and past its 14,581 sentences of other corpora; {tokens} tokens: the token states of "
        f"all-MiniLM-L6-v2, turned to 128 numbers by their principal axes; {queries} queries, one thread. Recall@10 is "
        "against exact MaxSim of the float32 vectors; nDCG@10 counts the judged queries over these passages alone. "
        "The states come from a model that was not trained for MaxSim. "
        + ("The machine had other work, so times by the clock are left out. " if busy else "")
        + f"{machine['cpu']}, {machine['cores']} cores; load {machine['load_1_minute']}."
    )


def result(rows: Sequence[Row], facts: Mapping[str, Any], queries: int, busy: bool) -> dict[str, Any]:
    """What is recorded."""
    return {
        **facts,
        "queries": queries,
        "busy": busy,
        "cells": list(rows),
        "tables": [table.json() for table in tables(rows, busy)],
        "caption": caption([row for row in rows if "tokens" in row], queries, facts["machine"], busy),
    }
