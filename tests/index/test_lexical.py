"""BM25 over a generation: global statistics, exact filters, removal, languages; bm25s is the oracle."""

import math
from pathlib import Path

import numpy as np
import pytest

from retr.index.disk.fsio import Disk
from retr.index.lexical.languages import LANGUAGES
from retr.index.lexical.postings import LexicalIndex, analyzer, write_generation
from retr.retrieval.errors import BadInput, Damaged

TEXTS = ["red fish", "red red bird", "blue bird sings", "a fish swims in a blue sea with a fish"]


def make(folder: Path, texts: list[str], language: str = "english") -> LexicalIndex:
    rows = list(enumerate(texts))
    write_generation(Disk(), None, folder, language=language, added=rows, removed=[])
    return LexicalIndex(folder, language)


def test_scores_are_bm25(tmp_path: Path) -> None:
    index = make(tmp_path / "i", TEXTS)
    rows, scores = index.search("red", 10)
    assert rows.tolist() == [1, 0]
    # Lucene's BM25: idf ln(1 + (N - n + .5) / (n + .5)); lengths 2 3 3 5 without stop words: mean 3.25.
    idf = math.log(1 + (4 - 2 + 0.5) / 2.5)
    expected = [idf * 2.2 * tf / (tf + 1.2 * (0.25 + 0.75 * length / 3.25)) for tf, length in ((2, 3), (1, 2))]
    assert scores.tolist() == pytest.approx(expected, rel=1e-5)


def test_it_ranks_as_bm25s_does(tmp_path: Path) -> None:
    bm25s = pytest.importorskip("bm25s")
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in range(60)]
    texts = [" ".join(rng.choice(words, size=rng.integers(5, 40))) for _ in range(200)]
    index = make(tmp_path / "i", texts, language="none")
    oracle = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    oracle.index([text.split() for text in texts], show_progress=False)
    for _ in range(20):
        query = rng.choice(words, size=3, replace=False)
        expected = oracle.get_scores(query.tolist())
        rows, scores = index.search(" ".join(query), 10)
        # Tantivy keeps the factor k1 + 1 that Lucene dropped; it changes no order. Lengths up to 40 are stored exactly.
        np.testing.assert_allclose(scores, 2.2 * expected[rows], rtol=1e-4)
        np.testing.assert_allclose(np.sort(expected)[::-1][: len(scores)], expected[rows], rtol=1e-5)


def test_a_word_asked_for_twice_counts_twice(tmp_path: Path) -> None:
    index = make(tmp_path / "i", TEXTS)
    assert index.search("red red", 1)[1][0] == pytest.approx(2 * index.search("red", 1)[1][0])


def test_words_are_found_in_their_other_forms(tmp_path: Path) -> None:
    index = make(tmp_path / "i", ["The cafés were CLOSING", "x"])
    assert index.search("cafe closes", 5)[0].tolist() == [0]


def test_scripts_without_spaces_are_found_by_part(tmp_path: Path) -> None:
    index = make(tmp_path / "i", ["東京都に住む", "京都へ行く", "unrelated"])
    assert set(index.search("京都", 5)[0].tolist()) == {0, 1}


@pytest.mark.parametrize("share", [0.5, 0.01])
def test_a_filter_gives_the_best_allowed_rows(tmp_path: Path, share: float) -> None:
    rng = np.random.default_rng(1)
    texts = [" ".join(rng.choice(["a1", "b1", "c1", "d1"], size=rng.integers(1, 9))) for _ in range(9000)]
    index = make(tmp_path / "i", texts)
    allowed = rng.random(len(texts)) < share
    rows, scores = index.search("a1 c1", 50, allowed)
    every, all_scores = index.search("a1 c1", len(texts))
    kept = allowed[every]
    assert rows.tolist() == every[kept][:50].tolist()
    np.testing.assert_allclose(scores, all_scores[kept][:50])


def test_the_next_generation_leaves_the_last_alone(tmp_path: Path) -> None:
    old = make(tmp_path / "1", TEXTS)
    before = {path.name: path.read_bytes() for path in (tmp_path / "1").iterdir()}
    write_generation(
        Disk(), tmp_path / "1", tmp_path / "2", language="english", added=[(4, "a green fish")], removed=[0, 1]
    )
    new = LexicalIndex(tmp_path / "2", "english")
    assert (len(old), len(new)) == (4, 3)
    assert new.search("red", 5)[0].tolist() == []
    assert set(new.search("fish", 5)[0].tolist()) == {3, 4}
    assert {path.name: path.read_bytes() for path in (tmp_path / "1").iterdir()} == before
    assert old.search("red", 5)[0].tolist() == [1, 0]


def test_a_query_of_nothing_but_stop_words_finds_nothing(tmp_path: Path) -> None:
    assert make(tmp_path / "i", TEXTS).search("the of !?", 5)[0].tolist() == []


@pytest.mark.parametrize("query", ['"', "AND OR NOT", "a:b^2 +(c", "* ~ [x TO y]", "\\"])
def test_query_syntax_is_just_text(tmp_path: Path, query: str) -> None:
    make(tmp_path / "i", TEXTS).search(query, 5)


@pytest.mark.parametrize("language", [*LANGUAGES, "none"])
def test_every_language_has_an_analyzer(language: str) -> None:
    assert analyzer(language).analyze("Xylophone42")


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(BadInput, match="Known: arabic"):
        analyzer("klingon")


def test_a_folder_that_is_no_index_is_damage(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="cannot be opened"):
        LexicalIndex(tmp_path, "english")
