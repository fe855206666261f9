"""What each recorded result says about a system of the results page: its own `findings`, or read from its rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
STATIC_DATA = {
    "SciFact": ("SciFact test", "nDCG@10", 1),
    "STS-B": ("STS benchmark test", "Spearman x100", 100),
    "STS13": ("STS13", "Spearman x100", 100),
    "SICK": ("SICK test", "Spearman x100", 100),
}
TEACHER = "teacher"


def findings(results: Mapping[str, Row]) -> list[Row]:
    """All of them, each with the name of its file."""
    return [{**one, "file": result["file"]} for name, result in results.items() for one in of(name, result)]


def of(name: str, result: Row) -> Sequence[Row]:
    """One result's."""
    return list(READERS[name](result)) if name in READERS else result.get("findings", [])


def static(result: Row) -> Iterator[Row]:
    """bench/static.py: students by the texts that they were fitted to; their teacher is the bi-encoder."""
    for row in result["rows"]:
        for data, score in row.get("scores", {}).items():
            title, metric, scale = STATIC_DATA[data]
            # The teacher's ranking of SciFact is measured by bench/retrieval.py, with an interval.
            if row["model"] == TEACHER and metric == "nDCG@10":
                continue
            bi = row["model"] == TEACHER
            yield {
                "system": "bi" if bi else "static",
                "model": "all-MiniLM-L6-v2 in int8" if bi else f"static student: {row['model']}",
                "data": title,
                "metric": metric,
                "mean": scale * score["mean"],
                "queries": result["sizes"]["queries"] if metric == "nDCG@10" else None,
                "command": "python bench/static.py",
            }


READERS: dict[str, Callable[[Row], Iterator[Row]]] = {"static": static}
"""A result's name to what reads its rows, where it holds no `findings`."""
