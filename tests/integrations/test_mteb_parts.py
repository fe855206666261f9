"""The parts of the bridge to MTEB that need no mteb: texts, grouping, where an index lies, what is refused."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import retr
from retr.integrations.mteb import MtebCollection, MtebEncoder, MtebReranker, to_mteb
from retr.integrations.mteb.facts import Facts
from retr.integrations.mteb.texts import document_of, query_of, texts_in
from retr.retrieval.chunking import ChunkSettings
from retr.retrieval.errors import BadInput, Mismatch, NotFound
from retr.retrieval.protocols import Encoder, Scorer
from retr.retrieval.records import Document

CORPUS = [
    {"id": "stone", "title": "", "text": "a stone falls from the sky"},
    {"id": "it's", "title": "the red fish", "text": "swims in cold water"},
    {"id": "blue", "text": "blue water"},
]
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="MTEB's similarities are torch's; no torch here")


def test_importing_the_bridge_imports_no_framework() -> None:
    code = (
        "import sys, retr.integrations.mteb; print(sorted({'mteb', 'torch', 'datasets', 'faiss'} & set(sys.modules)))"
    )
    source = str(Path(__file__).parents[2] / "src")
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r}); {code}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout.strip() == "[]"


def test_without_mteb_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, users: Any) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mteb"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_NoMteb(), *sys.meta_path])
    with pytest.raises(NotFound, match=r"pip install 'retr\[mteb\]'"):
        _ = MtebEncoder(users.LetterPairs()).mteb_model_meta


class _NoMteb:
    """An import finder for which mteb is not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "mteb":
            raise ModuleNotFoundError("No module named 'mteb'", name="mteb")


def test_the_revision_follows_from_what_the_scores_depend_on() -> None:
    one = Facts("a", {"encoder": "x", "mode": "dense"}, "dense").revision
    assert one == Facts("b", {"mode": "dense", "encoder": "x"}, "hybrid").revision
    assert one != Facts("a", {"encoder": "y", "mode": "dense"}, "dense").revision


def test_a_task_without_text_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"have id, image and no text.*modalities"):
        texts_in([{"text": ["a"], "id": ["1"]}, {"image": [object()], "id": ["2"]}])


@pytest.mark.parametrize(
    ("row", "document"),
    [
        ({"id": "1", "text": "body", "title": "head"}, Document("1", "body", "head")),
        ({"id": "1", "text": "body"}, Document("1", "body")),
        ({"id": "1", "text": "body", "title": None}, Document("1", "body")),
        ({"id": "1", "text": " ", "title": "head"}, Document("1", "head")),
        ({"id": "1", "text": "", "title": ""}, None),
    ],
)
def test_a_row_is_a_document(row: dict[str, Any], document: Document | None) -> None:
    assert document_of(row) == document


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "what"}, "what"),
        ({"text": "what", "instruction": "answer"}, "what answer"),
        ({"text": "what", "instruction": None}, "what"),
        ({"text": ["hello", "what"]}, "hello; what"),
        ({"text": [{"role": "user", "content": "what"}], "instruction": "answer"}, "answer user: what"),
    ],
)
def test_a_row_is_a_query(row: dict[str, Any], text: str) -> None:
    assert query_of(row) == text


def test_the_prompt_type_chooses_the_side(users: Any) -> None:
    bridge, inputs = MtebEncoder(users.LetterPairs()), [{"text": ["abc"]}, {"text": ["ab"]}]
    documents = bridge.encode(inputs, prompt_type="document")
    assert documents.shape == (2, users.DIM)
    assert np.array_equal(bridge.encode(inputs, prompt_type="query"), 2 * documents)
    assert np.array_equal(bridge.encode(inputs, batch_size=1, hf_split="test"), documents)
    other = MtebEncoder(users.LetterPairs(), symmetric="queries")
    assert np.array_equal(other.encode(inputs), 2 * documents)


def test_a_side_or_precision_that_there_is_not_is_refused(users: Any) -> None:
    with pytest.raises(NotFound, match="Did you mean 'queries'"):
        MtebEncoder(users.LetterPairs(), symmetric="query")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="'int8'"):
        MtebEncoder(users.LetterPairs()).encode([], precision="int8")


