"""The shapes of what the tools take and give; the protocol's schemas are made from them."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes that of typing from Python 3.12 on alone


class Found(TypedDict):
    """One answer of a search: a passage, and the document it is from."""

    id: str
    title: str
    text: str
    score: float
    url: str
    metadata: dict[str, Any]
    source: dict[str, Any]


class Results(TypedDict):
    """Best first."""

    results: list[Found]


class Fetched(TypedDict):
    """A document, or the part of a long one from `offset` on; `next_offset` is where the rest starts."""

    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, Any]
    offset: int
    characters: int
    next_offset: int | None


class Given(TypedDict, total=False):
    """A document to be written."""

    id: Annotated[str, Field(description="Its id; a document with the same id is replaced.")]
    text: Annotated[str, Field(description="Its text.")]
    title: Annotated[str, Field(description="Its title.")]
    metadata: Annotated[dict[str, Any], Field(description="JSON values by name, for filters.")]


class Written(TypedDict):
    """What a write did, and how many documents there are now."""

    changed: int
    documents: int
