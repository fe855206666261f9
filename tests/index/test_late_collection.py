"""A collection of token vectors, alone or beside those of passages: MaxSim, filters, explanations, reranking."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.dense.gpu import Device
from retr.index.dense.settings import DenseSettings
from retr.index.disk import checking
from retr.index.disk.checking import check_folder
from retr.index.late import segment
from retr.index.late.settings import LateSettings
from retr.index.settings import CollectionSettings, SearchSettings, WriteSettings
from retr.index.tuning.running import tune
from retr.index.tuning.settings import TuneSettings
from retr.index.writing.creation import Named
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput, Mismatch, RetrError
from retr.retrieval.records import Document

from .conftest import TokenEncoder, WordEncoder

GONE = ["d3", "d17", "d30"]
WORDS = ["red", "blue", "green", "fish", "bird", "frog", "swims", "flies", "jumps", "sea", "sky", "pond"]
BY_TOKENS = SearchSettings(mode="late")


def documents(count: int = 40) -> list[Document]:
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 9)).tolist()) for _ in range(count)]
    return [Document(f"d{n}", text, metadata={"n": n}) for n, text in enumerate(texts)]


def make_late(folder: Path, encoder: Any) -> Collection:
    """Forty documents in two segments, of which three are deleted."""
    collection = Collection.create(folder, encoder=encoder)
    made = documents()
    collection.add(made[:25])
    collection.add(made[25:])
    collection.delete(GONE)
    return collection


def make_both(folder: Path) -> Collection:
    """The same documents with both kinds of vectors."""
    collection = Collection.create(folder, encoder=WordEncoder(), late=Named(TokenEncoder(), "late=tokens"))
    collection.add(documents())
    return collection


@pytest.fixture
def late(tmp_path: Path, token_encoder: Any) -> Collection:
    return make_late(tmp_path / "late", token_encoder)


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """As `late`, only to be read."""
    return make_late(tmp_path_factory.mktemp("still") / "late", TokenEncoder())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Only to be read."""
    return make_both(tmp_path_factory.mktemp("both") / "both")


def maxsim(encoder: Any, query: str, document: Document) -> float:
    """By loops, in float64."""
    text = f"{document.title} {document.text}".strip()
    asked, held = encoder.encode_queries([query]).values, type(encoder)().encode_documents([text]).values
    return sum(max(float(np.dot(one.astype(float), other)) for other in held) for one in asked)


def test_hits_are_those_of_exact_maxsim_and_so_are_their_scores(still: Collection, token_encoder: Any) -> None:
    living = {one.id: one for one in documents() if one.id not in GONE}
    for query in ("red fish swims", "a bird flies in the blue sky", "pond"):
        found = still.search(query, 50, mode="late")
        assert {hit.id for hit in found} == set(living)
        exact = [maxsim(token_encoder, query, living[hit.id]) for hit in found]
        assert np.allclose([hit.score for hit in found], exact, atol=0.03)
        assert (np.diff(exact) <= 0.04).all()


def test_many_queries_at_once_are_answered_as_one_by_one(still: Collection) -> None:
    queries = ["red fish", "a much longer query of a bird that flies", "sea", "red fish"]
    one_by_one = [still.search(query, 5, mode="late") for query in queries]
    assert still.search_many(queries, 5, settings=BY_TOKENS) == one_by_one


@pytest.mark.parametrize("where", ["n >= 20 and n < 33", "n = 7", "n in (3, 17)", "n > 100"])
def test_a_filter_is_exact_in_k(still: Collection, token_encoder: Any, where: str) -> None:
    matching = still.get(still.ids(where))
    found = still.search("green frog jumps", 8, mode="late", where=where)
    assert len(found) == min(8, len(matching)) and {hit.id for hit in found} <= {one.id for one in matching}
    exact = {one.id: maxsim(token_encoder, "green frog jumps", one) for one in matching}
    assert all(exact[hit.id] >= sorted(exact.values())[-len(found)] - 0.03 for hit in found)


