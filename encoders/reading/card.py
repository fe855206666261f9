"""What a model folder's card, README.md, tells."""

from pathlib import Path


def licence(path: Path) -> str:
    """The licence that the model card's head states."""
    card = path / "README.md"
    lines = card.read_text("utf-8", "replace")[:4000].splitlines() if card.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("license:")), "not stated")
