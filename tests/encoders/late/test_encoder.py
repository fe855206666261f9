"""What the kind late promises where it is served without torch."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder, load_scorer
from retr.encoders.late.encoder import LateEncoder, load
from retr.encoders.late.maxsim import maxsim
from retr.encoders.late.merging import clusters, merged
from retr.encoders.late.scorer import LateScorer
from retr.encoders.late.settings import Expansion, LateTexts, TokenPooling
from retr.retrieval.embeddings import TokenVectors
from retr.retrieval.errors import BadInput, Damaged, NotFound, RetrError

MakeLate = Callable[..., Path]
TEXTS = ["the red fish, swims.", "a stone falls", "", "cold water in the sea", "red"]
HIDDEN = {"told": {"query_expansion": {"strategy": "fixed", "attend": False, "length": 12}}}
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("settings", [{}, HIDDEN])
def test_a_texts_vectors_do_not_depend_on_its_company(make_late: MakeLate, way: str, settings: dict[str, Any]) -> None:
    encoder = load(str(make_late(**settings)))
    for encode in (encoder.encode_queries, encoder.encode_documents):
        together = list(encode(TEXTS))
        for text, vectors in zip(TEXTS, together, strict=True):
            np.testing.assert_allclose(encode([text]).values, vectors, atol=1e-5)
        back = list(encode(TEXTS[::-1]))[::-1]
        assert all(np.allclose(one, other, atol=1e-5) for one, other in zip(together, back, strict=True))


def test_vectors_have_unit_length_and_no_list_gives_none(make_late: MakeLate) -> None:
    encoder = load(str(make_late(**HIDDEN)))
    found = encoder.encode_documents(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(found.values, axis=1), 1, atol=1e-5)
    assert isinstance(found, TokenVectors)
    assert (encoder.dim, encoder.similarity, found.dim) == (8, "maxsim", 8)
    for encode in (encoder.encode_queries, encoder.encode_documents, encoder.pooled(2).encode_documents):
        assert len(encode([])) == 0
        assert encode([]).values.shape == (0, 8)


def test_punctuation_has_no_vector_in_documents_and_has_one_in_queries(make_late: MakeLate) -> None:
    encoder = load(str(make_late()))
    names = [name for name, _ in encoder.spans(["red, fish."])[0]]
    assert names == ["[CLS]", "red", "fish", "[SEP]"]
    assert [name for name, _ in encoder.spans(["red, fish."], "query")[0]] == [
        "[CLS]",
        "red",
        ",",
        "fish",
        ".",
        "[SEP]",
    ]
    assert len(encoder.encode_documents(["red, fish."]).values) == 4


def test_queries_are_filled_up_with_masks_that_count(make_late: MakeLate) -> None:
    encoder = load(str(make_late(**HIDDEN)))
    assert [len(one) for one in encoder.encode_queries(["red", "the red fish swims in cold water " * 3])] == [12, 12]
    assert [name for name, _ in encoder.spans(["red"], "query")[0]] == ["[CLS]", "red", "[SEP]", *["[MASK]"] * 9]


def test_hidden_filling_changes_no_vector_of_the_query_itself(make_late: MakeLate, way: str) -> None:
    """The property that tells hidden filling from seen filling."""
    plain = load(str(make_late())).encode_queries(["red fish"]).values
    hidden = load(str(make_late(**HIDDEN))).encode_queries(["red fish"]).values
    seen = load(str(make_late(told={"query_expansion": {"strategy": "fixed", "attend": True, "length": 12}})))
    np.testing.assert_allclose(hidden[: len(plain)], plain, atol=1e-5)
    assert np.abs(seen.encode_queries(["red fish"]).values[: len(plain)] - plain).max() > 1e-2


def test_spans_are_characters_of_the_text_without_its_prompt(make_late: MakeLate) -> None:
    encoder = load(str(make_late(top={"prompts": {"document": "a: "}})))
    text = "red fish swims"
    found = encoder.spans([text])[0]
    assert [text[start:end] for name, (start, end) in found if end] == ["red", "fish", "swims"]
    assert len(found) == len(encoder.encode_documents([text]).values)
    with pytest.raises(BadInput, match="merges token vectors"):
        encoder.pooled(2).spans([text])


def test_the_fingerprint_is_the_vectors(make_late: MakeLate) -> None:
    one, same, other = load(str(make_late())), load(str(make_late())), load(str(make_late(**HIDDEN)))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.pooled(2).fingerprint not in (one.fingerprint, one.pooled(3).fingerprint)
    assert one.pooled(1).fingerprint == one.fingerprint
    assert load(str(make_late(seed=2))).fingerprint != one.fingerprint


def test_wards_clusters_are_those_worked_by_hand() -> None:
    """Angles of 0, 10, 90, 100 and 200 degrees: the pairs first, and the far one last."""
    angles = np.deg2rad([0, 90, 200, 10, 100])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert clusters(vectors, 3).tolist() == [0, 1, 2, 0, 1]
    assert clusters(vectors, 5).tolist() == [0, 1, 2, 3, 4]
    assert set(clusters(vectors, 1).tolist()) == {0}


def test_merging_keeps_the_protected_token_and_about_one_in_factor() -> None:
    vectors = np.random.default_rng(0).normal(size=(21, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = merged(vectors, TokenPooling(4.0))
    assert len(found) == 1 + 5
    np.testing.assert_allclose(found[0], vectors[0], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert len(merged(vectors[:1], TokenPooling(4.0))) == 1


def test_clusters_are_scipys() -> None:
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    from scipy.spatial.distance import squareform

    vectors = np.random.default_rng(1).normal(size=(60, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gaps = squareform(np.clip(1 - vectors @ vectors.T, 0, 2), checks=False)
    theirs = hierarchy.fcluster(hierarchy.linkage(gaps, method="ward"), t=20, criterion="maxclust")
    mine = clusters(vectors, 20)
    assert ((mine[:, None] == mine) == (theirs[:, None] == theirs)).all()


def test_maxsim_is_a_float64_loop_even_where_all_is_negative() -> None:
    rng = np.random.default_rng(3)
    query = np.abs(rng.normal(size=(7, 5))).astype(np.float32)
    documents = [-np.abs(rng.normal(size=(size, 5))).astype(np.float32) for size in (1, 4, 3, 40)]
    expected = [sum(max(float(np.dot(q.astype(float), d)) for d in one) for q in query) for one in documents]
    assert max(expected) < 0
    np.testing.assert_allclose(maxsim(query, documents), expected, rtol=1e-5)
    np.testing.assert_allclose(maxsim(query, documents, mean=True), np.array(expected) / 7, rtol=1e-5)
    with pytest.raises(BadInput, match="without token vectors"):
        maxsim(query, [documents[0], documents[0][:0]])


def test_maxsim_does_not_count_order_nor_copies_of_document_tokens() -> None:
    rng = np.random.default_rng(4)
    query, *documents = (rng.normal(size=(size, 6)).astype(np.float32) for size in (5, 4, 9))
    query, *documents = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (query, *documents))
    plain, means = maxsim(query, documents), maxsim(query, documents, mean=True)
    np.testing.assert_allclose(maxsim(query[::-1], [one[::-1] for one in documents]), plain, rtol=1e-5)
    np.testing.assert_allclose(maxsim(query, [np.concatenate([one, one]) for one in documents]), plain, rtol=1e-5)
    twice = np.concatenate([query, query])
    np.testing.assert_allclose(maxsim(twice, documents), 2 * plain, rtol=1e-5)
    np.testing.assert_allclose(maxsim(twice, documents, mean=True), means, rtol=1e-5)
    assert (means < 1).all()
    assert maxsim(query, [np.concatenate([documents[0], query])], mean=True)[0] == pytest.approx(1, abs=1e-5)


def test_a_score_depends_on_nothing_but_its_pair(make_late: MakeLate) -> None:
    scorer: Any = load_scorer(f"late={make_late(**HIDDEN)}")
    together = scorer.score("red fish", TEXTS)
    assert scorer.comparable
    np.testing.assert_allclose(scorer.score("red fish", TEXTS), together, atol=1e-5)
    fresh: Any = load_scorer(f"late={make_late(**HIDDEN)}")
    alone = [float(fresh.score("red fish", [text])[0]) for text in TEXTS]
    np.testing.assert_allclose(alone, together, atol=1e-4)
    assert scorer.score("red", []).shape == (0,)


def test_an_explanation_adds_up_to_the_score(make_late: MakeLate) -> None:
    scorer = LateScorer(load(str(make_late())))
    text = "the red fish, swims."
    matches = scorer.explain("fish", text)
    assert sum(match.similarity for match in matches) == pytest.approx(float(scorer.score("fish", [text])[0]), abs=1e-5)
    assert [match.query_token for match in matches] == ["[CLS]", "fish", "[SEP]"]
    for match in matches:
        start, end = match.span
        assert text[start:end] in ("", match.token)


def test_a_folder_tells_its_kind(make_late: MakeLate) -> None:
    for folder in (make_late(), make_late("pylate", top={"query_length": 10}), make_late("stanford")):
        assert isinstance(load_encoder(str(folder)), LateEncoder)
        assert isinstance(load_scorer(str(folder)), LateScorer)


def test_it_reranks_on_the_command_line_without_torch(make_late: MakeLate, tmp_path: Path) -> None:
    blocked = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'sentence_transformers'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from retr.cli import main\n"
        "main()\n"
    )
    folder = make_late(**HIDDEN)
    rows = [json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(TEXTS) if text]
    (tmp_path / "d.jsonl").write_text("".join(rows))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "RETR_CACHE_DIR": str(tmp_path / "cache")}

    def retr(*words: str) -> str:
        command = [sys.executable, "-c", blocked, *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    retr("index", "d.jsonl", "--index", "ix")
    found = json.loads(
        retr("search", "red stone water", "--index", "ix", "--mode", "dense", "--rerank", f"late={folder}", "--json")
    )
    hits = found["hits"]
    scores = load_scorer(f"late={folder}").score("red stone water", TEXTS)
    assert len(hits) > 1
    for hit in hits:
        assert hit["score"] == pytest.approx(float(scores[int(hit["id"])]), abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mask": {"keep_only_token_ids": [1]}}, "tokens of images"),
        ({"told": {"query_expansion": {"strategy": "best", "length": 9}}}, "strategy"),
        ({"told": {"query_expansion": {"strategy": "fixed", "length": 900}}}, "the model reads 24"),
        ({"told": {"query_expansion": {"strategy": "fixed", "length": 9, "token": "nowhere"}}}, "'nowhere'"),
        ({"pooling": {"pool_factor": 0.5}}, "factor is 0.5"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(make_late: MakeLate, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(RetrError, match=says) as raised:
        load(str(make_late(**settings)))
    assert "\n" not in str(raised.value)


def test_a_folder_of_another_kind_is_refused(make_bi: Any, make_late: MakeLate, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="one vector a text"):
        load(str(folder))
    with pytest.raises(NotFound, match="late model"):
        load(str(tmp_path / "none"))
    broken = make_late()
    modules = json.loads((broken / "modules.json").read_text())
    for order in (modules[::-1], modules[1:], [*modules, modules[-1]]):
        (broken / "modules.json").write_text(json.dumps(order))
        with pytest.raises(BadInput, match="in order"):
            load(str(broken))
    (broken / "modules.json").write_text(json.dumps([{"type": "evil.Code", "path": ""}]))
    with pytest.raises(BadInput, match=r"evil\.Code"):
        load(str(broken))
    (broken / "modules.json").write_text(json.dumps([{"type": 3}]))
    with pytest.raises(RetrError):
        load(str(broken))


def test_a_projection_of_another_size_is_refused(make_late: MakeLate) -> None:
    save_file = pytest.importorskip("safetensors.numpy").save_file
    folder = make_late()
    save_file({"linear.weight": np.zeros((4, 31), np.float32)}, str(folder / "1_Dense" / "model.safetensors"))
    with pytest.raises(BadInput, match="do not fit together"):
        load(str(folder))
    stanford = make_late("stanford")
    save_file({"bert.x": np.zeros((2, 2), np.float32)}, str(stanford / "model.safetensors"))
    with pytest.raises(Damaged, match=r"linear\.weight"):
        load(str(stanford))


def test_settings_refuse_what_cannot_be() -> None:
    for make in (
        lambda: Expansion(2),
        lambda: TokenPooling(0.5),
        lambda: TokenPooling(2, protected=-1),
        lambda: LateTexts(24, query_tokens=2),
    ):
        with pytest.raises(BadInput):
            make()
