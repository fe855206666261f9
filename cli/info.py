"""`retr info`: what an index holds and what it was made with."""

from collections.abc import Mapping
from typing import Any

from retr.cli.options import DEFAULT_INDEX, IndexOption, JsonOption, StoreOption, home_of


def info(index: IndexOption = DEFAULT_INDEX, store: StoreOption = None, json: JsonOption = False) -> None:
    """Show what an index holds: documents, passages, size, what can be gone back to, and the encoder's weights."""
    from retr.cli.output import emit_json, print_fields
    from retr.index.disk.manifest import generations_in
    from retr.opening import open

    collection = open(home_of(index, store))
    facts = collection.describe()
    kept = generations_in(index) if store is None else [collection.manifest.generation]
    facts["kept_generations"] = [number for number in kept if number <= collection.manifest.generation]
    facts["snapshots"] = collection.snapshots()
    if json:
        emit_json(facts)
        return
    parts, tokens, pins = facts.pop("dense"), facts.pop("late", []), facts.pop("snapshots")
    facts["kept_generations"] = ", ".join(map(str, facts["kept_generations"]))
    fields = {name: value for name, value in _flat(facts) if value not in (None, "")}
    fields |= {f"vectors {number}": _part(part) for number, part in enumerate(parts, start=1)}
    fields |= {f"tokens {number}": _tokens(part) for number, part in enumerate(tokens, start=1)}
    fields |= {f"snapshot {pin.name}": f"generation {pin.generation}, {pin.documents:,} documents" for pin in pins}
    print_fields(fields)


def _flat(table: dict[str, Any], before: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in table.items():
        label = f"{before}{name}".replace("_", " ")
        if isinstance(value, dict):
            rows += _flat(value, f"{label} ")
        else:
            rows.append((label, value))
    return rows


def _tokens(facts: Mapping[str, Any]) -> str:
    """How one segment's token vectors are kept, such as `91,204 x 128 in 4 bits, of 1,200 passages`."""
    return f"{facts['tokens']:,} x {facts['dim']} in {facts['bits']} bits, of {facts['documents']:,} passages"


def _part(facts: Mapping[str, Any]) -> str:
    """How one segment's vectors are kept and searched, such as `pq, 20,000 x 384 float32, recall 0.9930, refine 8`."""
    from retr.cli.output import cell

    said = [facts["kind"], f"{facts['rows']:,} x {facts['dim']} {facts['storage']}"]
    said += [f"{name} {cell(facts[name])}" for name in ("recall", "refine", "nprobe", "ef") if name in facts]
    return ", ".join(said) + (f" ({facts['why']})" if facts.get("why") else "")
