"""Late models encoded here and by sentence-transformers give the same vectors, in every layout that it reads."""

import string
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retr.encoders import load_encoder, load_scorer

pytestmark = [
    pytest.mark.skipif(find_spec("sentence_transformers") is None, reason="sentence-transformers is not installed"),
    pytest.mark.filterwarnings("ignore"),
]
MakeLate = Callable[..., Path]
TEXTS = ["the red fish, swims.", "", "a", "stone falls from the blue sky in cold water in", "zzz " * 40, "red?"]
NATIVE: list[dict[str, Any]] = [
    {},
    {"top": {"prompts": {"query": "query: ", "document": "a "}}},
    {"told": {"query_expansion": {"strategy": "fixed", "attend": False, "token": None, "length": 12}}},
    {"told": {"query_expansion": {"strategy": "fixed", "attend": True, "token": "fish", "length": 12}}},
    {"told": {"query_expansion": {"strategy": "min", "length": 6}, "query_length": 9, "document_length": 11}},
    {"mask": {"skiplist_tasks": ["query", "document"], "skiplist_words": ["[MASK]", ",", "fish"]}},
    {"told": {"query_length": 7, "document_length": 9}, "top": {"similarity_fn_name": "meanmaxsim"}},
]
PYLATE: list[dict[str, Any]] = [
    {"query_prefix": "[unused0] ", "document_prefix": "[unused1] ", "query_length": 10, "document_length": 15},
    {"query_prefix": "[Q] ", "document_prefix": "[D] ", "do_query_expansion": False, "query_length": 9},
    {"query_length": 14, "attend_to_expansion_tokens": True, "skiplist_words": ["fish"]},
]


def oracle(folder: Path) -> Any:
    """The folder in sentence-transformers, on the CPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import MultiVectorEncoder

        return MultiVectorEncoder(str(folder), device="cpu", local_files_only=True)


def in_order(vectors: Any) -> np.ndarray:
    """Rows sorted, for merged ones have no order of their own."""
    found = np.asarray(vectors)
    return found[np.lexsort(found.round(3).T)]


def assert_same(folder: Path, *, sort: bool = False) -> None:
    encoder, model = load_encoder(f"late={folder}"), oracle(folder)
    pairs = [(encoder.encode_queries(TEXTS), model.encode_query(TEXTS))]
    pairs += [(encoder.encode_documents(TEXTS), model.encode_document(TEXTS))]
    for found, expected in pairs:
        assert len(found) == len(expected)  # type: ignore[arg-type]
        for mine, theirs in zip(found, expected, strict=True):  # type: ignore[call-overload]
            assert mine.shape == tuple(theirs.shape)
            np.testing.assert_allclose(*((in_order(mine), in_order(theirs)) if sort else (mine, theirs)), atol=1e-5)


@pytest.mark.parametrize("settings", NATIVE)
def test_sentence_transformers_folders_agree(make_late: MakeLate, way: str, settings: dict[str, Any]) -> None:
    assert_same(make_late(**settings))


@pytest.mark.parametrize("top", PYLATE)
def test_pylate_folders_agree(make_late: MakeLate, top: dict[str, Any]) -> None:
    assert_same(make_late("pylate", top=top))


@pytest.mark.parametrize(
    "metadata", [None, {"query_maxlen": 9, "attend_to_mask_tokens": True, "mask_punctuation": False}]
)
def test_stanford_folders_agree(make_late: MakeLate, metadata: dict[str, Any] | None) -> None:
    assert_same(make_late("stanford", metadata=metadata))


@pytest.mark.parametrize("family", ["roberta", "distilbert"])
def test_other_families_agree_under_a_mask(make_late: MakeLate, family: str) -> None:
    assert_same(make_late(family=family, told=NATIVE[2]["told"]))


def test_a_bias_by_relative_position_agrees_by_torch(make_late: MakeLate) -> None:
    assert_same(make_late(family="mpnet", told=NATIVE[2]["told"]))


@pytest.mark.parametrize("normalise", [True, False])
def test_merged_tokens_agree(make_late: MakeLate, normalise: bool) -> None:
    pooling = {"pool_factor": 2.0, "num_protected_tokens": 1, "normalize_embeddings": normalise, "tasks": ["document"]}
    assert_same(make_late(pooling=pooling), sort=True)


def test_scores_agree(make_late: MakeLate) -> None:
    for similarity in ("maxsim", "meanmaxsim"):
        folder = make_late(top={"similarity_fn_name": similarity})
        model = oracle(folder)
        expected = model.similarity(model.encode_query(["red fish"]), model.encode_document(TEXTS))[0]
        np.testing.assert_allclose(load_scorer(f"late={folder}").score("red fish", TEXTS), expected, atol=1e-4)


def test_a_model_that_it_built_and_saved_agrees(make_bi: Any, tmp_path: Path) -> None:
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask

    words = Transformer(str(make_bi(seed=4)), query_expansion={"strategy": "fixed", "length": 12}, document_length=20)
    where = "token_embeddings"
    dense = Dense(32, 16, bias=False, activation_function=torch.nn.Identity(), module_input_name=where)
    masks = MultiVectorMask(skiplist_words=list(string.punctuation))
    modules = [words, dense, masks, Normalize(module_input_name=where), HierarchicalTokenPooling(3.0)]
    prompts = {"query": "query: ", "document": "a "}
    MultiVectorEncoder(modules=modules, prompts=prompts, device="cpu").save(str(tmp_path / "saved"))
    assert_same(tmp_path / "saved", sort=True)