def test_a_document_of_many_passages_comes_once_with_its_best(tmp_path: Path, token_encoder: Any) -> None:
    collection = Collection.create(tmp_path / "i", encoder=token_encoder)
    filling = " ".join(["nothing of note"] * 90)
    collection.add([Document("long", f"{filling}. Red fish swim. {filling}."), Document("short", "blue bird")])
    assert collection.manifest.live_passages > 3
    hits = collection.search("red fish swim", 2, mode="late")
    assert [hit.id for hit in hits] == ["long", "short"] and "Red fish swim" in hits[0].text
    passages = SearchSettings(mode="late", group="passage")
    assert [hit.id for hit in collection.search("nothing of note", 3, settings=passages)] == ["long"] * 3


def test_what_changes_no_text_is_not_encoded_again_and_keeps_its_scores(late: Collection, token_encoder: Any) -> None:
    before = {hit.id: hit.score for hit in late.search("red fish", 50, mode="late")}
    token_encoder.encoded.clear()
    changed = [Document(one.id, one.text, metadata={"n": -1}) for one in documents() if one.id in before]
    report = late.add(changed)
    assert (report.updated, report.encoded, token_encoder.encoded) == (37, 0, [])
    after = {hit.id: hit.score for hit in late.search("red fish", 50, mode="late", where="n = -1")}
    assert after == pytest.approx(before, abs=1e-4)
    assert late.add([Document("d1", "another text")]).encoded == 1


def test_coded_tokens_stay_as_they_are_when_only_metadata_changes(
    tmp_path: Path, token_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment, "SCANNED", 0)
    settings = CollectionSettings(late=LateSettings(bits=4, centroids=8))
    collection = Collection.create(tmp_path / "i", encoder=token_encoder, settings=settings)
    collection.add(documents())
    first = {hit.id: hit.score for hit in collection.search("red fish", 50, mode="late")}
    for number in range(2):
        collection.add([Document(one.id, one.text, metadata={"n": -number}) for one in documents()])
        collection.compact()
    again = {hit.id: hit.score for hit in collection.search("red fish", 50, mode="late")}
    assert again == pytest.approx(first, abs=0.01)
    assert [(one["bits"], one["tokens"]) for one in collection.describe()["late"]] == [(4, sum_of_tokens())]


def sum_of_tokens() -> int:
    return sum(len(one.text.split()) + 1 for one in documents())


def test_much_in_one_commit_is_written_in_pieces_of_bounded_memory(tmp_path: Path, token_encoder: Any) -> None:
    collection = Collection.create(tmp_path / "i", encoder=token_encoder)
    few = WriteSettings(encode_passages=4, commit_token_bytes=32 * 4 * 60, merge=False)
    collection.add(documents(), settings=few)
    held = [one["tokens"] for one in collection.describe()["late"]]
    assert len(held) > 2 and max(held) < 60 + 4 * 9 and sum(held) == sum_of_tokens()


def test_hybrid_fuses_tokens_with_words(still: Collection) -> None:
    settings = SearchSettings(mode="hybrid", explain=True, weights=(1.0, 0.0))
    by_tokens = [hit.id for hit in still.search("red fish", 5, mode="late")]
    assert [hit.id for hit in still.search("red fish", 5, settings=settings)] == by_tokens
    explain = still.search("red fish", 1, settings=SearchSettings(explain=True))[0].explain
    assert explain is not None and {"late", "lexical", "fusion"} <= explain.keys()
    assert set(explain["fusion"]["contributions"]) == {"late", "lexical"}


def test_beside_passages_each_mode_is_as_it_is_alone(both: Collection, still: Collection) -> None:
    alone = {hit.id: hit.score for hit in still.search("red fish", 50, mode="late")}
    tokens = {hit.id: hit.score for hit in both.search("red fish", 50, mode="late") if hit.id not in GONE}
    assert tokens == pytest.approx(alone, abs=0.02)
    explain = both.search("red fish", 1, settings=SearchSettings(explain=True))[0].explain
    assert explain is not None and {"dense", "lexical"} <= explain.keys() and "late" not in explain


def test_stored_tokens_rerank_hits_of_other_modes_and_encode_no_text(both: Collection) -> None:
    encoder = both.late_encoder
    assert isinstance(encoder, TokenEncoder)
    encoder.encoded.clear()
    settings = SearchSettings(mode="dense", rerank_depth=40, explain=True)
    hits = both.search("bird flies", 40, settings=settings, rerank="late")
    alone = both.search("bird flies", 40, mode="late")
    assert {hit.id: hit.score for hit in hits} == {hit.id: hit.score for hit in alone}
    assert [(hit.score, hit.rank) for hit in hits] == [(hit.score, hit.rank) for hit in alone]
    assert encoder.encoded == []
    explain = hits[0].explain
    assert explain is not None and explain["rerank"]["score"] == hits[0].score and explain["late"]["tokens"]
    few = both.search("bird flies", 5, settings=SearchSettings(mode="dense", rerank_depth=2), rerank="late")
    first = [hit.id for hit in both.search("bird flies", 5, mode="dense")]
    assert {hit.id for hit in few[:2]} == set(first[:2]) and [hit.id for hit in few[2:]] == first[2:]


