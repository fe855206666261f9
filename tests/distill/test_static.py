"""The static student: each step by hand or against another way to compute it, and the whole on a tiny teacher."""

import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.distill.static import fitting, weighting
from retr.distill.static.corpus import read_corpus
from retr.distill.static.distilling import distil_static
from retr.distill.static.figures import agreement, spearman
from retr.distill.static.fitting import Passages, fit
from retr.distill.static.projection import principal
from retr.distill.static.settings import StaticSettings
from retr.distill.static.vocabulary import bare, missing_words, texts_of, token_counts, widened
from retr.encoders import load_encoder
from retr.encoders.static.encoder import StaticEncoder
from retr.retrieval.embeddings import TokenVectors, Vectors
from retr.retrieval.errors import BadInput, NotFound
from retr.retrieval.records import Document

WORDS = ["the", "red", "blue", "fish", "swims", "in", "cold", "water", "a", "stone", "falls", "from", "sky", "seafish"]


def nothing(unit: str, done: int, total: int) -> None:
    """No report."""


def corpus(seed: int = 0, documents: int = 60) -> list[Document]:
    rng = np.random.default_rng(seed)
    return [
        Document(str(n), " ".join(" ".join(rng.choice(WORDS, 6)) + "." for _ in range(4))) for n in range(documents)
    ]


# Steps


def test_principal_directions_are_those_of_the_singular_vectors() -> None:
    vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32) * np.arange(1, 7, dtype=np.float32)
    found = principal(vectors, 3)
    wide = vectors - vectors.mean(axis=0)
    _, sizes, directions = np.linalg.svd(wide, full_matrices=False)
    np.testing.assert_allclose(np.abs(found.basis.T), np.abs(directions[:3]), atol=1e-4)
    np.testing.assert_allclose(np.abs(found(vectors)), np.abs(wide @ directions[:3].T), atol=1e-3)
    assert found.kept == pytest.approx((sizes[:3] ** 2).sum() / (sizes**2).sum())
    assert (found.basis[np.abs(found.basis).argmax(axis=0), range(3)] > 0).all()


def test_all_directions_keep_every_distance() -> None:
    vectors = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    turned = principal(vectors, 0)(vectors)
    np.testing.assert_allclose(
        np.linalg.norm(turned[1:] - turned[:-1], axis=1), np.linalg.norm(vectors[1:] - vectors[:-1], axis=1), rtol=1e-5
    )


def test_more_directions_than_numbers_are_refused() -> None:
    with pytest.raises(BadInput, match="dim is 5"):
        principal(np.ones((3, 4), np.float32), 5)


def test_weights_by_hand() -> None:
    np.testing.assert_allclose(weighting.zipf(3), np.log([2, 3, 4]), rtol=1e-6)
    np.testing.assert_allclose(weighting.zipf_shares(3), np.array([6, 3, 2]) / 11)
    np.testing.assert_allclose(weighting.shares_of(np.array([4, 0, 1])), [5 / 8, 1 / 8, 2 / 8])
    np.testing.assert_allclose(weighting.sif(np.array([0.0, 0.01, 0.99]), 0.01), [1, 0.5, 0.01], rtol=1e-6)


def test_rank_correlation_by_hand() -> None:
    def of(*values: float) -> np.ndarray:
        return np.array(values, np.float32)

    assert spearman(of(1, 2, 3), of(10, 40, 90)) == pytest.approx(1)
    assert spearman(of(1, 2, 3), of(3, 2, 1)) == pytest.approx(-1)
    assert spearman(of(1, 2, 3, 4), of(1, 3, 2, 4)) == pytest.approx(0.8)
    assert spearman(of(1, 2, 2), of(1, 2, 3)) == pytest.approx(0.75**0.5)  # ranks 1, 2.5, 2.5
    assert spearman(of(1, 1), of(1, 2)) == 0


def test_a_model_agrees_with_itself_and_not_with_noise() -> None:
    rng = np.random.default_rng(2)
    one, other = (rng.normal(size=(60, 8)).astype(np.float32) for _ in range(2))
    assert agreement(one, one) == {"rank_correlation": pytest.approx(1), "neighbours": pytest.approx(1)}
    found = agreement(one, other)
    assert abs(found["rank_correlation"]) < 0.2 and found["neighbours"] < 0.4


def test_the_fit_is_the_solution_of_the_normal_equations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "ROUNDS", 1)
    rng = np.random.default_rng(3)
    table = rng.normal(size=(12, 4)).astype(np.float32)
    lengths = rng.integers(1, 6, 30)
    ids = rng.integers(0, 10, lengths.sum()).astype(np.int32)  # rows 10 and 11 are in no passage
    targets = rng.normal(size=(30, 4)).astype(np.float32)
    counts = np.zeros((30, 12))
    np.add.at(counts, (np.repeat(np.arange(30), lengths), ids), 1)
    scaled = counts / np.linalg.norm(counts @ table, axis=1, keepdims=True)
    pull = 0.7 * np.mean(1 / np.linalg.norm(counts @ table, axis=1) ** 2)
    by_hand = np.linalg.solve(scaled.T @ scaled + pull * np.eye(12), scaled.T @ targets + pull * table)
    found = fit(table, Passages(ids, lengths), targets, 0.7, nothing)
    np.testing.assert_allclose(found, by_hand, atol=2e-3)
    np.testing.assert_array_equal(found[10:], table[10:])


