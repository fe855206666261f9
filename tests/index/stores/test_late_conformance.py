"""What holds of token vectors wherever they are kept: the same test over an index folder and over PostgreSQL."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.late.settings import LateSettings
from retr.index.settings import SearchSettings
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.errors import BadInput, Mismatch
from retr.retrieval.records import Document

WORDS = ["red", "blue", "green", "fish", "bird", "frog", "swims", "flies", "jumps", "sea", "sky", "pond"]
Make, Again = Callable[..., Collection], Callable[[Collection], Collection]


def documents(count: int = 40) -> list[Document]:
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 9)).tolist()) for _ in range(count)]
    return [Document(f"d{n}", text, metadata={"n": n}) for n, text in enumerate(texts)]


def maxsim(encoder: Any, query: str, document: Document) -> float:
    """By loops, in float64."""
    asked, held = encoder.encode_queries([query]).values, encoder.encode_queries([document.text]).values
    return sum(max(float(np.dot(one.astype(float), other)) for other in held) for one in asked)


def test_hits_are_those_of_exact_maxsim(make: Make, token_encoder: Any) -> None:
    collection = make(token_encoder)
    assert collection.search("red fish", mode="late") == []
    collection.add(documents(25))
    collection.add(documents())
    collection.delete(["d3", "d30"])
    living = {one.id: one for one in documents() if one.id not in ("d3", "d30")}
    for query in ("red fish swims", "a bird flies in the blue sky"):
        for exact in (False, True):
            found = collection.search(query, 50, settings=SearchSettings(mode="late", exact=exact))
            assert {hit.id for hit in found} == set(living)
            scores = [maxsim(token_encoder, query, living[hit.id]) for hit in found]
            assert np.allclose([hit.score for hit in found], scores, atol=0.03)
            assert (np.diff([hit.score for hit in found]) <= 0).all()


@pytest.mark.parametrize(("where", "count"), [("n >= 20 and n < 33", 8), ("n = 7", 1), ("n > 100", 0)])
def test_a_filter_leaves_k_where_k_match(make: Make, token_encoder: Any, where: str, count: int) -> None:
    collection = make(token_encoder)
    collection.add(documents())
    found = collection.search("green frog jumps", 8, mode="late", where=where)
    assert len(found) == count and {hit.id for hit in found} <= set(collection.ids(where))


def test_a_document_of_many_passages_comes_once_with_its_best(make: Make, token_encoder: Any) -> None:
    collection = make(token_encoder, chunk=ChunkSettings(max_tokens=20, overlap=0))
    filling = " ".join(["nothing of note."] * 20)
    collection.add([Document("long", f"{filling} Red fish swim. {filling}"), Document("short", "blue bird")])
    hits = collection.search("red fish swim", 2, mode="late")
    assert [hit.id for hit in hits] == ["long", "short"] and "Red fish swim" in hits[0].text
    passages = SearchSettings(mode="late", group="passage")
    assert [hit.id for hit in collection.search("nothing of note", 3, settings=passages)] == ["long"] * 3


def test_beside_passages_tokens_rerank_and_encode_no_text(make: Make, encoder: Any, token_encoder: Any) -> None:
    collection = make(encoder, late=token_encoder)
    collection.add(documents())
    token_encoder.encoded.clear()
    settings = SearchSettings(mode="dense", rerank_depth=40, explain=True)
    hits = collection.search("bird flies", 40, settings=settings, rerank="late")
    alone = collection.search("bird flies", 40, mode="late")
    assert {hit.id: hit.score for hit in hits} == {hit.id: hit.score for hit in alone}
    assert token_encoder.encoded == []
    assert hits[0].explain is not None and hits[0].explain["late"]["tokens"]
    mixed = collection.search("bird flies", 3, settings=SearchSettings(explain=True))[0].explain
    assert mixed is not None and {"dense", "lexical"} <= mixed.keys() and "late" not in mixed


def test_explain_says_which_token_matched_which(make: Make, token_encoder: Any) -> None:
    collection = make(token_encoder)
    collection.add([Document("a", "A red fish swims.", title="The Sea"), Document("b", "no")])
    hit = collection.search("sea fish", 1, settings=SearchSettings(mode="late", explain=True))[0]
    assert hit.explain is not None
    _, sea, fish = hit.explain["late"]["tokens"]
    assert (sea["token"], sea["field"], sea["span"]) == ("Sea", "title", [4, 7])
    assert (fish["token"], hit.text[slice(*fish["span"])]) == ("fish", "fish")
    assert hit.explain["late"]["plan"][0]["plan"]
    assert collection.snippet(hit, "sea fish").marked() == "A red [fish] swims."
    hybrid = collection.search("sea fish", 1, settings=SearchSettings(explain=True))[0].explain
    assert hybrid is not None and set(hybrid["fusion"]["contributions"]) == {"late", "lexical"}


def test_what_changes_no_text_is_not_encoded_again(make: Make, token_encoder: Any) -> None:
    collection = make(token_encoder)
    collection.add(documents())
    before = {hit.id: hit.score for hit in collection.search("red fish", 50, mode="late")}
    token_encoder.encoded.clear()
    changed = [Document(one.id, one.text, metadata={"n": -1}) for one in documents()]
    report = collection.add([*changed, Document("new", "red pond")])
    assert (report.updated, report.added, report.encoded, token_encoder.encoded) == (40, 1, 1, ["red pond"])
    after = {hit.id: hit.score for hit in collection.search("red fish", 50, mode="late", where="n = -1")}
    assert after == pytest.approx(before, abs=1e-4)


def test_it_says_what_it_holds_and_checks_it(make: Make, token_encoder: Any) -> None:
    collection = make(token_encoder)
    collection.add(documents())
    collection.delete(["d1"])
    told = collection.describe()
    lengths = {one.id: len(one.text.split()) + 1 for one in documents()}
    living = sum(lengths.values()) - lengths["d1"]
    assert [one["bits"] for one in told["late"]] == [8]
    assert told["tokens"] in (living, living + lengths["d1"])  # A folder counts those of the dead until it merges.
    assert told["late_encoder"]["fingerprint"] == token_encoder.fingerprint
    assert collection.check().problems == []
    with pytest.raises(BadInput, match="no vectors of passages"):
        collection.search("red", mode="dense")


def test_another_late_encoder_is_refused(make: Make, again: Again, token_encoder: Any) -> None:
    collection = make(token_encoder)
    collection.add(documents(2))
    token_encoder.fingerprint = "another"
    with pytest.raises(Mismatch, match="fingerprint"):
        again(collection).search("red", mode="late")


def test_settings_of_tokens_need_a_late_encoder(make: Make, encoder: Any, token_encoder: Any) -> None:
    with pytest.raises(BadInput, match="bits are of"):
        make(encoder, bits=LateSettings(bits=2))
    with pytest.raises(BadInput, match="Both encoders are late ones"):
        make(token_encoder, token_encoder)
