"""Per-query values from files: what `retr eval --per-query --json` prints, or {metric: {id: value}} of another task."""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from retr.retrieval.errors import BadInput, Mismatch, NotFound, unknown


def read_values(path: Path) -> dict[str, dict[str, float]]:
    """{metric: {id: value}} of a JSON file; NotFound without it, BadInput where it has another form."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(f"No values file {str(path)!r}. Check the path.") from None
    except IsADirectoryError:
        raise BadInput(f"{str(path)!r} is a folder; a JSON file of values is needed.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{str(path)!r} is not JSON ({error}). {_FORM}") from None
    if isinstance(found, dict) and isinstance(found.get("runs"), dict):
        raise BadInput(f"{str(path)!r} holds several runs. Write a file for each: `retr eval` with one --run.")
    if isinstance(found, dict) and isinstance(found.get("per_query"), dict):
        found = _by_metric(found["per_query"], found.get("metrics"))
    if not isinstance(found, dict) or not found:
        raise BadInput(f"{str(path)!r} holds no values by metric. {_FORM}")
    return {str(metric): _checked(values, f"{str(path)!r}: {metric!r}") for metric, values in found.items()}


_FORM = 'Accepted: {"metric": {"id": 0.5}}, or what `retr eval --per-query --json` prints.'


def _by_metric(per_query: dict[str, Any], metrics: object) -> dict[str, Any]:
    """The values by metric, whichever of metric and query is outside; the means' names tell which.

    A query has only the metrics that are defined for it.
    """
    if not isinstance(metrics, Mapping) or set(per_query) <= set(metrics):
        return per_query
    if not all(isinstance(values, dict) for values in per_query.values()):
        return per_query
    return {name: {qid: values[name] for qid, values in per_query.items() if name in values} for name in metrics}


def _checked(values: object, where: str) -> dict[str, float]:
    if not isinstance(values, dict):
        raise BadInput(f"{where} is no object of values by id. {_FORM}")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BadInput(f"{where} has {str(value)[:40]!r} for {name!r}; a finite number is needed.")
    return {name: float(value) for name, value in values.items()}


def chosen(
    systems: Mapping[str, Mapping[str, Mapping[str, float]]], metrics: Sequence[str]
) -> dict[str, dict[str, Mapping[str, float]]]:
    """Of each system the wanted metrics; without any, those that all of them hold. NotFound where one is missing."""
    if not metrics and systems:
        first, *others = systems.values()
        metrics = [name for name in first if all(name in other for other in others)]
        if not metrics:
            raise Mismatch(f"The values of {', '.join(map(repr, systems))} have no metric in common.")
    for system, values in systems.items():
        for name in metrics:
            if name not in values:
                raise unknown(f"metric in the values of {system!r}", name, values)
    return {system: {name: values[name] for name in metrics} for system, values in systems.items()}


def system_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its own without the ending, then with its folder, then numbered, until all differ."""
    names = [_stem(path) for path in paths]
    names = _where_repeated(names, lambda at: f"{paths[at].absolute().parent.name}/{names[at]}")
    return _where_repeated(names, lambda at: f"{names[at]}#{at + 1}")


def _where_repeated(names: list[str], longer: Callable[[int], str]) -> list[str]:
    counts = Counter(names)
    return [longer(at) if counts[name] > 1 else name for at, name in enumerate(names)]


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return Path(name).stem or name
