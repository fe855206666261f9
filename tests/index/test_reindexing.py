"""Another encoder's vectors are made beside the living ones, compared, and put in their place in one step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.dense.settings import DenseSettings
from retr.index.disk.checking import check_folder
from retr.index.disk.fsio import Disk
from retr.index.late.settings import LateSettings
from retr.index.reindexing.overlap import overlap, sampled_queries
from retr.index.reindexing.shadow import Shadow, drop_shadow
from retr.index.writing.creation import GivenVectors, Named
from retr.retrieval.embeddings import Vectors
from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.records import Document

TEXTS = {"heron": "the heron waits for fish", "swift": "swifts sleep on the wing", "owl": "owls hunt mice by night"}
DOCUMENTS = [Document(id, text, metadata={"legs": 2}) for id, text in TEXTS.items()]


@pytest.fixture
def other(encoder: Any) -> Any:
    """Another encoder: the numbers of the first one's vectors in another order, and fewer of them."""

    class Other(type(encoder)):  # type: ignore[misc]
        dim = 16

        def encode_queries(self, texts: Any) -> Vectors:
            wide = np.array([type(encoder)()._vector(text) for text in texts], np.float32).reshape(-1, 32)
            short = wide[:, ::2] + 1e-3
            return Vectors(short / np.linalg.norm(short, axis=1, keepdims=True))

    return Other("words-2")


@pytest.fixture
def filled(collection: Collection) -> Collection:
    collection.add(DOCUMENTS)
    return collection


def loading(*encoders: Any) -> Callable[[str], Any]:
    """Loads an encoder by its class's name, as the manifest's spec has it."""

    def load(spec: str) -> Any:
        return next(one for one in encoders if spec.endswith(type(one).__qualname__))

    return load


def test_until_the_swap_nothing_of_the_index_changes_and_then_all_of_it_is_the_new_encoders(
    filled: Collection, encoder: Any, other: Any
) -> None:
    before = filled.search("fish", mode="dense", k=3)
    shadow = Shadow.begin(filled, other)
    assert shadow.fill().encoded == 3
    assert filled.refresh() is False
    assert filled.search("fish", mode="dense", k=3) == before
    done = shadow.swap()
    opened = Collection.open(filled.folder, load=loading(encoder, other))
    assert opened.encoder is other
    assert opened.manifest.dim == 16
    assert opened.manifest.generation == done.generation == 3
    assert [document.id for document in opened.get(TEXTS)] == list(TEXTS)
    assert opened.get(["owl"])[0].metadata == {"legs": 2}
    assert {hit.id for hit in opened.search("mice", mode="hybrid", k=1)} == {"owl"}
    expected = other.encode_queries(["mice"]).values[0] @ other.encode_queries([TEXTS["owl"]]).values[0]
    assert opened.search("mice", mode="dense", k=1)[0].score == pytest.approx(float(expected), abs=1e-5)
    assert not (filled.folder / "shadow").exists()
    assert check_folder(filled.folder, load=loading(encoder, other)).problems == []


def test_a_reader_moves_on_to_the_new_encoder_and_back_with_a_rollback(
    filled: Collection, encoder: Any, other: Any
) -> None:
    reader = Collection.open(filled.folder, load=loading(encoder, other))
    first = reader.search("mice", mode="dense", k=3)
    snapshot = Shadow.begin(filled, other).swap().snapshot
    assert reader.search("mice", mode="dense", k=3) == first
    assert reader.refresh()
    assert reader.encoder is other
    assert reader.search("mice", mode="dense", k=3) != first
    reader.rollback(snapshot)
    assert reader.encoder is encoder
    assert reader.search("mice", mode="dense", k=3) == first


def test_rolling_back_without_a_name_undoes_the_swap(filled: Collection, encoder: Any, other: Any) -> None:
    Shadow.begin(filled, other).swap()
    again = Collection.open(filled.folder, load=loading(encoder, other))
    again.rollback()
    assert again.encoder is encoder


