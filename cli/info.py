"""`retr info`: what an index holds and what it was made with."""

from typing import Any

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption


def info(index: IndexOption = DEFAULT_INDEX, json: JsonOption = False) -> None:
    """Show what an index holds: documents, passages, size, and the encoder's weights."""
    from retr.cli.output import emit_json, print_fields
    from retr.opening import open

    facts = open(index).describe()
    if json:
        emit_json(facts)
        return
    print_fields(dict(_flat(facts)))


def _flat(table: dict[str, Any], before: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in table.items():
        label = f"{before}{name}".replace("_", " ")
        if isinstance(value, dict):
            rows += _flat(value, f"{label} ")
        else:
            rows.append((label, value))
    return rows