def test_explain_says_which_token_matched_which_and_where(tmp_path: Path, token_encoder: Any) -> None:
    collection = Collection.create(tmp_path / "i", encoder=token_encoder)
    collection.add([Document("a", "A red fish swims, and a red bird.", title="The Sea"), Document("b", "no")])
    settings = SearchSettings(mode="late", explain=True)
    hit = collection.search("sea bird", 1, settings=settings)[0]
    assert hit.explain is not None
    said = hit.explain["late"]
    filling, sea, bird = said["tokens"]
    assert (filling["query_span"], filling["field"], filling["span"]) == (None, None, None)
    assert (sea["query"], sea["query_span"], sea["token"], sea["field"], sea["span"]) == (
        "sea",
        [0, 3],
        "Sea",
        "title",
        [4, 7],
    )
    assert (bird["token"], bird["field"], hit.text[slice(*bird["span"])]) == ("bird", "text", "bird")
    assert sum(one["similarity"] for one in said["tokens"]) == pytest.approx(hit.score, abs=1e-4)
    assert said["plan"][0].keys() == {"part", "plan", "rows", "allowed", "why"}
    assert collection.snippet(hit, "sea bird").marked() == "A red fish swims, and a red [bird]."
    assert collection.snippet(hit, "no word of it").marks == collection.snippet(hit, "sea bird").marks
    plain = collection.search("sea bird", 1, mode="late")[0]
    assert plain.explain is None and collection.snippet(plain, "sea bird").marked().endswith("[bird].")


def test_an_encoder_that_tells_no_spans_gives_places_alone(tmp_path: Path, token_encoder: Any) -> None:
    class Silent:
        dim, similarity, fingerprint = 32, "maxsim", "silent"
        encode_queries = staticmethod(token_encoder.encode_queries)
        encode_documents = staticmethod(token_encoder.encode_queries)

    collection = Collection.create(tmp_path / "i", encoder=Silent())
    collection.add([Document("a", "red fish")])
    hit = collection.search("a fish", 1, settings=SearchSettings(mode="late", explain=True))[0]
    assert hit.explain is not None
    assert [one.keys() for one in hit.explain["late"]["tokens"]] == [{"place", "similarity"}] * 3
    assert collection.snippet(hit, "fish").marked() == "red [fish]"


Ask = Callable[[Collection], object]


