"""Which token of a passage each token of a query matched, and where both stand: what `--explain` says of late hits."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from retr.index.opened import Opened, Place
from retr.index.ranking import Ranked
from retr.retrieval.embeddings import Floats
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder, TokenSpans
from retr.retrieval.records import Hit

if TYPE_CHECKING:
    from retr.index.late.index import Alignment

_ROUNDING = 0.02
"""Coded tokens' similarities are this near to what they were."""

Named = Sequence[tuple[str, tuple[int, int]]]


def explain_tokens(snapshot: Opened, encoder: Encoder, query: str, values: Floats, ranked: Sequence[Ranked]) -> None:
    """Put `tokens` into what explains those ranked passages that were scored by their tokens.

    `values` are the query's, float32 [tokens, dim]. Each entry has the query's token, the passage's, their spans in
    code points, and `field`, the title or the passage, that the span counts in; a token that stands nowhere has none.
    Names and spans are left out where the encoder does not tell them, such as where it merges tokens.
    """
    chosen = [one for one in ranked if "late" in one.explain]
    if snapshot.late is None or not chosen:
        return
    rows = [one.row for one in chosen]
    asked = _spans(encoder, query, "query", len(values))
    for one, place, found in zip(chosen, snapshot.places(rows), snapshot.late.align(values, rows), strict=True):
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


def _matched(encoder: Encoder, place: Place, asked: Named | None, found: "Alignment") -> list[dict[str, Any]]:
    title, text = place.document.title, place.document.text[place.start : place.end]
    whole = f"{title} {text}"
    tokens = _spans(encoder, whole.strip(), "document", int(found.places.max(initial=-1)) + 1)
    lead = len(whole) - len(whole.lstrip())
    matched = []
    for number, (at, similarity) in enumerate(zip(found.places.tolist(), found.similarities.tolist(), strict=True)):
        entry: dict[str, Any] = {"place": at, "similarity": round(similarity, 6)}
        if asked is not None:
            entry |= {"query": asked[number][0], "query_span": _span(asked[number][1])}
        if tokens is not None:
            entry |= {"token": tokens[at][0], **_standing(tokens[at][1], lead, len(title) + 1)}
        matched.append(entry)
    return matched


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
