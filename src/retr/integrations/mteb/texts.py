"""The texts in what MTEB hands over: batches for a model, rows for a search."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from retr.retrieval.errors import BadInput
from retr.retrieval.records import Document

Batch = Mapping[str, Sequence[Any]]
"""Columns of a few inputs: `text`, and perhaps `id`, `title`, `body`, `query`, `instruction`."""


def texts_in(batches: Iterable[Batch]) -> list[str]:
    """The text of every input, in order. BadInput for a task of images, audio or video."""
    texts: list[str] = []
    for batch in batches:
        if "text" not in batch:
            raise BadInput(
                f"The task's inputs have {', '.join(sorted(batch)) or 'no columns'} and no text; retr's models read "
                "text alone. Choose tasks with modalities=['text']."
            )
        texts.extend(batch["text"])
    return texts


def document_of(row: Mapping[str, Any]) -> Document | None:
    """A row of a corpus; None when it has neither text nor title. A title alone is taken for the text."""
    text, title = row.get("text") or "", row.get("title") or ""
    if text.strip():
        return Document(str(row["id"]), text, title)
    return Document(str(row["id"]), title) if title.strip() else None


def query_of(row: Mapping[str, Any]) -> str:
    """A query's text, as MTEB gives it to encoders: an instruction after it; a conversation as one text, it before."""
    text, instruction = row["text"], row.get("instruction") or ""
    if isinstance(text, str):
        return f"{text} {instruction}" if instruction else text
    turns = "; ".join(turn if isinstance(turn, str) else f"{turn['role']}: {turn['content']}" for turn in text)
    return f"{instruction} {turns}" if instruction else turns