@needs_torch
def test_similarity_is_the_encoders_own(users: Any) -> None:
    bridge = MtebEncoder(users.LetterPairs())
    one, other = np.zeros((300, users.DIM), np.float32), np.zeros((2, users.DIM), np.float32)
    one[:, 0] = np.arange(300)
    other[:, 0] = [1, 3]
    scores = bridge.similarity(one, other)
    assert scores.tolist() == [[float(row), 3.0 * row] for row in range(300)]
    assert bridge.similarity(other[1], other[1]).item() == 9
    assert bridge.similarity_pairwise(other, other).tolist() == [1, 9]
    with pytest.raises(Mismatch, match="300 embeddings on one side and 2"):
        bridge.similarity_pairwise(one, other)


@needs_torch
def test_a_vector_a_token_is_compared_by_maxsim(users: Any) -> None:
    bridge = MtebEncoder(users.WordsOfLetters())
    [query] = bridge.encode([{"text": ["ab cd"]}], prompt_type="query")
    documents = bridge.encode([{"text": ["cd", "ab cd cd", ""]}], prompt_type="document")
    assert [len(tokens) for tokens in documents] == [1, 3, 0]
    assert bridge.similarity([query], documents).tolist() == [[1, 2, 0]]
    assert bridge.similarity(query[None], documents).tolist() == [[1, 2, 0]]
    assert bridge.similarity(query, documents[:1]).tolist() == [[1]]
    assert bridge.similarity_pairwise([query, query], documents[:2]).tolist() == [1, 2]


def test_each_query_is_one_call_to_the_scorer(users: Any) -> None:
    scorer = users.SharedLetters()
    queries = [{"id": ["q1", "q1"], "text": ["abc", "abc"]}, {"id": ["q2", "q3"], "text": ["abc", "x"]}]
    scores = MtebReranker(scorer).predict(queries, [{"text": ["ab", "zz", "abc"]}, {"text": ["ab"]}])
    assert scorer.calls == [("abc", ["ab", "zz"]), ("abc", ["abc"]), ("x", ["ab"])]
    assert scores.tolist() == [1, 0, 2, 0]
    assert MtebReranker(scorer).predict([], []).tolist() == []


def test_only_the_listed_documents_are_ranked(users: Any) -> None:
    bridge = MtebCollection(users.LetterPairs(), search=retr.SearchSettings(mode="dense"))
    bridge.index(CORPUS)
    queries = [{"id": "q", "text": "the red fish"}, {"id": "none", "text": "fish"}, {"id": "blank", "text": " "}]
    everything = bridge.search(queries, top_k=10)
    assert list(everything["q"]) == ["it's", "stone", "blue"]
    assert everything["blank"] == {}
    listed = {"q": ["blue", *(f"gone {number}" for number in range(1500)), "it's"], "blank": ["blue"]}
    some = bridge.search(queries, top_k=10, top_ranked=listed)
    assert some == {"q": {id: everything["q"][id] for id in ("it's", "blue")}, "none": {}, "blank": {}}
    assert list(bridge.search(queries, top_k=1)["q"]) == ["it's"]


def test_a_thousand_candidates_of_a_large_corpus_are_taken(users: Any) -> None:
    bridge = MtebCollection(None)
    bridge.index({"id": f"{'a long id ' * 20}{number}", "text": f"fish {number}"} for number in range(1200))
    bridge._places = {id: place + 900_000 for id, place in bridge._places.items()}  # As if a million came before.
    listed = {"q": list(bridge._places)[:1000]}
    assert bridge.search([{"id": "q", "text": "fish"}], top_k=10, top_ranked=listed) == {"q": {}}


def test_a_filter_of_the_settings_holds_among_the_listed_too(users: Any) -> None:
    bridge = MtebCollection(None, search=retr.SearchSettings(where="title = '' or id = 'none'"))
    bridge.index(CORPUS)
    queries = [{"id": "q", "text": "water stone fish"}]
    assert set(bridge.search(queries, top_k=10)["q"]) == {"stone", "blue"}
    assert set(bridge.search(queries, top_k=10, top_ranked={"q": ["blue", "it's"]})["q"]) == {"blue"}