def test_what_was_written_meanwhile_is_in_the_swap(filled: Collection, encoder: Any, other: Any) -> None:
    shadow = Shadow.begin(filled, other)
    shadow.fill()
    writer = Collection.open(filled.folder, load=loading(encoder))
    writer.add([Document("owl", "owls sleep by day"), Document("crow", "crows count")])
    writer.delete(["swift"])
    done = shadow.swap()
    assert (done.added.added, done.added.updated, done.added.unchanged, done.added.removed) == (1, 1, 1, 1)
    opened = Collection.open(filled.folder, load=loading(encoder, other))
    assert sorted(opened.ids()) == ["crow", "heron", "owl"]
    assert opened.get(["owl"])[0].text == "owls sleep by day"
    assert opened.search("wing", mode="lexical") == []
    opened.add([Document("later", "written after the swap")])
    assert opened.search("later written after", mode="dense", k=1)[0].id == "later"
    opened.compact()
    assert check_folder(filled.folder, load=loading(encoder, other)).problems == []


def test_an_interrupted_filling_goes_on_without_encoding_again(filled: Collection, other: Any) -> None:
    assert Shadow.begin(filled, other).fill().encoded == 3
    other.encoded.clear()
    assert Shadow.begin(filled, other).fill().unchanged == 3
    assert [text for text in other.encoded if "golden" not in text] == []


def test_an_index_of_words_alone_is_given_vectors(tmp_path: Path, other: Any) -> None:
    words = Collection.create(tmp_path / "words", encoder=None)
    words.add(DOCUMENTS)
    shadow = Shadow.begin(words, other)
    shadow.fill()
    assert overlap(words, shadow.shadow, ["mice"], 2, "given") is None
    shadow.swap()
    assert Collection.open(words.folder, load=lambda _: other).search("mice", mode="dense", k=1)[0].id == "owl"


def test_overlap_is_the_share_of_the_best_documents_that_stay(filled: Collection, encoder: Any, other: Any) -> None:
    shadow = Shadow.begin(filled, other)
    shadow.fill()
    queries = list(TEXTS.values())
    found = overlap(filled, shadow.shadow, queries, 1, "given")
    assert found is not None
    best = [
        [np.argmax(one.encode_queries(queries).values @ one.encode_queries([query]).values[0]) for query in queries]
        for one in (encoder, other)
    ]
    assert found.mean == pytest.approx(np.mean(np.array(best[0]) == np.array(best[1])))
    everything = overlap(filled, shadow.shadow, queries, 3, "given")
    assert everything is not None
    assert everything.mean == 1.0


def test_sampled_queries_are_titles_or_first_words_and_the_same_every_time(filled: Collection) -> None:
    filled.add([Document("titled", "a text", title="A heron's title"), Document("dots", "...", title="")])
    queries = sampled_queries(filled)
    assert set(queries) == {*TEXTS.values(), "A heron's title"}
    assert queries == sampled_queries(filled)
    assert len(sampled_queries(filled, 2)) <= 2


def test_what_cannot_be_reindexed_says_why(filled: Collection, encoder: Any, other: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="already"):
        Shadow.begin(filled, encoder)
    with pytest.raises(NotFound, match="no shadow"):
        Shadow.resume(filled, loading(other))
    with pytest.raises(NotFound, match="no shadow"):
        drop_shadow(filled.folder)
    Shadow.begin(filled, other)
    with pytest.raises(Mismatch, match="unfinished shadow"):
        Shadow.begin(filled, other, dense=DenseSettings(dim=8))
    drop_shadow(filled.folder)
    Shadow.begin(filled, other, dense=DenseSettings(dim=8)).swap()
    assert Collection.open(filled.folder, load=loading(encoder, other)).manifest.dim == 8
    given = Collection.create(tmp_path / "given", encoder=GivenVectors(4))
    with pytest.raises(BadInput, match="given to it"):
        Shadow.begin(given, other)