@pytest.mark.parametrize(
    ("kind", "ask", "part"),
    [
        ("still", lambda it: it.search("red", mode="dense"), "gives those of tokens. Use --mode late"),
        ("still", lambda it: it.nearest(np.ones(32, np.float32)), "has no vectors of passages"),
        ("still", lambda it: it.vectors(["d1"]), "has no vectors of passages"),
        ("still", lambda it: tune(it, TuneSettings()), "There is nothing to tune"),
        ("still", lambda it: it.compact(dense=DenseSettings("flat")), "has no vectors of passages"),
        ("still", lambda it: it.add([Document("x", "y")], vectors=np.ones((1, 32), np.float32)), "vectors= cannot be"),
        ("both", lambda it: it.add([Document("x", "y")], vectors=np.ones((1, 32), np.float32)), "vectors= cannot be"),
        ("words", lambda it: it.search("red", mode="late"), "no token vectors. Make an index with --encoder late="),
        ("words", lambda it: it.search("red", rerank="late"), "no token vectors"),
    ],
)
def test_what_does_not_apply_is_refused_by_name(
    kind: str, ask: Ask, part: str, request: pytest.FixtureRequest, collection: Collection
) -> None:
    asked = collection if kind == "words" else request.getfixturevalue(kind)
    with pytest.raises(RetrError) as caught:
        ask(asked)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_on_a_gpu_that_is_not_there_tokens_are_searched_on_the_cpu_and_it_is_said(
    still: Collection, token_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retr.index.late.gpu.placing.find_spec", lambda name: None)
    there = Collection.open(still.folder, load=lambda _: token_encoder, device=Device.parse("cuda"))
    assert len(there.placement) == 2 and all("CPU: torch is not installed" in where for where in there.placement)
    assert there.search("red fish", 5, mode="late") == still.search("red fish", 5, mode="late")


@pytest.mark.parametrize(
    ("values", "part"),
    [(np.full((2, 32), 0.5), "has the length"), (np.full((2, 32), np.nan), "NaN"), (np.ones((0, 32)), "no token")],
)
def test_tokens_that_cannot_be_searched_are_not_taken_in(
    tmp_path: Path, token_encoder: Any, monkeypatch: pytest.MonkeyPatch, values: Any, part: str
) -> None:
    collection = Collection.create(tmp_path / "i", encoder=token_encoder)
    made = TokenVectors(values.astype(np.float32), np.array([0, len(values)], np.int64))
    monkeypatch.setattr(token_encoder, "encode_documents", lambda texts: made)
    with pytest.raises(BadInput, match=part):
        collection.add([Document("a", "text")])
    assert len(collection) == 0


@pytest.mark.parametrize(
    ("settings", "part"),
    [({"dense": DenseSettings("pq")}, "are of vectors of passages"), ({"late": LateSettings(bits=2)}, "bits are of")],
)
def test_settings_of_vectors_that_are_not_there_are_refused(
    tmp_path: Path, encoder: Any, token_encoder: Any, settings: dict[str, Any], part: str
) -> None:
    one = token_encoder if "dense" in settings else encoder
    with pytest.raises(BadInput, match=part):
        Collection.create(tmp_path / "i", encoder=one, settings=CollectionSettings(**settings))
    assert not (tmp_path / "i").exists()


def test_encoders_of_the_wrong_kind_are_refused(tmp_path: Path, encoder: Any, token_encoder: Any) -> None:
    with pytest.raises(BadInput, match="Both encoders are late ones"):
        Collection.create(tmp_path / "i", encoder=token_encoder, late=Named(token_encoder))
    with pytest.raises(BadInput, match="gives no vectors of tokens"):
        Collection.create(tmp_path / "i", encoder=encoder, late=Named(encoder, "bi=x"))
    other = type(token_encoder)("tokens-2")
    Collection.create(tmp_path / "i", encoder=token_encoder).add([Document("a", "text")])
    with pytest.raises(Mismatch, match="Use the encoder it was made with"):
        Collection.open(tmp_path / "i", load=lambda _: other).search("text", mode="late")


def test_snapshots_copies_and_rollbacks_hold_tokens_too(late: Collection, tmp_path: Path, token_encoder: Any) -> None:
    answer = [(hit.id, hit.score) for hit in late.search("red fish", 40, mode="late")]
    late.snapshot("kept")
    late.copy(tmp_path / "copy")
    late.delete([id for id, _ in answer[:10]])
    late.compact()
    for collection in (Collection.open(tmp_path / "copy", load=lambda _: token_encoder), late):
        if collection is late:
            late.rollback("kept")
        assert [(hit.id, hit.score) for hit in collection.search("red fish", 40, mode="late")] == answer
        assert check_folder(collection.folder, load=lambda _: token_encoder).problems == []


def test_check_names_damaged_and_badly_searched_tokens(
    late: Collection, token_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = check_folder(late.folder, load=lambda _: token_encoder)
    assert any("token vectors; the search finds 1.000" in line for line in sound.checked)
    assert any("golden text" in line for line in sound.checked) and sound.problems == []
    monkeypatch.setattr(checking, "LEAST_RECALL", 1.1)
    assert ["--exact" in line for line in check_folder(late.folder, load=None).problems] == [True]
    path = next(late.folder.glob("segments/*/late/residuals.npy"))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    assert ["residuals.npy" in line for line in check_folder(late.folder, load=None).problems] == [True]


def test_bits_can_be_changed_by_compaction(late: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment, "SCANNED", 0)
    found = []
    for bits in (4, 2):
        late.compact(late=LateSettings(bits=bits))
        assert [one["bits"] for one in late.describe()["late"]] == [bits]
        found.append({hit.id for hit in late.search("red fish", 10, mode="late")})
    assert len(found[0] & found[1]) >= 5
