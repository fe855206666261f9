"""What every encoder of the table promises. A new kind needs one line in `SOURCES`, and is tested before its author."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import ENCODERS, load_encoder
from retr.retrieval.errors import BadInput
from retr.retrieval.protocols import Encoder, TokenAware

SOURCES = {
    "bi": "make_bi",
    "static": "make_static",
    "dse": "make_dse",
    "late": "make_late",
    "lexsem": "make_lexsem",
    "smith": "make_smith",
    "llm": "make_llm",
    "filip": "make_filip",
}
"""Kind to the fixture that makes a source for it, by `seed`."""

TEXTS = [
    "the red fish swims",
    "",
    "a stone",
    "in cold water",
    "blue",
    "from the sky falls a fish?",
    "the red fish swims",
]
SAME = 1e-6  # cosine distance; float32 sums in another order


def test_every_kind_is_tested_here() -> None:
    assert SOURCES.keys() == ENCODERS.keys()


@pytest.fixture(params=[*sorted(ENCODERS), "default"])
def spec(request: pytest.FixtureRequest) -> str:
    """A `KIND=SOURCE` that loads."""
    if request.param == "default":
        return "all-MiniLM-L6-v2"
    make = request.getfixturevalue(SOURCES[request.param])
    return f"{request.param}={make(seed=1)}"


@pytest.fixture
def encoder(spec: str) -> Any:
    """The encoder of the spec."""
    return load_encoder(spec)


def rows(embeddings: Any) -> list[np.ndarray]:
    """One array a text, whether a vector or its tokens' vectors."""
    return [np.atleast_2d(item) for item in (embeddings if hasattr(embeddings, "offsets") else embeddings.values)]


def assert_same(left: Any, right: Any) -> None:
    assert len(left) == len(right)
    for one, other in zip(rows(left), rows(right), strict=True):
        assert one.shape == other.shape
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        assert np.all(1 - (one.astype(float) * other).sum(axis=1) / lengths < SAME)


def test_it_has_the_protocols(encoder: Any) -> None:
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, TokenAware)


def test_one_embedding_a_text(encoder: Any) -> None:
    found = encoder.encode_documents(TEXTS)
    assert len(found) == len(TEXTS)
    assert found.dim == encoder.dim
    assert found.values.dtype == np.float32


def test_an_empty_list_gives_an_empty_result(encoder: Any) -> None:
    assert len(encoder.encode_queries([])) == len(encoder.encode_documents([])) == 0
    assert encoder.encode_queries([]).dim == encoder.dim


def test_order_is_kept(encoder: Any) -> None:
    assert_same(encoder.encode_documents(TEXTS[::-1][:]), _reordered(encoder, TEXTS[::-1]))


def _reordered(encoder: Any, texts: list[str]) -> Any:
    """The same texts one by one, so in no batch whose order could be lost."""
    return _joined([encoder.encode_documents([text]) for text in texts])


def _joined(parts: list[Any]) -> Any:
    from retr.retrieval.embeddings import TokenVectors, Vectors

    values = np.concatenate([part.values for part in parts])
    if not hasattr(parts[0], "offsets"):
        return Vectors(values)
    lengths = [np.diff(part.offsets) for part in parts]
    return TokenVectors(values, np.cumsum([0, *np.concatenate(lengths)], dtype=np.int64))


def test_batch_mates_make_no_difference(encoder: Any) -> None:
    alone = _joined([encoder.encode_documents([text]) for text in TEXTS])
    assert_same(alone, encoder.encode_documents(TEXTS))
    assert_same(alone, _joined([encoder.encode_documents(TEXTS[:3]), encoder.encode_documents(TEXTS[3:])]))
    queries = _joined([encoder.encode_queries([text]) for text in TEXTS])
    assert_same(queries, encoder.encode_queries(TEXTS))


def test_the_number_of_threads_makes_no_difference(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETR_THREADS", "1")
    one = encoder.encode_documents(TEXTS * 5)
    monkeypatch.setenv("RETR_THREADS", "4")
    np.testing.assert_array_equal(one.values, encoder.encode_documents(TEXTS * 5).values)


def test_two_threads_may_use_it_at_once(encoder: Any) -> None:
    expected = encoder.encode_documents(TEXTS).values
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: encoder.encode_documents(TEXTS).values, range(8)))
    for values in found:
        np.testing.assert_array_equal(values, expected)


def test_different_texts_get_different_embeddings(encoder: Any) -> None:
    first, second = rows(encoder.encode_documents(["the red fish", "cold water"]))
    assert first.shape != second.shape or not np.allclose(first, second, atol=1e-3)


def test_embeddings_are_finite_and_cosine_ones_of_unit_length(encoder: Any) -> None:
    values = encoder.encode_documents(TEXTS).values
    assert np.isfinite(values).all()
    if encoder.similarity == "cosine":
        np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)


def test_a_long_text_is_cut_and_not_refused(encoder: Any) -> None:
    long = "fish " * encoder.max_tokens
    assert_same(encoder.encode_documents([long * 3]), encoder.encode_documents([long * 5]))
    assert len(encoder.tokenizer.encode(long * 3).ids) == encoder.max_tokens


def test_one_text_in_place_of_a_list_is_refused(encoder: Any) -> None:
    with pytest.raises(BadInput, match="list of texts"):
        encoder.encode_documents("the red fish")


@pytest.mark.parametrize("bad", [["fine", 7], ["fine", "\ud800"], [None]])
def test_what_is_not_text_is_refused(encoder: Any, bad: list[Any]) -> None:
    with pytest.raises(BadInput, match="valid Unicode"):
        encoder.encode_documents(bad)


def test_the_fingerprint_is_the_same_for_every_load(spec: str) -> None:
    first, second = load_encoder(spec), load_encoder(spec)
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 64


def test_it_tells_what_it_is(encoder: Any) -> None:
    told = encoder.describe()
    assert {"name", "weights", "precision", "dim", "max_tokens", "licence", "fingerprint"} <= told.keys()
    assert told["dim"] == encoder.dim


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_other_weights_give_another_fingerprint(kind: str, request: pytest.FixtureRequest) -> None:
    make = request.getfixturevalue(SOURCES[kind])
    first, second = (load_encoder(f"{kind}={make(seed=seed)}") for seed in (1, 2))
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_a_moved_folder_keeps_its_fingerprint(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    import shutil

    folder = request.getfixturevalue(SOURCES[kind])(seed=1)
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert load_encoder(f"{kind}={folder}").fingerprint == load_encoder(f"{kind}={moved}").fingerprint