class Killed(BaseException):
    """The process ends here."""


class MortalDisk(Disk):
    """Does so many operations and then no more."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in ("make_folder", "write", "sync_file", "sync_folder", "rename", "link", "remove"):
            if self.left == 0:
                raise Killed
            self.left -= 1
        return found


def test_killed_at_any_operation_one_of_the_two_encoders_answers_and_the_next_run_ends_it(
    quick: Path, encoder: Any, other: Any
) -> None:
    load = loading(encoder, other)
    seen = set()
    for operations in range(400):
        folder = quick / f"index-{operations}"
        made = Collection.create(folder, encoder=encoder)
        made.add(DOCUMENTS)
        try:
            Shadow.begin(made, other, disk=MortalDisk(operations)).swap()
        except Killed:
            whole = False
        else:
            whole = True
        left = Collection.open(folder, load=load)
        seen.add(left.encoder.fingerprint)
        assert sorted(left.ids()) == sorted(TEXTS)
        assert left.search("mice", mode="dense", k=1)[0].id == "owl"
        if left.encoder is encoder:
            Shadow.begin(left, other).swap()
        assert check_folder(folder, load=load).problems == []
        assert Collection.open(folder, load=load).search("mice", mode="dense", k=1)[0].id == "owl"
        if whole:
            break
    else:
        pytest.fail("the reindexing never came to its end")
    assert seen == {"words-1", "words-2"}


def test_token_vectors_take_the_place_of_others_and_give_it_up_again(
    filled: Collection, encoder: Any, token_encoder: Any
) -> None:
    filled.compact(dense=DenseSettings("flat", "int8"))
    shadow = Shadow.begin(filled, token_encoder, spec="late=one")
    assert shadow.fill().encoded == 3
    shared = overlap(filled, shadow.shadow, ["fish", "mice"], 2, "given")
    assert shared is not None and 0 < shared.mean <= 1
    shadow.swap()
    live = Collection.open(filled.folder, load=lambda _: token_encoder)
    assert (live.manifest.encoder, live.search("mice", 1, mode="late")[0].id) == (None, "owl")
    assert check_folder(filled.folder, load=None).problems == []
    with pytest.raises(BadInput, match="already"):
        Shadow.begin(live, token_encoder)
    live.compact(late=LateSettings(bits=2))
    Shadow.begin(live, encoder, spec="words").swap()
    again = Collection.open(filled.folder, load=lambda _: encoder)
    assert again.search("mice", 1, mode="dense")[0].id == "owl" and again.manifest.late is None
    again.rollback("before-reindex-5")
    assert again.manifest.encoder is None and again.manifest.late_settings.bits == 2


def test_beside_another_kind_only_that_of_its_own_kind_is_replaced(
    tmp_path: Path, encoder: Any, other: Any, token_encoder: Any
) -> None:
    tokens = type(token_encoder)("tokens-2")
    made = Collection.create(tmp_path / "both", encoder=encoder, spec="words", late=Named(token_encoder, "late=one"))
    made.add(DOCUMENTS)
    Shadow.begin(made, tokens, spec="late=two").swap()
    found = [None if one is None else one.fingerprint for one in (made.manifest.encoder, made.manifest.late)]
    assert found == ["words-1", "tokens-2"]
    live = Collection.open(made.folder, load=lambda _: encoder, late=lambda _: tokens)
    Shadow.begin(live, other, spec="other").swap()
    found = [None if one is None else one.fingerprint for one in (live.manifest.encoder, live.manifest.late)]
    assert found == ["words-2", "tokens-2"]
    assert check_folder(live.folder, load=None).problems == []
    again = Collection.open(live.folder, load=lambda _: other, late=lambda _: tokens)
    assert {again.search("mice", 1, mode=mode)[0].id for mode in ("dense", "late", "hybrid")} == {"owl"}