def test_a_passage_without_words_does_not_disturb_the_fit() -> None:
    table = np.array([[0, 0], [1, 0], [0, 1]], np.float32)
    passages = Passages(np.array([0, 1], np.int32), np.array([1, 1, 0]))
    found = fit(table, passages, np.array([[1, 0], [0, 1], [1, 0]], np.float32), 0.1, nothing)
    assert np.isfinite(found).all()
    assert found[1, 1] > 0.8 > found[1, 0]
    np.testing.assert_array_equal(found[[0, 2]], table[[0, 2]])


# Words and passages


@pytest.fixture
def tokenizer(make_bi: Any) -> Any:
    return bare(load_encoder(f"bi={make_bi(seed=1)}").tokenizer)  # type: ignore[attr-defined]


def test_every_token_has_a_text_but_special_ones(tokenizer: Any) -> None:
    texts = texts_of(tokenizer)
    named = {texts[number]: piece for piece, number in tokenizer.get_vocab().items()}
    assert named["fish"] == "fish" and named["b"] in ("b", "##b")
    assert [texts[tokenizer.token_to_id(name)] for name in ("[CLS]", "[PAD]", "[UNK]")] == ["", "", ""]
    assert texts[tokenizer.token_to_id("##q")] == "q"


def test_frequent_words_that_are_split_are_missing(tokenizer: Any) -> None:
    parts = Counter({"Whale": 4, "whale,": 3, "fish": 99, "kelp": 6, "12345": 50, "rare": 1, "coral": 6})
    assert missing_words(tokenizer, parts, most=9, least=2) == ["whale", "coral", "kelp"]
    assert missing_words(tokenizer, parts, most=1, least=2) == ["whale"]
    assert missing_words(tokenizer, parts, most=0, least=2) == []


def test_added_words_are_one_token_and_others_stay_what_they_were(tokenizer: Any) -> None:
    more = widened(tokenizer, ["whale", "kelp"])
    rows = tokenizer.get_vocab_size()
    assert more.encode("red Whale, kelp").ids == [
        *tokenizer.encode("red").ids,
        rows,
        tokenizer.token_to_id(","),
        rows + 1,
    ]
    assert more.encode("the cold stone").ids == tokenizer.encode("the cold stone").ids


def test_tokens_are_counted_as_often_as_their_words(tokenizer: Any) -> None:
    counts = token_counts(tokenizer, {"fish,": 3, "fish": 2, "red": 1}, 100)
    assert [counts[tokenizer.token_to_id(word)] for word in ("fish", ",", "red")] == [5, 3, 1]
    assert counts.sum() == 9


def test_a_corpus_is_read_alike_every_time_and_all_of_it_has_a_chance() -> None:
    first, second = (read_corpus(corpus(), passages=30, seed=5) for _ in range(2))
    assert (first.passages, first.sha256, first.parts) == (second.passages, second.sha256, second.parts)
    assert first.documents == 60 and len(first.passages) == 30 == len(set(first.passages))
    assert read_corpus(corpus(), passages=30, seed=6).passages != first.passages
    texts = [document.text for document in corpus()]
    places = [next(n for n, text in enumerate(texts) if passage in text) for passage in first.passages]
    assert min(places) < 15 and max(places) > 45


def test_a_corpus_without_sentences_is_refused() -> None:
    with pytest.raises(BadInput, match="no sentence"):
        read_corpus([Document("a", "short")], passages=3, seed=0)


# The whole


SETTINGS = StaticSettings(dim=8, words=5, least=2, fit=100, held_out=20)


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_a_student_of_a_tiny_teacher_is_the_same_every_time(storage: Any, make_bi: Any, tmp_path: Path) -> None:
    teacher = load_encoder(f"bi={make_bi(seed=1)}")
    settings = StaticSettings(dim=8, words=5, least=2, fit=100, held_out=20, storage=storage)
    told = [
        distil_static(teacher, tmp_path / name, settings, documents=corpus(), seed=3) for name in ("first", "second")
    ]
    assert told[0] == told[1] == json.loads((tmp_path / "first" / "retr.json").read_text())["distilled"]
    assert told[0]["figures"]["words_added"] == 1  # seafish
    student = load_encoder(str(tmp_path / "first"))
    assert isinstance(student, StaticEncoder) and student.dim == 8
    assert student.fingerprint == load_encoder(str(tmp_path / "second")).fingerprint
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second"}


