"""Which token of a passage, or patch of its picture, each token of a query matched, and where: late hits explained."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from retr.index.opened import Opened, Place
from retr.index.patches import Named, words_of
from retr.index.ranking import Ranked
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput
from retr.retrieval.pictures import Picture, has_picture
from retr.retrieval.protocols import Box, Encoder, ReadsImages, TokenSpans
from retr.retrieval.records import Document, Hit

if TYPE_CHECKING:
    from retr.index.late.index import Alignment

_ROUNDING = 0.02
"""Coded tokens' similarities are this near to what they were."""


def explain_tokens(
    snapshot: Opened, encoder: Encoder, query: str | Picture, values: Floats, ranked: Sequence[Ranked]
) -> None:
    """Put `tokens` into what explains those ranked passages that were scored by their tokens.

    `values` are the query's, float32 [tokens, dim]. Each entry has the query's token, the passage's, their spans in
    code points, and `field`, the title or the passage, that the span counts in; a token that stands nowhere has none.
    Names and spans are left out where the encoder does not tell them, such as where it merges tokens. A patch of a
    picture has a `box` in place of a span, and of the query's a `query_box`; a query in words has its `words` beside.
    """
    chosen = [one for one in ranked if "late" in one.explain]
    if snapshot.late is None or not chosen:
        return
    rows = [one.row for one in chosen]
    asked = _Asked(encoder, query, values)
    for one, place, found in zip(chosen, snapshot.places(rows), snapshot.late.align(values, rows), strict=True):
        if isinstance(encoder, ReadsImages) and has_picture(place.document):
            boxes = _boxes(encoder, place.document)
            patches = snapshot.late.vectors(np.array([one.row], np.int64)).values
            one.explain["late"] |= asked.matched_patches(found, patches, boxes)
        else:
            one.explain["late"]["tokens"] = _matched(encoder, place, asked, found)


def matched_spans(hit: Hit) -> list[tuple[int, int, str]] | None:
    """(start, end, token) of what a query's tokens matched in a hit's text, rising; None where nothing tells it.

    Tokens of the query that are no part of its text, such as those that it is filled up with, are left out, and so are
    matches that are weaker than the others on average: every token matches something best.
    """
    tokens = (hit.explain or {}).get("late", {}).get("tokens", [])
    if not any("token" in one for one in tokens):
        return None
    told = [one for one in tokens if one.get("query_span") is not None]
    least = sum(one["similarity"] for one in told) / max(len(told), 1) - _ROUNDING
    strong = [one for one in told if one["field"] == "text" and one["similarity"] >= least]
    spans = sorted({(one["span"][0], one["span"][1], one["token"]) for one in strong})
    return [span for before, span in pairwise([(0, 0, ""), *spans]) if span[0] >= before[1]]


class _Asked:
    """A query's tokens, or its patches where it is a picture, and what is told of each."""

    def __init__(self, encoder: Encoder, query: str | Picture, values: Floats) -> None:
        self.query, self.values = query, values
        if isinstance(query, Picture):
            assert isinstance(encoder, ReadsImages)
            self.named: Named | None = None
            self.told: list[dict[str, Any]] = [{"query_box": list(box)} for box in encoder.boxes(*query.size())]
            return
        self.named = _spans(encoder, query, "query", len(values))
        known = self.named or []
        self.told = [{"query": name, "query_span": _span(span)} for name, span in known] or [{}] * len(values)

    def matched_patches(self, found: "Alignment", patches: Floats, boxes: Sequence[Box]) -> dict[str, Any]:
        """Each token's patch of a picture, and of a query in words each word's."""
        tokens = [{**entry, "box": list(boxes[entry["place"]])} for entry in self.entries(found)]
        if self.named is None or isinstance(self.query, Picture):
            return {"tokens": tokens}
        return {"tokens": tokens, "words": words_of(self.query, self.named, self.values, patches, boxes)}

    def entries(self, found: "Alignment") -> list[dict[str, Any]]:
        """Of each token the place that it matched, how alike they are, and what is told of the token."""
        each = zip(found.places.tolist(), found.similarities.tolist(), strict=True)
        return [
            {"place": at, "similarity": round(similarity, 6), **self.told[number]}
            for number, (at, similarity) in enumerate(each)
        ]


def _matched(encoder: Encoder, place: Place, asked: _Asked, found: "Alignment") -> list[dict[str, Any]]:
    title, text = place.document.title, place.document.text[place.start : place.end]
    whole = f"{title} {text}"
    tokens = _spans(encoder, whole.strip(), "document", int(found.places.max(initial=-1)) + 1)
    lead = len(whole) - len(whole.lstrip())
    matched = []
    for entry in asked.entries(found):
        if tokens is not None:
            name, span = tokens[entry["place"]]
            entry |= {"token": name, **_standing(span, lead, len(title) + 1)}
        matched.append(entry)
    return matched


def _boxes(encoder: ReadsImages, document: Document) -> Sequence[Box]:
    source = document.source
    return encoder.boxes(int(source["width"]), int(source["height"]))


def _spans(encoder: Encoder, text: str, task: Any, least: int) -> Named | None:
    """Each vector's token and span; None where the encoder does not say, or not for as many as there are."""
    if not isinstance(encoder, TokenSpans):
        return None
    try:
        named = encoder.spans([text], task)[0]
    except BadInput:
        return None
    return named if len(named) >= least else None


def _standing(span: tuple[int, int], lead: int, title: int) -> dict[str, Any]:
    """The span and its field. Encoders read the title, a space and the passage, without white space around it all."""
    start, end = span[0] + lead, span[1] + lead
    if span[0] == span[1]:
        return {"field": None, "span": None}
    if start < title:
        return {"field": "title", "span": [start, min(end, title - 1)]}
    return {"field": "text", "span": [start - title, end - title]}


def _span(span: tuple[int, int]) -> list[int] | None:
    return None if span[0] == span[1] else list(span)
