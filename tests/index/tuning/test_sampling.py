"""Held-out queries are no part of the sample, the halves share nothing, and a seed draws the same again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.index.collection import Collection
from retr.index.snapshot import open_snapshot
from retr.index.tuning.sampling import Questions, blocks, draw, given, held_out
from retr.index.tuning.settings import TuneSettings
from retr.retrieval.errors import BadInput

ROWS = 2_500

Make = Callable[..., Any]


def test_held_out_rows_are_never_in_the_sample(kept: Path) -> None:
    drawn = draw(open_snapshot(kept), TuneSettings(), held=True)
    assert len(drawn.held) == ROWS // 10
    assert not set(drawn.held.tolist()) & set(drawn.sample.tolist())
    assert len(drawn.sample) + len(drawn.held) == drawn.living == ROWS


def test_a_sample_has_the_size_asked_for_and_rises(kept: Path) -> None:
    drawn = draw(open_snapshot(kept), TuneSettings(sample=500, queries=50), held=True)
    assert (len(drawn.sample), len(drawn.held)) == (500, 50)
    assert (np.diff(drawn.sample) > 0).all()
    assert len(draw(open_snapshot(kept), TuneSettings(), held=False).sample) == ROWS


def test_a_seed_draws_the_same_rows_and_another_draws_others(kept: Path) -> None:
    snapshot = open_snapshot(kept)
    one, again, other = (draw(snapshot, TuneSettings(seed=seed), held=True) for seed in (1, 1, 2))
    assert np.array_equal(one.held, again.held)
    assert np.array_equal(one.sample, again.sample)
    assert not np.array_equal(one.held, other.held)


def test_held_out_queries_are_the_documents_own_vectors(kept: Path, make_vectors: Make) -> None:
    snapshot = open_snapshot(kept)
    questions = held_out(snapshot, np.array([3, 17, 2_400]))
    assert questions.own == ("d3", "d17", "d2400")
    assert np.array_equal(questions.values, make_vectors()[[3, 17, 2_400]])


def test_blocks_are_the_rows_vectors_in_order(kept: Path, make_vectors: Make) -> None:
    rows = np.arange(1, ROWS, 7)
    assert np.array_equal(np.concatenate(list(blocks(open_snapshot(kept), rows))), make_vectors()[rows])


def test_deleted_documents_are_neither_sampled_nor_held_out(
    tmp_path: Path, make_collection: Make, make_vectors: Make
) -> None:
    collection = make_collection(tmp_path / "index", make_vectors(300))
    collection.delete([f"d{row}" for row in range(0, 300, 2)])
    drawn = draw(open_snapshot(tmp_path / "index"), TuneSettings(), held=True)
    rows = np.concatenate([drawn.sample, drawn.held])
    assert drawn.living == len(rows) == 150
    assert (rows % 2 == 1).all()


def test_the_halves_share_no_query_and_leave_none_out() -> None:
    values = np.arange(101, dtype=np.float32)[:, None]
    first, second = Questions(values, tuple(map(str, range(101)))).halves(seed=5)
    assert (len(first), len(second)) == (50, 51)
    assert sorted([*first.values[:, 0], *second.values[:, 0]]) == list(range(101))
    for half in (first, second):
        assert half.own == tuple(str(int(value)) for value in half.values[:, 0])
    assert first.own == Questions(values, tuple(map(str, range(101)))).halves(seed=5)[0].own


def test_a_query_given_twice_is_asked_once(make_vectors: Make) -> None:
    values = make_vectors(30, seed=4)
    questions = given(np.concatenate([values, values[::-1]]))
    assert np.array_equal(questions.values, values)
    assert set(questions.own) == {""}


def test_too_few_queries_are_refused(make_vectors: Make) -> None:
    with pytest.raises(BadInput, match="There are 19 different queries; tuning needs at least 20"):
        given(np.tile(make_vectors(19), (3, 1)))


def test_too_few_vectors_are_refused(tmp_path: Path, make_collection: Make, make_vectors: Make) -> None:
    make_collection(tmp_path / "index", make_vectors(99))
    with pytest.raises(BadInput, match="holds 99 vectors; tuning needs at least 100"):
        draw(open_snapshot(tmp_path / "index"), TuneSettings(), held=True)


def test_an_index_of_words_alone_has_nothing_to_tune(tmp_path: Path) -> None:
    Collection.create(tmp_path / "index", encoder=None)
    with pytest.raises(BadInput, match="no vectors"):
        draw(open_snapshot(tmp_path / "index"), TuneSettings(), held=True)