def test_a_new_corpus_takes_the_place_of_the_old_one_and_leaves_no_folder(users: Any, temporary_folders: Path) -> None:
    bridge = MtebCollection(users.LetterPairs())
    bridge.index(CORPUS)
    assert bridge._collection is not None
    [first] = temporary_folders.iterdir()
    bridge.index([*CORPUS[:1], CORPUS[0], {"id": "empty", "text": ""}])
    [second] = temporary_folders.iterdir()
    assert (second != first, len(bridge._collection)) == (True, 1)
    del bridge
    assert list(temporary_folders.iterdir()) == []


def test_an_index_in_a_folder_is_kept_and_encoded_once(users: Any, tmp_path: Path) -> None:
    class Counting(users.LetterPairs):  # type: ignore[misc]
        texts = 0

        def encode_documents(self, texts: Any) -> Any:
            self.texts += len(texts)
            return super().encode_documents(texts)

    encoder = Counting()
    for corpus, wanted in ((CORPUS, 3), (CORPUS, 0), ([*CORPUS[1:], {"id": "new", "text": "new"}], 1)):
        bridge = MtebCollection(encoder, folder=tmp_path / "kept")
        encoder.texts = 0
        bridge.index(corpus, hf_split="test", hf_subset="de/en")
        assert encoder.texts - (wanted == 3) == wanted  # A new collection encodes one more text, its golden one.
        assert len(bridge._collection or ()) == 3
    [kept] = (tmp_path / "kept").iterdir()
    assert kept.name.startswith("corpus-test-de_en-")
    other = MtebCollection(encoder, folder=tmp_path / "kept", settings=retr.CollectionSettings(language="german"))
    other.index(CORPUS)
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_a_search_before_the_index_and_a_dense_one_without_encoder_are_refused() -> None:
    with pytest.raises(BadInput, match="index"):
        MtebCollection(None).search([{"id": "q", "text": "fish"}], top_k=10)
    with pytest.raises(BadInput, match="no encoder"):
        MtebCollection(None, search=retr.SearchSettings(mode="dense"))


def test_anything_of_retrs_becomes_a_model(users: Any, make_bi: Any, make_cross: Any, tmp_path: Path) -> None:
    assert isinstance(to_mteb(users.LetterPairs()), MtebEncoder)
    assert isinstance(to_mteb(users.SharedLetters()), MtebReranker)
    assert isinstance(to_mteb("models_of_users:load_letters=x"), MtebEncoder)
    assert isinstance(to_mteb("models_of_users:load_shared=x"), MtebReranker)
    bi, cross = to_mteb(make_bi()), to_mteb(f"cross={make_cross()}")
    assert isinstance(bi, MtebEncoder) and isinstance(bi.encoder, Encoder)
    assert isinstance(cross, MtebReranker) and isinstance(cross.scorer, Scorer)
    settings = retr.CollectionSettings(language="german", dense=retr.DenseSettings(storage="float16"))
    retr.create(tmp_path / "model", encoder=f"bi={make_bi()}", settings=settings)
    like = to_mteb(tmp_path / "model")
    assert isinstance(like, MtebCollection)
    like.index(CORPUS)
    assert like._collection is not None
    assert like._collection.manifest.settings["language"] == "german"
    assert like._collection.manifest.dense.storage == "float16"
    assert like._collection.manifest.encoder == retr.open(tmp_path / "model").manifest.encoder
    with pytest.raises(BadInput, match=r"object is neither an encoder.*nor a scorer"):
        to_mteb(object())  # type: ignore[arg-type]


def test_a_document_of_many_passages_is_found_once_with_its_best(users: Any) -> None:
    text = " ".join(f"No{number} words that say of use nothing at all." for number in range(20))
    corpus = [{"id": "long", "text": f"The red fish swims. {text} There was a fish."}, {"id": "short", "text": "fish"}]
    settings = retr.CollectionSettings(chunk=ChunkSettings(max_tokens=8))
    found = []
    for group in ("document", "passage"):
        bridge = MtebCollection(None, settings=settings, search=retr.SearchSettings(group=group))  # type: ignore[arg-type]
        bridge.index(corpus)
        assert bridge._collection is not None
        assert len(bridge._collection.search("fish", settings=retr.SearchSettings(group="passage"))) > 2
        found.append(bridge.search([{"id": "q", "text": "red fish swims"}], top_k=10))
    assert list(found[0]["q"]) == ["long", "short"]
    assert found[0] == found[1]