def test_another_seed_gives_another_student(make_bi: Any, tmp_path: Path) -> None:
    teacher = load_encoder(f"bi={make_bi(seed=1)}")
    told = [
        distil_static(teacher, tmp_path / str(seed), SETTINGS, documents=corpus(documents=200), seed=seed)
        for seed in (1, 2)
    ]
    assert told[0]["files"]["model.safetensors"] != told[1]["files"]["model.safetensors"]


def test_a_corpus_brings_the_student_nearer_to_its_teacher(make_bi: Any, tmp_path: Path) -> None:
    teacher = load_encoder(f"bi={make_bi(seed=1)}")
    fitted = StaticSettings(dim=0, least=2, fit=400, held_out=50)
    plain = StaticSettings(dim=0, words=0, fit=0, held_out=50)
    made = [
        distil_static(teacher, tmp_path / name, chosen, documents=corpus(documents=250))["figures"]
        for name, chosen in (("plain", plain), ("fitted", fitted))
    ]
    assert made[1]["rank_correlation"] > made[0]["rank_correlation"] + 0.1


def test_no_corpus_is_needed(make_bi: Any, tmp_path: Path) -> None:
    units = set()
    teacher = load_encoder(f"bi={make_bi(seed=1)}")
    told = distil_static(teacher, tmp_path / "m", SETTINGS, report=lambda unit, done, total: units.add(unit))
    assert "corpus" not in told and told["held_out"]["of"] == "retr's sample corpus"
    assert units == {"words", "held-out passages"}
    row = load_encoder(str(tmp_path / "m")).encode_documents(["fish", "the"]).values
    words = ["fish", "the", *[text for text in texts_of(bare(teacher.tokenizer)) if text]]  # type: ignore[attr-defined]
    vectors = teacher.encode_documents(words).values
    expected = principal(vectors[2:], 8)(vectors[:2])
    np.testing.assert_allclose(row, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-3)


@pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed")
@pytest.mark.filterwarnings("ignore")
def test_sentence_transformers_reads_the_student(make_bi: Any, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    distil_static(load_encoder(f"bi={make_bi(seed=1)}"), tmp_path / "m", SETTINGS, documents=corpus())
    texts = ["the red fish", "seafish fall", "a stone"]
    expected = SentenceTransformer(str(tmp_path / "m"), device="cpu", local_files_only=True).encode(texts)
    np.testing.assert_allclose(load_encoder(str(tmp_path / "m")).encode_documents(texts).values, expected, atol=1e-6)


class Failing:
    """An encoder whose answers cannot be used."""

    dim, similarity, fingerprint, max_tokens = 256, "cosine", "x", 8

    def __init__(self, tokenizer: Any, answer: Any) -> None:
        self.tokenizer, self.answer = tokenizer, answer

    def encode_documents(self, texts: list[str]) -> Any:
        return self.answer(len(texts))

    encode_queries = encode_documents


def test_unusable_teachers_are_refused_and_leave_nothing(tokenizer: Any, tmp_path: Path) -> None:
    def tokens(n: int) -> TokenVectors:
        return TokenVectors(np.ones((n, 2), np.float32), np.arange(n + 1, dtype=np.int64))

    with pytest.raises(BadInput, match="a vector a token"):
        distil_static(Failing(tokenizer, tokens), tmp_path / "m", SETTINGS)
    with pytest.raises(BadInput, match="NaN"):
        distil_static(Failing(tokenizer, lambda n: Vectors(np.full((n, 2), np.nan, np.float32))), tmp_path / "m")
    with pytest.raises(BadInput, match="dim is 257, but the teacher's vectors have 256"):
        distil_static(Failing(tokenizer, tokens), tmp_path / "m", StaticSettings(dim=257))
    blind = Failing(tokenizer, tokens)
    del blind.tokenizer
    with pytest.raises(BadInput, match="no tokenizer"):
        distil_static(blind, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_too_small_a_corpus_is_refused(make_bi: Any, tmp_path: Path) -> None:
    teacher = load_encoder(f"bi={make_bi(seed=1)}")
    with pytest.raises(BadInput, match="at least 40 are needed"):
        distil_static(teacher, tmp_path / "m", SETTINGS, documents=corpus(documents=3))


def test_what_is_there_is_not_written_over(make_bi: Any, tmp_path: Path) -> None:
    teacher = load_encoder(f"bi={make_bi(seed=1)}")
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "letter.txt").write_text("x")
    with pytest.raises(BadInput, match="exists already"):
        distil_static(teacher, tmp_path / "m")
    with pytest.raises(NotFound, match="no folder"):
        distil_static(teacher, tmp_path / "no" / "m")


@pytest.mark.parametrize("bad", [{"dim": -1}, {"sif": 0.0}, {"prior": float("nan")}, {"held_out": 5}, {"least": 0}])
def test_settings_without_meaning_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(bad))):
        StaticSettings(**bad)
